"""Commands as a shell would read them, in a text of the same length, so that places stay places."""

from __future__ import annotations

import re
from typing import Final

from skillyard.governance.static.urls import Url, urls

_CONTINUED: Final = re.compile(r"(?:[\\^]|(?<=[ \t])`)\r?\n|(?<=[|])[ \t]*\r?\n[ \t]*(?:#[^\n]*\n[ \t]*)?(?=[a-z/])")
_SEPARATORS: Final = re.compile(r"\$\{?IFS\}?(?:\$\d)?")
_ASSIGNED: Final = r"(?:^|[\s;&]|export |set |\$)(?:{name})\s{{0,2}}=\s{{0,2}}([^\n]{{1,400}})"
_NAMES: Final = re.compile(r"\$(?:\{|env:)?([A-Za-z_]\w{0,40})")


def plain(text: str) -> str:
    """Continued lines joined and ``$IFS`` turned into blanks."""
    text = _CONTINUED.sub(lambda found: " " * len(found[0]), text)
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
        for value in re.finditer(_ASSIGNED.format(name=re.escape(name)), text, re.MULTILINE):
            concrete.extend(urls(value[1]))
    return concrete or found
