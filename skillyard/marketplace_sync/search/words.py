"""Text as the index sees it: folded, cut into words, and compared by trigrams. Nothing that people type is syntax."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

MAX_TERMS = 12
_WORD = re.compile(r"[^\W_]+")
_LONGEST = 64


def folded(text: str) -> str:
    """Lower case without accents, so that both engines and whoever types see one spelling."""
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text)
    return "".join(one for one in parts if not unicodedata.combining(one)).casefold()


def words(text: str) -> str:
    """The words of a text, each once, a space between them; what neither is a letter nor a digit is gone.

    How often a word occurs weighs little for texts this short, and indexing by it costs twice as much.
    """
    return " ".join(dict.fromkeys(one[:_LONGEST] for one in _WORD.findall(folded(text))))


def terms(text: str) -> tuple[str, ...]:
    """The words that are looked for, without repetitions and up to ``MAX_TERMS``."""
    found = (one[:_LONGEST] for one in _WORD.findall(folded(text)))
    return tuple(dict.fromkeys(found))[:MAX_TERMS]


def as_name(text: str) -> str:
    """What somebody typed, as the name of a skill would be spelled."""
    return "-".join(_WORD.findall(folded(text)))


def token(facet: str, value: str) -> str:
    """A label as one word that no tokenizer takes apart and no text has by chance."""
    return "z" + hashlib.sha256(f"{facet}:{value}".encode()).hexdigest()[:15]


def tokens(labels: Iterable[tuple[str, str]]) -> str:
    return " ".join(token(facet, value) for facet, value in labels)


def trigrams(text: str) -> frozenset[str]:
    """Runs of three characters of each word, with its edges, as PostgreSQL's pg_trgm takes them."""
    found: set[str] = set()
    for word in _WORD.findall(folded(text)):
        padded = f"  {word} "
        found.update(padded[begin : begin + 3] for begin in range(len(padded) - 2))
    return frozenset(found)


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Between 0 and 1: the share of trigrams that both have."""
    together = len(one | other)
    return len(one & other) / together if together else 0.0
