"""Where many patterns may begin in a text: found for all of them in one pass of YARA-X, and then tried there alone.

Python's ``re`` tries a pattern at every character. What a pattern has to begin with is taken from its syntax tree, as a
simpler pattern that matches wherever it does: looking around is left out, and everything from the first long repetition
on. A text is searched as one byte a character, so that places stay places; characters beyond ASCII share 128 bytes.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

import yara_x

from skillyard.governance.static.gap import GapError

_TIME_LIMIT: Final = 10
_LONG: Final = 12
"""A repetition of more than this ends what is looked for."""
_MOST_BEFORE: Final = 80
_ENOUGH: Final = 8
"""Characters after which a beginning is rare enough."""
_OTHER: Final = r"\x80-\xff"
_CLASSES: Final = {
    codes.CATEGORY_DIGIT: rf"0-9{_OTHER}",
    codes.CATEGORY_SPACE: rf"\x09-\x0d\x1c-\x20{_OTHER}",
    codes.CATEGORY_WORD: rf"0-9A-Za-z_{_OTHER}",
    codes.CATEGORY_NOT_DIGIT: r"\x00-\x2f\x3a-\xff",
    codes.CATEGORY_NOT_SPACE: r"\x00-\x08\x0e-\x1b\x21-\xff",
    codes.CATEGORY_NOT_WORD: r"\x00-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\xff",
}


def _byte(code: int) -> int:
    """The byte of a character, whatever its case."""
    if code < 128:
        return code
    lowered = chr(code).lower()
    return 128 + sum(map(ord, lowered)) * 31 % 128 if not lowered.isascii() or len(lowered) > 1 else ord(lowered)


class _Bytes(dict[int, int]):
    def __missing__(self, code: int) -> int:
        self[code] = made = _byte(code)
        return made


_BYTES: Final = _Bytes()


def _encoded(text: str) -> bytes:
    return text.encode() if text.isascii() else text.translate(_BYTES).encode("latin-1")


@dataclass(slots=True)
class _Written:
    """A beginning as YARA-X reads it, and whether all of the pattern is in it; ``least`` characters are certain."""

    text: str
    whole: bool
    least: int


_BEYOND: Final = re.compile(r"\\x[89a-f]")
_VAGUE: Final = re.compile(r"(?:\\b)?\(?\[[^\]]*-")
"""What begins with any of many characters is nothing to look for."""


Stretch = tuple[int, int, int]
"""From where to where a pattern may begin, and which of those of its name."""


class UnindexedError(ValueError):
    """A pattern that may begin anywhere; write it so that it begins with letters."""


def _sequence(tree: Sequence[Any]) -> _Written:
    text, least = "", 0
    for number, (op, argument) in enumerate(tree):
        one = _element(op, argument)
        if one is None or (not one.whole and not one.least):
            return _optional(text, least, one, tree[number + 1 :])
        text, least = text + one.text, least + one.least
        if not one.whole or least >= _ENOUGH:
            return _Written(text, False, least)
    return _Written(text, True, least)


def _optional(text: str, least: int, one: _Written | None, rest: Sequence[Any]) -> _Written:
    """What may be left out: then the pattern goes on with it, or with what comes after it."""
    after = _sequence(rest)
    if one is None or not one.text or not after.least:
        return _Written(text, False, least)
    return _Written(f"{text}({one.text}|{after.text})", False, least + 1)


def _element(op: Any, argument: Any) -> _Written | None:  # noqa: C901, PLR0911 - one case an operator
    if op in {codes.AT, codes.ASSERT, codes.ASSERT_NOT}:
        return _Written("", True, 0)
    if op is codes.LITERAL:
        return _Written(_hex(argument), True, 1)
    if op is codes.ANY:
        return _Written(r"[^\x0a]", True, 1)
    if op is codes.NOT_LITERAL:
        return _Written(r"[\x00-\xff]" if argument > 127 else f"[^{_hex(argument)}]", True, 1)
    if op is codes.IN:
        return _Written(_set(argument), True, 1)
    if op is codes.SUBPATTERN:
        inner = _sequence(argument[3])
        return _Written(f"({inner.text})", inner.whole, inner.least) if inner.text else _Written("", inner.whole, 0)
    if op is codes.BRANCH:
        branches = [_sequence(one) for one in argument[1]]
        text = "(" + "|".join(dict.fromkeys(one.text for one in branches)) + ")"
        least = min(one.least for one in branches)
        if not any(one.text for one in branches):
            return _Written("", all(one.whole for one in branches), 0)
        if any(not one.text for one in branches):
            text = "(" + "|".join(dict.fromkeys(one.text for one in branches if one.text)) + ")?"
        return _Written(text, all(one.whole for one in branches), least)
    if op in {codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT}:
        low, high, inner_tree = argument
        inner = _sequence(inner_tree)
        if high is codes.MAXREPEAT and inner.whole and inner.least == 1 and len(inner_tree) == 1:
            return _Written(f"{inner.text}{'+' if low else '*'}", True, low)
        if high > _LONG or not inner.whole:
            if low == 0:
                return _Written(inner.text, False, 0) if inner.least else None
            return _Written(f"({inner.text})" if inner.text else "", False, inner.least)
        if not inner.text:
            return _Written("", True, 0)
        return _Written(f"({inner.text}){{{low},{high}}}", True, low * inner.least)
    return None


def _set(members: Sequence[tuple[Any, Any]]) -> str:
    negated = bool(members) and members[0][0] is codes.NEGATE
    listed = members[1:] if negated else members
    if negated:
        # Characters beyond ASCII share bytes: what is left out among them is not left out here.
        parts = [_member(op, value, beyond=False) for op, value in listed]
        inside = "".join(parts)
        return f"[^{inside}]" if inside else r"[\x00-\xff]"
    return "[" + "".join(_member(op, value, beyond=True) for op, value in listed) + "]"


def _member(op: Any, value: Any, *, beyond: bool) -> str:
    if op is codes.LITERAL:
        return _hex(value) if value < 128 or beyond else ""
    if op is codes.RANGE:
        low, high = value
        if high < 128:
            return f"{_hex(low)}-{_hex(high)}"
        if not beyond:
            return f"{_hex(low)}-\\x7f" if low < 128 else ""
        return _OTHER if low > 127 else f"{_hex(low)}-\\x7f{_OTHER}"
    if op is codes.CATEGORY:
        written = _CLASSES[value]
        return written if beyond else written.replace(_OTHER, "").replace(r"-\xff", r"-\x7f")
    raise UnindexedError(f"a class with {op}")


def _hex(code: int) -> str:
    return f"\\x{_byte(code):02x}"


def _alternatives(tree: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The alternatives at the top of a pattern, each by itself."""
    listed = list(tree)
    start: list[Any] = []
    while listed and listed[0][0] is codes.AT:
        start, listed = [listed[0]], listed[1:]
    if len(listed) == 1 and listed[0][0] is codes.BRANCH:
        for one in listed[0][1][1]:
            yield from _alternatives([*start, *one])
    elif len(listed) == 1 and listed[0][0] is codes.SUBPATTERN:
        yield from _alternatives([*start, *listed[0][1][3]])
    else:
        yield [*start, *listed]


