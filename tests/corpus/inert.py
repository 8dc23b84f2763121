"""Whether what is in the labelled set can do harm: the addresses it names, in what is written and in what it encodes.

A skill of the set may name reserved addresses only (RFC 2606, 5737, 3849), this machine, and the address of clouds'
metadata service, which is the same on all of them. Benign ones may also name the few public hosts that such skills do.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import gzip
import ipaddress
import itertools
import re
import string
import unicodedata
import zlib
from collections.abc import Iterator

MAX_DEPTH = 4
MAX_XOR_BYTES = 4096

RESERVED = re.compile(
    r"(?:.+\.)?(?:example|test|invalid|localhost|example\.(?:com|net|org))"
    r"|www\.w3\.org|schemas\.openxmlformats\.org"  # names of formats, which nobody fetches
)
KNOWN_HOSTS = frozenset({"github.com", "api.github.com", "sh.rustup.rs"})
_NETWORKS = [
    ipaddress.ip_network(network)
    for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "127.0.0.0/8", "::1/128")
]
_SINGLE = {ipaddress.ip_address(address) for address in ("0.0.0.0", "169.254.169.254")}

_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://(?:[^\s/@\"'`<>]*@)?([\w.-]+|\[[0-9a-f:.]+\])", re.IGNORECASE)
_MAIL = re.compile(r"[\w.+-]+@([\w-]+(?:\.[\w-]+)*\.[a-z]{2,})\b", re.IGNORECASE)
_NAME = re.compile(r"(?<![\w.@/-])((?:[a-z0-9-]+\.)+(?:com|net|org|ru|cn|xyz|onion|cc))\b", re.IGNORECASE)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)")

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_BASE64_REVERSED = re.compile(r"={0,2}[A-Za-z0-9+/_-]{12,}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){8,}")
_ESCAPES = re.compile(r"(?:\\x[0-9a-fA-F]{2}){4,}")
_NUMBERS = re.compile(r"(?:\b\d{2,3}\b[^\w\n]{1,4}(?:chr\()?){5,}\d{2,3}\b")
_JOINTS = re.compile(r"[\"']\s*\+?\s*[\"']")
_ROT13_URL = re.compile(r"\buggcf?://\S+")
_PRINTABLE = frozenset(string.printable.encode())
_XOR = [bytes(byte ^ key for byte in range(256)) for key in range(1, 256)]


def foreign_addresses(content: bytes, *, known_hosts: frozenset[str] = frozenset()) -> set[str]:
    """The addresses in a file, or in something that it encodes, which might belong to somebody."""
    return {
        address for text in views(content) for address in addresses(text) if not _harmless(address.lower(), known_hosts)
    }


def addresses(text: str) -> Iterator[str]:
    for pattern in (_URL, _MAIL, _NAME):
        for found in pattern.finditer(text):
            yield found[1].strip("[].")
    for found in _IPV4.finditer(text):
        yield found[0]


def _harmless(address: str, known_hosts: frozenset[str]) -> bool:
    if not address or RESERVED.fullmatch(address) or address in known_hosts:
        return True
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return ip in _SINGLE or any(ip in network for network in _NETWORKS)


def views(content: bytes, depth: int = 0) -> Iterator[str]:
    """The text of some bytes, and that of everything found encoded in them, in turn."""
    text = content.decode("utf-8", errors="replace")
    visible = "".join(c for c in text if unicodedata.category(c) != "Cf")
    yield text
    yield visible
    yield _JOINTS.sub("", visible)
    for found in _ROT13_URL.finditer(visible):
        yield codecs.encode(found[0], "rot13")
    if depth < MAX_DEPTH:
        for inner in itertools.chain(_decoded(text), _unpacked(content)):
            yield from views(inner, depth + 1)


def _decoded(text: str) -> Iterator[bytes]:
    """What is encoded in a text. Words happen to be valid base64: what is neither text nor packed is left."""
    for joined in {text, _JOINTS.sub("", text)}:
        for blob in _blobs(joined):
            if _PRINTABLE.issuperset(blob):
                yield blob
            else:
                yield from _unpacked(blob)
                yield from _uncovered(blob)
    yield bytes(ord(c) - 0xE0000 for c in text if 0xE0020 <= ord(c) < 0xE007F)
    bits = "".join({"\u200b": "0", "\u200c": "1"}.get(c, "") for c in text)
    yield bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))


def _blobs(text: str) -> Iterator[bytes]:
    for pattern, backwards in ((_BASE64, False), (_BASE64_REVERSED, True)):
        for found in pattern.finditer(text):
            run = found[0][::-1] if backwards else found[0]
            run = run.rstrip("=")
            try:
                yield base64.b64decode(run + "=" * (-len(run) % 4), altchars=b"-_" if re.search("[-_]", run) else None)
            except binascii.Error:
                continue
    for found in _HEX.finditer(text):
        yield bytes.fromhex(found[0])
    for found in _ESCAPES.finditer(text):
        yield bytes.fromhex(found[0].replace("\\x", ""))
    for found in _NUMBERS.finditer(text):
        yield bytes(number for number in map(int, re.findall(r"\d+", found[0])) if number < 256)


def _unpacked(content: bytes) -> Iterator[bytes]:
    for unpack in (zlib.decompress, gzip.decompress):
        try:
            yield unpack(content)
        except (zlib.error, OSError, EOFError):
            continue


def _uncovered(blob: bytes) -> Iterator[bytes]:
    """What one byte of XOR may cover, if that makes text of it."""
    if 16 <= len(blob) <= MAX_XOR_BYTES:
        for covers in _XOR:
            plain = blob.translate(covers)
            if _PRINTABLE.issuperset(plain):
                yield plain
