"""Names that look like a popular one: other separators, look-alike characters, slips, affixes, another order.

What everybody does is left out on purpose: plug-ins are named after what they plug into (``pytest-…``, ``types-…``),
and short names are close to each other by chance.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from skillyard.governance.package_names.distance import deletions, within
from skillyard.governance.package_names.popular import popular_names
from skillyard.skills.skill import Ecosystem

_SLIP_FROM: Final = 5
"""Letters from which on one slip is worth telling; shorter names are close to each other by chance."""
_SUBSTITUTION_FROM: Final = 6
_TWO_SLIPS_FROM: Final = 12
_SEPARATORS: Final = re.compile(r"[-_.]+")
_AFFIXES: Final = frozenset({"python", "python3", "py", "py3", "js", "node", "nodejs", "npm", "pypi", "official"})
_SHAPES: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"))
_DIGITS: Final = str.maketrans({"0": "o", "1": "l", "3": "e", "5": "s", "i": "l"})


@dataclass(frozen=True, slots=True)
class Lookalike:
    """A name that may be taken for ``popular``; ``how`` ends a sentence that begins with the name."""

    popular: str
    how: str
    slips: int = 0


class Popular:
    """Popular names, arranged so that a name is compared with few of them."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        plain = [name for name in sorted(self.names) if not name.startswith("@")]
        self._bare = _by(plain, _bare)
        self._shape = _by(plain, _shape)
        self._words = _by([name for name in plain if len(_words(name)) > 1], _in_order)
        self._near: dict[str, list[str]] = {}
        for name in plain:
            for text in deletions(name, _slips(name)) if _slips(name) else ():
                self._near.setdefault(text, []).append(name)
        self._scopes = frozenset(name.partition("/")[0] for name in self.names if name.startswith("@"))

    def lookalike(self, name: str, known: Collection[str] = ()) -> Lookalike | None:
        """The popular name that a canonical name looks like; ``None`` for popular and ``known`` names themselves."""
        if name in self.names or name in known:
            return None
        if name.startswith("@"):
            return self._like_scope(name)
        if (found := self._bare.get(_bare(name))) is not None:
            return Lookalike(found, f"is {found} with other separators")
        if (found := self._shape.get(_shape(name))) is not None:
            return Lookalike(found, f"is {found} with characters that look alike")
        if (found := self._affixed(name)) is not None:
            return Lookalike(found, f"is {found} with an affix that says nothing about what it does")
        if len(_words(name)) > 1 and (found := self._words.get(_in_order(name))) is not None:
            return Lookalike(found, f"is {found} in another order")
        return self._slipped(name)

    def _affixed(self, name: str) -> str | None:
        words = _words(name)
        for rest in (words[1:] if words[0] in _AFFIXES else (), words[:-1] if words[-1] in _AFFIXES else ()):
            if rest and (found := self._bare.get("".join(rest))) is not None and len(found) >= _SLIP_FROM:
                return found
        return None

    def _slipped(self, name: str) -> Lookalike | None:
        most = _slips(name)
        if not most:
            return None
        near = {one for text in deletions(name, most) for one in self._near.get(text, ())}
        for slips in range(1, most + 1):
            for one in sorted(near):
                allowed = min(most, _slips(one))
                if slips <= allowed and within(name, one, slips) and _worth_telling(name, one):
                    return Lookalike(one, f"is {slips} slip{'' if slips == 1 else 's'} of a keyboard from {one}", slips)
        return None

    def _like_scope(self, name: str) -> Lookalike | None:
        """A scope that looks like a popular one: within a scope of one's own every name is one's own."""
        scope, slash, rest = name.partition("/")
        if not slash or scope in self._scopes or len(scope) <= _SLIP_FROM:
            return None
        for one in sorted(self._scopes):
            if len(one) > _SLIP_FROM and f"{one}/{rest}" in self.names and within(scope, one, 1):
                return Lookalike(f"{one}/{rest}", f"is {one}/{rest} in a scope that looks like {one}", 1)
        return None


@cache
def popular(ecosystem: Ecosystem) -> Popular:
    """The popular names that ship with the project."""
    return Popular(popular_names(ecosystem))


def _worth_telling(name: str, other: str) -> bool:
    """Not where two short names differ by one letter for another, nor where only a number at the end is another."""
    if len(name) == len(other) < _SUBSTITUTION_FROM and sorted(name) != sorted(other):
        return False
    ends = name.rstrip("0123456789"), other.rstrip("0123456789")
    numbered = name != ends[0] and other != ends[1]
    return not (numbered and ends[0] == ends[1])


def _slips(name: str) -> int:
    letters = len(_bare(name))
    return 0 if letters < _SLIP_FROM else 1 if letters < _TWO_SLIPS_FROM else 2


def _words(name: str) -> tuple[str, ...]:
    return tuple(word for word in _SEPARATORS.split(name.lower()) if word) or (name,)


def _bare(name: str) -> str:
    return _SEPARATORS.sub("", name.lower())


def _shape(name: str) -> str:
    text = _bare(name)
    for seen, read in _SHAPES:
        text = text.replace(seen, read)
    return text.translate(_DIGITS)


def _in_order(name: str) -> str:
    return "-".join(sorted(_words(name)))


def _by(names: Iterable[str], form: Callable[[str], str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(form(name), name)
    return found
