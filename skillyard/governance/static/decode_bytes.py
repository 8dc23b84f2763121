"""From the bytes of a file to its text, by the encoding it declares; or to what kind of binary it is.

Nothing is guessed where a guess could hide something: a file that promises text by its name and is in no encoding that
it declares is a gap. What is no text by name and by content is binary, and named as what its first bytes say.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from skillyard.governance.static.gap import GapError
from skillyard.governance.static.languages import is_named_as_text
from skillyard.governance.static.limits import MAX_TEXT

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# PEP 263, an XML declaration, and HTML's meta element.
_DECLARED: Final = (
    re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)"),
    re.compile(rb"^\s*<\?xml[^>]{0,100}encoding\s*=\s*[\"']([-\w.]+)"),
    re.compile(rb"<meta[^>]{0,100}charset\s*=\s*[\"']?([-\w.]+)", re.IGNORECASE),
)
_KINDS: Final = (
    (b"\x7fELF", "an ELF program or library"),
    (b"MZ", "a Windows program or library"),
    (b"\xfe\xed\xfa\xce", "a Mach-O program or library"),
    (b"\xfe\xed\xfa\xcf", "a Mach-O program or library"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O program or library"),
    (b"\xce\xfa\xed\xfe", "a Mach-O program or library"),
    (b"\xca\xfe\xba\xbe", "a Mach-O or Java program"),
    (b"\0asm", "a WebAssembly module"),
)
_CODE_OBJECTS: Final = {".pyc": "compiled Python", ".pyo": "compiled Python", ".class": "compiled Java"}
_PICKLES: Final = frozenset({".pkl", ".pickle", ".joblib", ".dill", ".p"})
_UTF8: Final = frozenset({"utf-8", "utf8", "utf-8-sig", "ascii", "us-ascii"})
_CONTROL: Final = bytes(set(range(32)) - {7, 8, 9, 10, 12, 13, 27})


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    encoding: str


@dataclass(frozen=True, slots=True)
class Binary:
    """``program`` says what kind of executable code it is, or is empty."""

    program: str = ""
    pickle: bool = False


def read_bytes(path: str, data: bytes) -> Text | Binary:
    """Raises ``GapError`` for text that cannot be read, or is too long to be looked at."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return _decoded(data, encoding)
    if (declared := _declared(data)) is not None and (is_named_as_text(path) or b"\0" not in data):
        return _decoded(data, declared)
    if b"\0" not in data:
        try:
            return _bounded(data.decode("utf-8"), "utf-8")
        except UnicodeDecodeError:
            pass
    binary = _binary(path, data)
    if binary.program or binary.pickle:
        return binary
    if is_named_as_text(path):
        raise GapError("not text in UTF-8, nor in an encoding that it declares")
    if b"\0" in data or len(data.translate(None, _CONTROL)) < 0.98 * len(data) or not _mostly_ascii(data):
        return binary
    return _bounded(data.decode("latin-1"), "latin-1")


def program_kind(data: bytes) -> str:
    """What kind of program the bytes are, by how they begin; empty for none."""
    if data.startswith(b"MZ") and b"PE\0\0" not in data[:4096]:
        return ""
    return next((kind for magic, kind in _KINDS if data.startswith(magic)), "")


def _mostly_ascii(data: bytes) -> bool:
    return sum(byte < 128 for byte in data[:4096]) > 0.7 * len(data[:4096])


def _binary(path: str, data: bytes) -> Binary:
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in _CODE_OBJECTS:
        return Binary(program=_CODE_OBJECTS[suffix])
    pickle = suffix in _PICKLES or (data[:1] == b"\x80" and data[1:2] in b"\2\3\4\5" and data.endswith(b"."))
    return Binary(program=program_kind(data), pickle=pickle)


def _declared(data: bytes) -> str | None:
    """The encoding that a text names in itself; ``None`` also where that is UTF-8, which is tried anyway."""
    head = data[:2000]
    lines = [(line, _DECLARED[0]) for line in head.split(b"\n")[:2]]
    for place, pattern in (*lines, (head, _DECLARED[1]), (head, _DECLARED[2])):
        if found := pattern.search(place):
            name = found[1].decode("ascii", "replace").lower()
            return None if name in _UTF8 else name
    return None


def _decoded(data: bytes, encoding: str) -> Text:
    try:
        codec = codecs.lookup(encoding)
        # Codecs that are no text encodings (rot13, base64) are refused by ``bytes.decode`` itself.
        return _bounded(data.decode(codec.name), codec.name)
    except LookupError as error:
        raise GapError(f"declares the encoding {encoding[:40]!r}, which is none") from error
    except (UnicodeError, ValueError) as error:
        raise GapError(f"is not in the encoding that it declares, {encoding[:40]}") from error


def _bounded(text: str, encoding: str) -> Text:
    if len(text) > MAX_TEXT:
        raise GapError(f"a text of more than {MAX_TEXT // 2**20} Mi characters is not looked at")
    return Text(text, encoding)
