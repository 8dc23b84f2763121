"""JavaScript whose words were cut up, put together again: ``"cu" + "rl"``, ``["cu", "rl"].join("")``."""

from __future__ import annotations

import re
from typing import Final

_JOINED: Final = re.compile(
    r"\[((?:\s*(?:\"[^\"\n\\]{0,80}\"|'[^'\n\\]{0,80}')\s*,?){2,60})\]\s*\.\s*join\(\s*(?:\"([^\"\n]{0,4})\"|'([^'\n]{0,4})')\s*\)"
)
_REVERSED: Final = re.compile(
    r"(?:\"([^\"\n\\]{4,400})\"|'([^'\n\\]{4,400})')\s*\.\s*split\(\s*(?:\"\"|'')\s*\)\s*\.\s*reverse\(\s*\)\s*\.\s*join\(\s*(?:\"\"|'')\s*\)"
)
_PART: Final = re.compile(r"\"([^\"\n\\]{0,80})\"|'([^'\n\\]{0,80})'")
_ADDED: Final = re.compile(r"([\"'`])\s*\+[ \t]*\1")
_ESCAPED: Final = re.compile(r"\\x([0-9a-fA-F]{2})|\\u00([0-9a-fA-F]{2})")
_CODES: Final = re.compile(
    r"String\.fromCharCode\(\s*((?:(?:0x)?[0-9a-fA-F]{1,4}\s*,\s*){1,400}(?:0x)?[0-9a-fA-F]{1,4})\s*\)"
)


def folded(text: str) -> str:
    """The text with constant strings put together. Lines stay where they are."""
    if not _ESCAPED.search(text) and not any(
        mark in text for mark in ("join(", "fromCharCode(", '" +', "' +", '"+', "'+", "reverse(")
    ):
        return text
    text = _ESCAPED.sub(lambda found: _character(int(found[1] or found[2], 16)), text)
    text = _REVERSED.sub(lambda found: f'"{(found[1] or found[2])[::-1]}"', text)
    text = _CODES.sub(_decoded, text)
    text = _JOINED.sub(_together, text)
    return _ADDED.sub("", text)


def _together(found: re.Match[str]) -> str:
    between = found[2] or found[3] or ""
    parts = [part[1] or part[2] or "" for part in _PART.finditer(found[1])]
    return f'"{between.join(parts)}"' + "\n" * found[0].count("\n")


def _decoded(found: re.Match[str]) -> str:
    codes = [int(code, 0) for code in re.split(r"\s*,\s*", found[1]) if re.fullmatch(r"0x[0-9a-fA-F]+|\d+", code)]
    return '"' + "".join(_character(code) for code in codes if code < 0x110000) + '"'


def _character(code: int) -> str:
    return chr(code) if 32 <= code < 127 and code not in {34, 39, 92} else " "
