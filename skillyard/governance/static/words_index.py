"""Where trigger words stand in a text: all of them in one pass of YARA-X, however many there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import accumulate
from typing import Final

import yara_x

from skillyard.governance.static.gap import GapError

Places = Mapping[str, tuple[int, ...]]
"""For each trigger that occurs, the characters at which it begins."""

_TIME_LIMIT: Final = 5


class Triggers:
    """Some words in lower case, compiled once."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = tuple(sorted(set(words)))

    @cache  # noqa: B019  # there are few of these objects, and they live as long as the process
    def _compiled(self) -> yara_x.Rules:
        strings = " ".join(f"$t{number} = {{ {_hex(word)} }}" for number, word in enumerate(self._words))
        compiler = yara_x.Compiler()
        compiler.add_source(f"rule triggers {{ strings: {strings} condition: any of them }}")
        return compiler.build()

    def places(self, lowered: str) -> Places:
        """Where they stand. Raises ``GapError`` for a text that takes too long."""
        data = lowered.encode("utf-8", "replace")
        scanner = yara_x.Scanner(self._compiled())
        scanner.set_timeout(_TIME_LIMIT)
        try:
            rules = scanner.scan(data).matching_rules
        except (yara_x.TimeoutError, yara_x.ScanError) as error:
            raise GapError(f"its words were not found within {_TIME_LIMIT} seconds: {error}") from error
        found = {
            self._words[int(pattern.identifier[2:])]: [match.offset for match in pattern.matches]
            for rule in rules
            for pattern in rule.patterns
            if pattern.matches
        }
        if len(data) == len(lowered):
            return {word: tuple(offsets) for word, offsets in found.items()}
        characters = _characters(data, sorted({offset for offsets in found.values() for offset in offsets}))
        return {word: tuple(characters[offset] for offset in offsets) for word, offsets in found.items()}


def _hex(word: str) -> str:
    return word.encode().hex(" ")


def _characters(data: bytes, offsets: list[int]) -> dict[int, int]:
    """Bytes of UTF-8 to characters, for ascending offsets."""
    starts = [0, *offsets][: len(offsets)]
    lengths = accumulate(len(data[a:b].decode("utf-8", "ignore")) for a, b in zip(starts, offsets, strict=True))
    return dict(zip(offsets, lengths, strict=True))