def _begun(tree: Sequence[Any]) -> tuple[int, str]:
    """By how much a match may begin before, and what is looked for."""
    before, listed = 0, list(tree)
    while listed:
        least, most = parser.SubPattern(parser.State(), [listed[0]]).getwidth()
        if least:
            break
        before += min(most, _MOST_BEFORE)
        listed = listed[1:]
    begun = _sequence(listed)
    at_word = bool(tree) and not before and tree[0] == (codes.AT, codes.AT_BOUNDARY)
    if at_word and not _BEYOND.search(begun.text.replace(_OTHER, "")):
        begun = replace(begun, text=rf"\b{begun.text}")
    if begun.least < 1 or _VAGUE.match(begun.text):
        raise UnindexedError(f"it may begin anywhere: {begun.text or tree}")
    return min(before, _MOST_BEFORE), begun.text


def alternatives(pattern: str) -> list[str]:
    """A pattern split where it says "or" outside of every group and class."""
    parts, depth, start, at, in_class = [], 0, 0, 0, False
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 1
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
            at += pattern[at + 1 : at + 2] == "^"
            at += pattern[at + 1 : at + 2] == "]"
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char == "|" and not depth:
            parts.append(pattern[start:at])
            start = at + 1
        at += 1
    return [*parts, pattern[start:]]


class Beginnings:
    """Patterns by name, several of a name if need be, indexed once."""

    def __init__(self, patterns: Mapping[str, tuple[re.Pattern[str], ...]]) -> None:
        self._patterns = dict(patterns)

    @cache  # noqa: B019  # there are few of these objects, and they live as long as the process
    def _compiled(self) -> tuple[yara_x.Rules, tuple[tuple[str, int, int], ...]]:
        strings: list[str] = []
        owners: list[tuple[str, int, int]] = []
        every = ((name, part, one) for name, some in self._patterns.items() for part, one in enumerate(some))
        for name, part, pattern in every:
            tree = parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE | re.UNICODE)
            begun = dict.fromkeys(_begun(one) for one in _alternatives(tree))
            for before, text in begun:
                flag = "i" if pattern.flags & re.IGNORECASE else ""
                strings.append(f"$s{len(strings)} = /{text}/{flag}s")
                owners.append((name, part, before))
        compiler = yara_x.Compiler()
        compiler.add_source(f"rule begun {{ strings: {' '.join(strings)} condition: any of them }}")
        return compiler.build(), tuple(owners)

    def places(self, text: str) -> Mapping[str, tuple[Stretch, ...]]:
        """For each pattern that may occur, the stretches in which it may begin, in order. Raises ``GapError``."""
        rules, owners = self._compiled()
        scanner = yara_x.Scanner(rules)
        scanner.set_timeout(_TIME_LIMIT)
        try:
            matching = scanner.scan(_encoded(text)).matching_rules
        except (yara_x.TimeoutError, yara_x.ScanError) as error:
            raise GapError(f"its signs were not found within {_TIME_LIMIT} seconds: {error}") from error
        found: dict[str, list[Stretch]] = {}
        for rule in matching:
            for one in rule.patterns:
                if one.matches:
                    name, part, before = owners[int(one.identifier[2:])]
                    kept = found.setdefault(name, [])
                    if before:
                        kept.extend((max(0, match.offset - before), match.offset, part) for match in one.matches)
                    else:
                        kept.extend((match.offset, match.offset, part) for match in one.matches)
        return {name: tuple(sorted(stretches)) for name, stretches in found.items()}

    def matches(self, text: str, name: str, start: int, end: int) -> Iterator[re.Match[str]]:
        """Every match of a pattern that begins and ends between two offsets, from left to right."""
        patterns = self._patterns[name]
        reached = start
        stretches = _places(self, text).get(name, ())
        for number in range(bisect_left(stretches, (start - _MOST_BEFORE, start, 0)), len(stretches)):
            first, last, part = stretches[number]
            if first >= end:
                return
            at = max(first, reached)
            while at <= last and at < end:
                found = patterns[part].match(text, at, end)
                if found is not None and found.end() > at:
                    reached = at = found.end()
                    yield found
                else:
                    at += 1


@lru_cache(maxsize=4)
def _places(index: Beginnings, text: str) -> Mapping[str, tuple[Stretch, ...]]:
    return index.places(text)
