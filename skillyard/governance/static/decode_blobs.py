"""Encoded pieces of a text: base64 and its relatives, hexadecimal, escapes, numbers, percent signs, rot13, backwards.

A piece counts as decoded where its bytes are text, or a compressed stream or archive; ordinary words happen to be valid
base64, and what is neither is left alone.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import string
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from typing import Final

from skillyard.governance.static.budget import Budget
from skillyard.governance.static.decode_archives import archive_kind, decompress
from skillyard.governance.static.gap import GapError
from skillyard.governance.static.limits import MAX_BLOBS, MAX_UNPACKED

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_SHORTEST: Final = 20
_RUNS: Final = bytes(0x78 if chr(byte) in f"{string.ascii_letters}{string.digits}+/_-" else 0x20 for byte in range(256))
"""Every character that base64 is written with made one letter, and every other a blank."""
_DIGITS: Final = bytes(0x78 if chr(byte) in string.digits else 0x20 for byte in range(256))
_LEAST_NUMBERS: Final = 9
_WRAPPED: Final = re.compile(
    r"(?:^[ \t>#*\"']{0,12}[A-Za-z0-9+/]{40,100}[\"',\\ ]{0,4}\r?$\n?){2,}(?:^[ \t>#*\"']{0,12}[A-Za-z0-9+/]{2,100}={0,2}[\"']?)?",
    re.MULTILINE,
)
_REVERSED: Final = re.compile(r"={1,2}[A-Za-z0-9+/]{20,}")
_BASE32: Final = re.compile(r"\b[A-Z2-7]{32,}={0,6}(?![A-Za-z0-9])")
_BASE85: Final = re.compile(r"[\"']((?:<~)?[!-~]{40,}?(?:~>)?)[\"']")
_HEX: Final = re.compile(r"[0-9a-fA-F]{24,}")
_ESCAPES: Final = re.compile(r"(?:\\(?:x[0-9a-fA-F]{2}|u00[0-9a-fA-F]{2}|[0-3][0-7]{2})){6,}")
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u00([0-9a-fA-F]{2})|([0-7]{3}))")
_NUMBERS: Final = re.compile(
    r"(?:(?:0x[0-9a-fA-F]{2}|\b\d{2,3})\b(?:\)?\s*[,;+]\s*(?:chr\(|String\.fromCharCode\()?\s*)){8,4000}(?:0x[0-9a-fA-F]{2}|\d{2,3})\b"
)
_PERCENT: Final = re.compile(r"(?:%[0-9a-fA-F]{2}[\w.,;:/()*'!~+-]{0,6}){6,}")
_ROT13: Final = re.compile(r"\b(?:uggcf?://|vzcbeg (?:bf|flf|fbpxrg)|phey |rkrp\(|riny\(|fhqb )[^\n]{0,2000}")
_ROTATED: Final = ("uggc", "vzcbeg", "phey", "rkrp(", "riny(", "fhqb")
_ROT13_USED: Final = re.compile(r"rot_?-?13", re.IGNORECASE)
_QUOTED: Final = re.compile(r"[\"']([^\"'\n]{12,4000})[\"']")
_CODE: Final = re.compile(
    r"https?://|\b(?:import|exec|eval|curl|wget|bash|sudo|chmod|subprocess|socket|system|powershell|require|fetch|base64|ignore)\b"
)
_PRINTABLE: Final = bytes(sorted(set(string.printable.encode()) - {0x0B, 0x0C}))
_HIGH: Final = bytes(range(128, 256))
_XOR_BYTES: Final = 4096
_WORD: Final = re.compile(rb"[a-z]{2,}[ (.\n;:/\"']", re.IGNORECASE)
_ENCODED: Final = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}\s*")
"""What is encoded once more; that something else decodes to these letters alone does not happen by chance."""
_XOR: Final = tuple(bytes(byte ^ key for byte in range(256)) for key in range(256))


def blobs(text: str, budget: Budget) -> Iterator[tuple[str, int, bytes]]:
    """How it was encoded, where it begins, and the bytes, which are text or something packed. Raises ``GapError``."""
    count = 0
    seen: set[bytes] = set()
    for how, start, data in _candidates(text):
        plain = _useful(data, budget, covered="^" in text and how == "base64")
        if plain is None or plain[1] in seen:
            continue
        seen.add(plain[1])
        count += 1
        if count > MAX_BLOBS:
            raise GapError(f"more than {MAX_BLOBS} encoded pieces in one text")
        budget.decode(len(plain[1]))
        yield f"{how}{plain[0]}", start, plain[1]


def _useful(data: bytes, budget: Budget, *, covered: bool) -> tuple[str, bytes] | None:
    """The bytes if they are text or an archive, unpacked if they are a compressed stream."""
    if len(data) < 8:
        return None
    if archive_kind(data) is not None:
        return "", data
    if data[:1] == b"\x78" and data[1:2] in b"\x01\x5e\x9c\xda":
        try:
            return ", zlib", decompress("zlib", data, budget)
        except (zlib.error, EOFError):
            return None
    if is_text(data):
        return "", data
    if data.startswith((b"\x7fELF", b"MZ\x90")):
        return "", data
    if covered and len(data) <= _XOR_BYTES:
        return _uncovered(data)
    return None


def is_text(data: bytes) -> bool:
    """Whether bytes are text that says something, in ASCII mostly, and not just letters that happened to come out."""
    sample = data[:4000]
    if len(data) >= 24 and _ENCODED.fullmatch(data):
        return True
    printable = len(sample) - len(sample.translate(None, _PRINTABLE))
    if printable < len(sample):
        try:
            decoded = sample.decode("utf-8", "strict" if len(data) <= 4000 else "ignore")
        except UnicodeDecodeError:
            return False
        if printable < 0.5 * len(sample) or not all(c.isprintable() or c in "\n\r\t" for c in decoded):
            return False
    if len(sample) < 16:
        return bool(_WORD.search(sample))
    return bool(_WORD.search(sample)) or b"://" in sample


def _uncovered(data: bytes) -> tuple[str, bytes] | None:
    """What one byte of XOR covers, by the key that makes it look most like words and code."""
    best = (0.0, 0, b"")
    high = len(data) - len(data.translate(None, _HIGH))
    if 0.2 * len(data) < high < 0.8 * len(data):
        return None  # one key leaves letters on one side of the alphabet of bytes, and chance does not
    for key in range(128, 256) if high > 0.5 * len(data) else range(1, 128):
        plain = data.translate(_XOR[key])
        if is_text(plain) and len(_WORD.findall(plain)) >= 2:
            best = max(best, (sum(plain.count(c) for c in b" etaoinrs()._"), key, plain))
    return (f", XOR {best[1]}", best[2]) if best[2] else None


def _candidates(text: str) -> Iterator[tuple[str, int, bytes]]:  # noqa: C901 - one case an encoding
    if len(text) < 16:
        return
    mask = text.encode("latin-1", "replace")
    runs = mask.translate(_RUNS)
    longest = next((size for size in (40, 32, 24, 20) if b"x" * size in runs), 0)
    for found in _WRAPPED.finditer(text) if longest >= 40 else ():
        yield from _base64(re.sub(r"[^A-Za-z0-9+/=]", "", found[0]), found.start(), "base64")
    for start, end in _long(runs):
        yield from _base64(text[start:end], start, "base64")
    for found in _REVERSED.finditer(text) if "=" in text else ():
        yield from _base64(found[0][::-1], found.start(), "base64 backwards")
    for found in _BASE32.finditer(text) if longest >= 32 else ():
        yield from _try("base32", found.start(), base64.b32decode, found[0])
    for found in _HEX.finditer(text) if longest >= 24 else ():
        yield from _try("hexadecimal", found.start(), bytes.fromhex, found[0][: len(found[0]) // 2 * 2])
    for found in _ESCAPES.finditer(text) if text.count("\\") >= 6 else ():
        values = [int(a or b, 16) if a or b else int(c, 8) for a, b, c in _ESCAPE.findall(found[0])]
        yield "escapes", found.start(), bytes(value & 0xFF for value in values)
    for found in _NUMBERS.finditer(text) if _has_numbers(text, mask) else ():
        numbers = [int(n, 16) if n[:2] == "0x" else int(n) for n in re.findall(r"0x[0-9a-fA-F]{2}|\d{2,3}", found[0])]
        if all(number < 256 for number in numbers):
            yield "numbers", found.start(), bytes(numbers)
    for found in _PERCENT.finditer(text) if text.count("%") >= 6 else ():
        yield "percent signs", found.start(), urllib.parse.unquote_to_bytes(found[0])
    for found in _ROT13.finditer(text) if any(word in text for word in _ROTATED) else ():
        yield "rot13", found.start(), codecs.encode(found[0], "rot13").encode()
    if "b85" in text or "a85" in text or "base85" in text.lower():
        for found in _BASE85.finditer(text):
            yield from _try("base85", found.start(1), base64.b85decode, found[1])
            yield from _try("ascii85", found.start(1), _ascii85, found[1])
    yield from _quoted(text)


def _long(runs: bytes) -> Iterator[tuple[int, int]]:
    """From where to where what may be base64 stands. A pattern would try every character of every word."""
    start = runs.find(b"x" * _SHORTEST)
    while start >= 0:
        end = runs.find(b" ", start)
        end = len(runs) if end < 0 else end
        yield start, end
        start = runs.find(b"x" * _SHORTEST, end)


def _has_numbers(text: str, mask: bytes) -> bool:
    if text.count(",") + text.count("+") + text.count(";") < _LEAST_NUMBERS - 1:
        return False
    return not text.isascii() or mask.translate(_DIGITS).count(b"xx") + text.count("0x") >= _LEAST_NUMBERS


def _quoted(text: str) -> Iterator[tuple[str, int, bytes]]:
    """Quoted strings in texts that turn rot13, or that turn strings round."""
    rotated = "13" in text and _ROT13_USED.search(text) is not None
    turned = "[::-1]" in text or "reverse()" in text or re.search(r"\|\s*rev\b", text) is not None
    if turned:
        for found in _BASE64.finditer(text):
            yield from _base64(found[0].lstrip("=")[::-1], found.start(), "base64 backwards")
    if rotated or turned:
        for found in _QUOTED.finditer(text):
            if rotated and _CODE.search(plain := codecs.encode(found[1], "rot13")):
                yield "rot13", found.start(1), plain.encode()
            if turned and _CODE.search(plain := found[1][::-1]):
                yield "backwards", found.start(1), plain.encode()


def _base64(run: str, start: int, how: str) -> Iterator[tuple[str, int, bytes]]:
    bare = run.rstrip("=")
    if len(bare) > 4 * MAX_UNPACKED // 3:
        raise GapError("an encoded piece of more than 8 MiB")
    urlsafe = "-" in bare or "_" in bare
    if urlsafe and ("+" in bare or "/" in bare):
        return
    if len(bare) % 4 == 1:
        bare = bare[:-1]
    yield from _try(
        how,
        start,
        lambda one: base64.b64decode(one, altchars=b"-_" if urlsafe else None),
        bare + "=" * (-len(bare) % 4),
    )


def _ascii85(run: str) -> bytes:
    return base64.a85decode(run, adobe=run.startswith("<~"))


def _try(how: str, start: int, decode: Callable[[str], bytes], run: str) -> Iterator[tuple[str, int, bytes]]:
    try:
        yield how, start, decode(run)
    except (binascii.Error, ValueError):
        return
