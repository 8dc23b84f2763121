"""Text as the index sees it: folded, cut into words, and compared by trigrams. Nothing that people type is syntax."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from skillyard.marketplace_sync.search.stems import STEMS

MAX_TERMS = 12
_WORD = re.compile(r"[^\W_]+")
_ASCII = {code: chr(code).lower() if chr(code).isalnum() else " " for code in range(128)}


def folded(text: str) -> str:
    """Lower case without accents, so that whoever types sees one spelling."""
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text)
    return "".join(one for one in parts if not unicodedata.combining(one)).casefold()


def words(text: str) -> list[str]:
    """Runs of letters and digits, folded."""
    if text.isascii():
        # Several times as fast as the expression, and nearly all that is indexed.
        return text.translate(_ASCII).split()
    return _WORD.findall(folded(text))


def stems(text: str) -> dict[str, None]:
    """The words of a text without their endings, each once and in order.

    How often a word occurs weighs little for texts this short, and indexing by it costs twice as much.
    """
    return dict.fromkeys(map(STEMS.__getitem__, words(text)))


def terms(text: str) -> tuple[str, ...]:
    """The words that are looked for, without repetitions and up to ``MAX_TERMS``."""
    return tuple(stems(text))[:MAX_TERMS]


def as_name(text: str) -> str:
    """What somebody typed, as the name of a skill would be spelled."""
    return "-".join(words(text))


def trigrams(text: str) -> frozenset[str]:
    """Runs of three characters of each word, with its edges."""
    return frozenset().union(*map(_of_word, words(text)))


@lru_cache(maxsize=4096)
def _of_word(word: str) -> frozenset[str]:
    """Names are made of the same words over and over."""
    padded = f"__{word}_"
    return frozenset([padded[begin : begin + 3] for begin in range(len(padded) - 2)])


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Between 0 and 1: the share of trigrams that both have."""
    together = len(one | other)
    return len(one & other) / together if together else 0.0
