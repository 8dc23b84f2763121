"""Words as they are read: across line ends and emphasis, in a text of the same length, so that places stay places."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from skillyard.governance.static.beginnings import Beginnings
from skillyard.governance.static.words_index import Places, Triggers
from skillyard.governance.static.words_phrases import (
    ARCHIVES,
    ENCODING,
    PASSWORDS,
    PHRASES,
    PROTECTIONS,
    SECRETS,
    SENDING_ELSEWHERE,
    UNASKED_HINTS,
    UNTOLD_HINTS,
    Phrase,
)

_LINE_END: Final = re.compile(r"(?<=[^\n])\n[ \t]*(?:(?:#|//|\*|>|--|;|\")[ \t]*)?(?=[^\s#|>*\-+`\d<])")
_AFTER: Final = 320
_TRIGGERS: Final = Triggers(
    [
        *(trigger for phrase in PHRASES for trigger in phrase.triggers),
        *SECRETS,
        *ARCHIVES,
        *PASSWORDS,
        *PROTECTIONS,
        *ENCODING,
        *SENDING_ELSEWHERE,
        *UNTOLD_HINTS,
        *UNASKED_HINTS,
        "http",
        "<",
        "[",
    ]
)
_PHRASES: Final = Beginnings({str(number): (phrase.pattern,) for number, phrase in enumerate(PHRASES)})
_NUMBERS: Final = {phrase: str(number) for number, phrase in enumerate(PHRASES)}


def plain(text: str) -> str:
    """Lines of a paragraph, or of a comment, joined by blanks; emphasis and code marks turned into blanks."""
    joined = _LINE_END.sub(lambda found: " " * len(found[0]), text)
    for mark in "*_~`":
        joined = joined.replace(mark, " ")
    return joined


@dataclass(frozen=True, slots=True)
class Words:
    """A text as words, and where trigger words stand in it."""

    text: str
    places: Places

    def has(self, *triggers: str) -> bool:
        return any(trigger in self.places for trigger in triggers)


@lru_cache(maxsize=2)
def prepared(text: str) -> Words:
    words = plain(text)
    lowered = words.lower()
    if len(lowered) != len(words):  # a few letters change their length in lower case
        lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in words)
    return Words(words, _TRIGGERS.places(lowered))


def found(phrase: Phrase, words: Words) -> Iterator[re.Match[str]]:
    """Where a phrase stands. Only the neighbourhoods of its triggers are looked at."""
    for start, end in windows(phrase.triggers, words, phrase.before):
        yield from _PHRASES.matches(words.text, _NUMBERS[phrase], start, end)


def windows(triggers: tuple[str, ...], words: Words, before: int, after: int = _AFTER) -> list[tuple[int, int]]:
    """The neighbourhoods of some words, merged where they meet."""
    spans = sorted((max(0, at - before), at + after) for trigger in triggers for at in words.places.get(trigger, ()))
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
