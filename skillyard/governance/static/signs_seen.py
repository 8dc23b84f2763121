"""Where signs of prose stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from skillyard.governance.static.beginnings import Beginnings
from skillyard.governance.static.signs_deeds import DEEDS
from skillyard.governance.static.signs_fronts import ELSEWHERE, FRONTS
from skillyard.governance.static.signs_words import SIGNS, WEAK, Seen, Sign
from skillyard.governance.static.words_text import plain

_NAMES: Final = {
    sign: f"{sign.kind} {number}" for number, sign in enumerate((*SIGNS, *DEEDS, *FRONTS, *ELSEWHERE, *WEAK))
}
_INDEX: Final = Beginnings({name: sign.patterns for sign, name in _NAMES.items()})
_ENDS: Final = re.compile(r"(?<=[.!?])[ \t]")
_BEFORE: Final = 160


def sentences(text: str) -> str:
    """A text as words, in which the blank after a sentence is a mark of its own; of the same length."""
    return _ENDS.sub("\x1e", plain(text))


def seen(words: str, sign: Sign, start: int = 0, end: int | None = None) -> Iterator[Seen]:
    """Where a sign stands between two offsets of a text of words."""
    for found in _INDEX.matches(words, _NAMES[sign], start, len(words) if end is None else end):
        if sign.before is None or sign.before.search(words, max(0, found.start() - _BEFORE), found.start()):
            yield Seen(sign, found.start(), found.end())
