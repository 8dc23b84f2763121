"""TOML that strangers wrote, read within limits.

The standard library's parser keeps every prefix of a dotted key, so that memory grows with the square of its parts, and
each table costs a thousand times its two characters. So keys and brackets are counted before anything is parsed.
"""

from __future__ import annotations

import re
import tomllib

from skillyard.skills.errors import SkillError

MAX_PARTS = 32
"""Parts of one key or table's name, ``a.b."c"``."""
MAX_DEPTH = 64
"""Arrays and inline tables in one another."""
MAX_NAMES = 200_000
"""Dots, arrays and tables of a whole text."""

_WORD = r"[A-Za-z0-9_+-]"
_MAX_WORD = 1000
_PART = rf"""(?:{_WORD}++|'[^'\n]*+'|"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+")"""
_TOO_LONG = rf"{_WORD}{{{_MAX_WORD + 1}}}"
_NEXT = rf"[ \t]*+\.[ \t]*+(?!{_TOO_LONG}){_PART}"
_TOKEN = re.compile(
    rf"""
    [\s=,:]++
    | \#[^\n]*+
    | \"\"\"(?:[^"\\]++|\\.|"(?!""))*+\"\"\"\"{{0,2}}
    | '''(?:[^']++|'(?!''))*+''''{{0,2}}
    | (?P<endless>\"\"\"|''')
    | (?P<word>{_TOO_LONG})
    | (?P<key>{_PART}(?:{_NEXT}){{0,{MAX_PARTS - 1}}}+(?P<more>{_NEXT})?+)
    | (?P<open>[\[{{])
    | (?P<close>[\]}}])
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_LINE = re.compile(r"\(at line (\d+), ")


def loads_toml(text: str, *, file: str) -> dict[str, object]:
    """What a text says. Raises ``SkillError`` with the line, for what is no TOML and for what is beyond the limits."""
    _check(text, file)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _LINE.search(str(error))
        line = int(match[1]) if match else text.rstrip().count("\n") + 1
        raise SkillError(f"not valid TOML: {error}", file=file, line=line) from error
    except (ValueError, RecursionError) as error:
        raise SkillError("not valid TOML: a number is too long, or values are nested too deep", file=file) from error


def _check(text: str, file: str) -> None:
    """Count what costs memory. Strings end where the parser ends them, and it stops at one that has no end."""
    depth = names = 0
    for token in _TOKEN.finditer(text):
        match token.lastgroup:
            case "key" | "more":
                if token["more"] is not None:
                    raise _beyond(text, token, file, f"a key has more than {MAX_PARTS} parts")
                names += token[0].count(".")
            case "open":
                depth += 1
                names += 1
            case "close":
                depth = max(0, depth - 1)
            case "word":
                raise _beyond(text, token, file, f"a word is longer than {_MAX_WORD} characters")
            case "endless":
                return
            case "other" if token[0] in "\"'":
                return
            case _:
                continue
        if depth > MAX_DEPTH:
            raise _beyond(text, token, file, f"values are nested more than {MAX_DEPTH} deep")
        if names > MAX_NAMES:
            raise _beyond(text, token, file, f"has more than {MAX_NAMES} dots, arrays and tables")


def _beyond(text: str, token: re.Match[str], file: str, what: str) -> SkillError:
    return SkillError(f"not read: {what}", file=file, line=text.count("\n", 0, token.start()) + 1)
