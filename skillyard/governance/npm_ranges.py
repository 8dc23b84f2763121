"""Ranges of npm packages, with the meaning that ``node-semver`` 7 gives them (its README, "Ranges"). Pure.

The grammar is that README's: alternatives joined by ``||``; each a hyphen range, or comparators joined by spaces;
x-ranges, ``~``, ``^`` and the five relations over full or partial versions. A few spellings that npm puts up with and
the grammar does not have (``==1.2``, ``1.x.3``) are refused. Nothing that is taken means something else than to npm.

What a range says of prereleases is asked in two ways, as npm has two: by default ``1.3.0-beta`` is in a range only
where a comparator names a prerelease of 1.3.0 itself, and with ``prereleases=True`` wherever its place in the order is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

_MAX_CHARACTERS = 256
"""Of a version, as npm has it."""
_MAX_NUMBER = 2**53 - 1
"""JavaScript counts no further."""

_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRE_PART = rf"(?:[0-9]*[A-Za-z-][0-9A-Za-z-]*|{_NUMBER})"
_PRE = rf"(?:-(?P<pre>{_PRE_PART}(?:\.{_PRE_PART})*))?"
_BUILD = r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
_X = rf"(?:{_NUMBER}|[xX*])"
_VERSION = re.compile(rf"v?(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER}){_PRE}{_BUILD}")
_PARTIAL = re.compile(rf"v?(?P<major>{_X})(?:\.(?P<minor>{_X})(?:\.(?P<patch>{_X}){_PRE}{_BUILD})?)?")
_SPACED_OPERATOR = re.compile(r"(~>|[<>]=?|[=~^]) ")
_OPERATOR = re.compile(r"(?P<operator>~>|[<>]=?|[=~^]|)(?P<partial>.+)")

_Pre = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True, slots=True, order=True)
class NpmVersion:
    """A version in SemVer's order; its build has no place in it.

    ``release`` is 1 for a release, which comes behind its prereleases. ``pre`` sorts numbers before words.
    """

    major: int
    minor: int
    patch: int
    release: int
    pre: _Pre

    @property
    def core(self) -> tuple[int, int, int]:
        return self.major, self.minor, self.patch

    def __str__(self) -> str:
        pre = ".".join(word or str(number) for _, number, word in self.pre)
        return f"{self.major}.{self.minor}.{self.patch}{f'-{pre}' if pre else ''}"


@dataclass(frozen=True, slots=True)
class _Comparator:
    """``operator`` is ``<``, ``<=``, ``>``, ``>=`` or ``=``."""

    operator: str
    version: NpmVersion

    def admits(self, version: NpmVersion) -> bool:
        match self.operator:
            case "<":
                return version < self.version
            case "<=":
                return version <= self.version
            case ">":
                return version > self.version
            case ">=":
                return version >= self.version
            case _:
                return version == self.version


_Set = tuple[_Comparator, ...]
"""Comparators that all have to admit a version; none at all means every version."""


@dataclass(frozen=True, slots=True)
class _Partial:
    """A version whose last numbers may be left open (``None``)."""

    major: int | None
    minor: int | None
    patch: int | None
    pre: str

    @property
    def full(self) -> bool:
        return self.patch is not None

    def floor(self, *, lowest: bool) -> NpmVersion:
        """Its first version; with ``lowest`` the first prerelease of that, unless a full version was written."""
        pre = "0" if lowest and not self.full else self.pre if self.full else ""
        return _made(self.major or 0, self.minor or 0, self.patch or 0, pre)

    def behind(self) -> NpmVersion:
        """The first version behind all that a partial one leaves open, prereleases included."""
        assert self.major is not None  # noqa: S101 - asked only of those that name one
        return _made(self.major + 1, 0, 0, "0") if self.minor is None else _made(self.major, self.minor + 1, 0, "0")


class NpmRangeError(ValueError):
    """Not a range, with what is wrong about it."""


@dataclass(frozen=True, slots=True)
class NpmRange:
    """A range, in both ways of asking."""

    _usual: tuple[_Set, ...]
    _all: tuple[_Set, ...]

    def admits(self, version: NpmVersion, *, prereleases: bool = False) -> bool:
        if prereleases:
            return any(_within(alternative, version) for alternative in self._all)
        return any(_within(one, version) and _names_prerelease(one, version) for one in self._usual)

    @property
    def empty(self) -> bool:
        """Whether it was written in a way that no version fits (``>*``)."""
        return all(alternative == _NOTHING for alternative in self._all)


def npm_version(text: str) -> NpmVersion | None:
    """A full version; ``None`` for anything else."""
    found = _VERSION.fullmatch(text) if len(text) <= _MAX_CHARACTERS else None
    if found is None:
        return None
    try:
        major, minor, patch = (int(found[part]) for part in _PARTS)
        return _made(major, minor, patch, found["pre"] or "")
    except NpmRangeError:
        return None


@lru_cache(maxsize=16_384)
def npm_range(text: str) -> NpmRange:
    """Raises ``NpmRangeError`` saying what is wrong."""
    if not text.isascii():
        raise NpmRangeError("npm ranges are ASCII")
    alternatives = [" ".join(part.split()) for part in text.split("||")]
    usual, every = ([_set(part, lowest=lowest) for part in alternatives] for lowest in (False, True))
    return NpmRange(_simplified(usual), _simplified(every))


def _made(major: int, minor: int, patch: int, pre: str) -> NpmVersion:
    parts = tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in pre.split(".") if part)
    if max(major, minor, patch, *(number for _, number, _ in parts), 0) > _MAX_NUMBER:
        raise NpmRangeError(f"a number is larger than {_MAX_NUMBER}")
    return NpmVersion(major, minor, patch, 0 if parts else 1, parts)


_FIRST = NpmVersion(0, 0, 0, 0, ((0, 0, ""),))
_NOTHING: _Set = (_Comparator("<", _FIRST),)
_EVERYTHING: _Set = ()


def _within(comparators: _Set, version: NpmVersion) -> bool:
    return all(comparator.admits(version) for comparator in comparators)


def _names_prerelease(comparators: _Set, version: NpmVersion) -> bool:
    if version.release:
        return True
    return any(not one.version.release and one.version.core == version.core for one in comparators)


def _simplified(sets: list[_Set]) -> tuple[_Set, ...]:
    """Without the alternatives that admit nothing; and everything is everything, so that ``* || 1.0.0-beta`` has no
    prereleases, as ``*`` has none."""
    some = [one for one in sets if one != _NOTHING] or sets[:1]
    return (_EVERYTHING,) if _EVERYTHING in some else tuple(some)


def _set(text: str, *, lowest: bool) -> _Set:
    start, hyphen, end = text.partition(" - ")
    if hyphen:
        comparators = [*_hyphen_start(_partial(start), lowest=lowest), *_hyphen_end(_partial(end), lowest=lowest)]
    else:
        words = _SPACED_OPERATOR.sub(r"\1", text).split()
        comparators = [made for word in words for made in _comparators(word, lowest=lowest)]
    if _NOTHING[0] in comparators:
        return _NOTHING
    # What begins at the very first version excludes nothing, and npm takes it for "*".
    begin = _FIRST if lowest else _made(0, 0, 0, "")
    return tuple(one for one in comparators if one != _Comparator(">=", begin))


def _comparators(word: str, *, lowest: bool) -> Iterable[_Comparator]:
    found = _OPERATOR.fullmatch(word)
    if found is None:
        raise NpmRangeError(f"{word[:80]!r} is not a comparator")
    part = _partial(found["partial"])
    match found["operator"]:
        case "~" | "~>":
            return _tilde(part, lowest=lowest)
        case "^":
            return _caret(part, lowest=lowest)
        case "<" | ">" if part.major is None:
            return _NOTHING
        case _ if part.major is None:
            return _EVERYTHING
        case "" | "=":
            return _exactly(part, lowest=lowest)
        case operator:
            return (_related(operator, part, lowest=lowest),)


def _exactly(part: _Partial, *, lowest: bool) -> _Set:
    floor = part.floor(lowest=lowest)
    return (_Comparator("=", floor),) if part.full else (_Comparator(">=", floor), _Comparator("<", part.behind()))


def _related(operator: str, part: _Partial, *, lowest: bool) -> _Comparator:
    if part.full:
        return _Comparator(operator, part.floor(lowest=False))
    match operator:
        case ">":
            behind = part.behind()
            return _Comparator(">=", behind if lowest else _made(*behind.core, ""))
        case "<=":
            return _Comparator("<", part.behind())
        case "<":
            return _Comparator("<", part.floor(lowest=True))
        case _:
            return _Comparator(">=", part.floor(lowest=lowest))


def _tilde(part: _Partial, *, lowest: bool) -> _Set:
    if part.major is None:
        return _EVERYTHING
    return (_Comparator(">=", part.floor(lowest=lowest)), _Comparator("<", part.behind()))


def _caret(part: _Partial, *, lowest: bool) -> _Set:
    """Up to the next change of the leftmost number that is not zero."""
    if part.major is None:
        return _EVERYTHING
    if part.major or part.minor is None:
        behind = _made(part.major + 1, 0, 0, "0")
    elif part.minor or part.patch is None:
        behind = _made(0, part.minor + 1, 0, "0")
    else:
        behind = _made(0, 0, part.patch + 1, "0")
    return (_Comparator(">=", part.floor(lowest=lowest)), _Comparator("<", behind))


def _hyphen_start(part: _Partial, *, lowest: bool) -> _Set:
    if part.major is None:
        return _EVERYTHING
    if part.full and not part.pre and lowest:
        return (_Comparator(">=", _made(part.major, part.minor or 0, part.patch or 0, "0")),)
    return (_Comparator(">=", part.floor(lowest=lowest)),)


def _hyphen_end(part: _Partial, *, lowest: bool) -> _Set:
    if part.major is None:
        return _EVERYTHING
    if not part.full:
        return (_Comparator("<", part.behind()),)
    if part.pre or not lowest:
        return (_Comparator("<=", part.floor(lowest=False)),)
    return (_Comparator("<", _made(part.major, part.minor or 0, (part.patch or 0) + 1, "0")),)


def _partial(text: str) -> _Partial:
    found = _PARTIAL.fullmatch(text) if len(text) <= _MAX_CHARACTERS else None
    if found is None:
        raise NpmRangeError(f"{text[:80]!r} is not a version or part of one")
    numbers = [None if found[part] in (None, "x", "X", "*") else int(found[part]) for part in _PARTS]
    opened = numbers.index(None) if None in numbers else len(numbers)
    if any(number is not None for number in numbers[opened:]):
        raise NpmRangeError(f"{text[:80]!r} names a number behind one that it leaves open")
    major, minor, patch = numbers
    return _Partial(major, minor, patch, found["pre"] or "")


_PARTS = ("major", "minor", "patch")
