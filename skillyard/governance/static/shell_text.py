"""Commands as a shell would read them, in a text of the same length, so that places stay places."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from skillyard.governance.static.urls import Url, urls

_PIPED: Final = re.compile(r"\|([ \t]*\r?\n[ \t]*(?:#[^\n]*\n[ \t]*)?)(?=[a-z/])")
_CONTINUED: Final = re.compile(r"[\\^`](?<![^ \t]`)\r?\n")
_SET_UP: Final = re.compile(
    r"\beval\s+[\"']?(?:\$\(|`)\s*(?:ssh-agent|brew shellenv|pyenv init|direnv hook|dircolors|starship init|zoxide init)[\w \t-]{0,24}(?:\)|`)[\"']?"
)
"""What programs say that everybody has set up by it; it decodes nothing, whatever comes after it."""
_SEPARATORS: Final = re.compile(r"\$\{?IFS\}?(?:\$\d)?")
_ASSIGNED: Final = re.compile(r"(?:^|[\s;&$])([A-Za-z_]\w{0,40})[ \t]{0,2}=[ \t]{0,2}(?=[^\n])")
_NAMES: Final = re.compile(r"\$(?:\{|env:)?([A-Za-z_]\w{0,40})")


def plain(text: str) -> str:
    """Continued lines joined and ``$IFS`` turned into blanks."""
    text = _PIPED.sub(lambda found: "|" + " " * len(found[1]), text)
    text = _CONTINUED.sub(lambda found: " " * len(found[0]), text)
    if "eval" in text:
        text = _SET_UP.sub(lambda found: " " * len(found[0]), text)
    return _SEPARATORS.sub(lambda found: " " * len(found[0]), text) if "IFS" in text else text


def logical_line(text: str, start: int, end: int) -> tuple[int, int]:
    """Where the whole line or lines begin and end that hold a match."""
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", max(start, end - 1))
    return first, len(text) if last < 0 else last


def addressed(text: str, start: int, end: int) -> list[Url]:
    """The addresses in a command; those of variables too that the same text sets to an address."""
    found = list(urls(text, start, end))
    concrete = [one for one in found if "$" not in one.host]
    if concrete:
        return concrete
    for name in sorted(set(_NAMES.findall(text, start, end)))[:8]:
        concrete.extend(_held(text, name))
    return concrete or found


@lru_cache(maxsize=64)
def _held(text: str, name: str) -> tuple[Url, ...]:
    """The addresses that a variable is set to, each once."""
    values = (text[at : at + 400].partition("\n")[0] for at in _assigned(text).get(name, ()))
    return tuple({one.text: one for value in values for one in urls(value)}.values())


@lru_cache(maxsize=2)
def _assigned(text: str) -> dict[str, list[int]]:
    """Where the values begin that are given to each variable."""
    values: dict[str, list[int]] = {}
    for found in _ASSIGNED.finditer(text):
        values.setdefault(found[1], []).append(found.end())
    return values
