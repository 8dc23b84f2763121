"""Patterns of YARA-X over a text: linear in its length whatever the text, and no code of the text's is run.

The rules lie in ``rules/*.yar``. They find candidates; whether a candidate is an attack is for the detector to judge,
by the address in it and by where it stands (``words_context``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import yara_x

from skillyard.governance.static.gap import GapError

SETS: Final = ("shell", "javascript")
TIME_LIMIT: Final = 5
"""Seconds for one text. Ordinary ones take a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Match:
    """``start`` and ``end`` are characters of the text. ``pattern`` is the pattern's name, without its dollar sign."""

    rule: str
    judge: str
    pattern: str
    start: int
    end: int


@cache
def compiled(name: str) -> yara_x.Rules:
    """A set of rules. Takes a tenth of a second once; a process that scans often does it before it forks."""
    source = files("skillyard.governance.static").joinpath("rules", f"{name}.yar").read_text(encoding="utf-8")
    compiler = yara_x.Compiler(error_on_slow_pattern=True, includes_enabled=False)
    compiler.add_source(source, origin=f"{name}.yar")
    return compiler.build()


def matches(name: str, text: str) -> Iterator[Match]:
    """What a set of rules finds in a text, in the order of the rules. The text is taken to end with a line.

    Raises ``GapError`` for a text that takes too long.
    """
    data = f"{text}\n".encode("utf-8", "replace")
    where = _Characters(data, len(data) == len(text) + 1)
    scanner = yara_x.Scanner(compiled(name))
    scanner.set_timeout(TIME_LIMIT)
    try:
        results = scanner.scan(data)
    except (yara_x.TimeoutError, yara_x.ScanError) as error:
        raise GapError(f"not matched within {TIME_LIMIT} seconds: {error}") from error
    for rule in results.matching_rules:
        said = dict(rule.metadata)
        for pattern in rule.patterns:
            for match in pattern.matches:
                start, end = where.of(match.offset), where.of(match.offset + match.length)
                yield Match(str(said["shows"]), str(said["judge"]), pattern.identifier[1:], start, min(end, len(text)))


@dataclass(frozen=True, slots=True)
class _Characters:
    """Bytes of UTF-8 to characters."""

    data: bytes
    ascii: bool

    def of(self, offset: int) -> int:
        return offset if self.ascii else len(self.data[:offset].decode("utf-8", "ignore"))
