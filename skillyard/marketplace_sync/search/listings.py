"""Making a listing from documents. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import starmap

from skillyard.marketplace_sync.catalogue.documents import (
    ModerationDocument,
    SkillDocument,
    VersionDocument,
)
from skillyard.marketplace_sync.search.words import stems, trigrams

Labels = tuple[tuple[str, str], ...]

LISTED = "*"
SIZES = ("=0", "=1", "=2", "=3")
"""The binary digits of how long a text is."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What was summed up over a skill: ``stars`` of ``ratings``, installs, calls."""

    stars: int = 0
    ratings: int = 0
    installs: int = 0
    calls: int = 0

    @property
    def rating(self) -> float | None:
        return self.stars / self.ratings if self.ratings else None


@dataclass(frozen=True, slots=True)
class Draft:
    """A listing as it is to be, with what is looked for in it: words of ``head`` come before those of ``text``."""

    key: str
    description: str
    listed: bool
    kind: str | None
    verdict: str | None
    latest: str | None
    deprecated: bool
    labels: Labels
    updated_at: datetime
    text: str

    @property
    def publisher(self) -> str:
        return self.key.partition("/")[0]

    @property
    def name(self) -> str:
        return self.key.partition("/")[2]


def draft(
    key: str,
    skill: SkillDocument,
    version: VersionDocument | None,
    moderation: Mapping[str, ModerationDocument],
    tally: Tally,
) -> Draft:
    """``version`` is the one that ``latest`` points to; ``moderation`` is by key, of the publisher, skill, version."""
    latest = skill.channels.get("latest")
    publisher = key.partition("/")[0]
    about = (publisher, key, f"{key}@{latest}")
    hidden = any(one in moderation and not moderation[one].state.listed for one in about)
    return Draft(
        key=key,
        description=skill.description,
        listed=version is not None and not hidden,
        kind=None if version is None else version.kind.value,
        verdict=None if version is None else version.verdict,
        latest=latest if version is not None else None,
        deprecated=skill.deprecated is not None,
        labels=_labels(publisher, skill, version) + star_labels(tally),
        updated_at=skill.updated_at,
        text=searched(skill),
    )


def star_labels(tally: Tally) -> Labels:
    """One for every number of stars that the average reaches."""
    return tuple(("stars", str(one)) for one in range(1, int(tally.rating or 0) + 1))


def write_labels(labels: Labels) -> str:
    """As a listing keeps them; values have neither of the marks."""
    return "".join(f"|{facet}:{value}" for facet, value in labels) + "|"


def read_labels(text: str) -> Labels:
    pairs = (one.partition(":") for one in text.split("|") if one)
    return tuple((facet, value) for facet, _, value in pairs)


def searched(skill: SkillDocument) -> str:
    """The text of a skill that is looked through."""
    return f"{skill.description} {skill.body}"


def found_by(key: str, labels: Labels, text: str) -> str:
    """All terms that a listing is found by, with a space on both sides of each.

    A term is a word, ``+`` and a word of the head (name, publisher, topics, categories), a label as ``facet:value``,
    ``#`` and three letters of the name, ``=`` and a digit of the text's length, or ``*``, which all have. No word has
    any of these marks.
    """
    publisher, _, name = key.partition("/")
    head = stems(" ".join([name, publisher, *[value for facet, value in labels if facet in ("topic", "category")]]))
    every = stems(text)
    size = _size(len(every))
    found = [LISTED, *map(head_term, head), *starmap(label_term, labels), *map(alike_term, trigrams(name))]
    found += [term for digit, term in enumerate(SIZES) if size >> digit & 1]
    return f" {' '.join(found)} {' '.join(head | every)} "


def head_term(word: str) -> str:
    return f"+{word}"


def label_term(facet: str, value: str) -> str:
    return f"{facet}:{value}"


def alike_term(trigram: str) -> str:
    return f"#{trigram}"


def _size(words: int) -> int:
    """How long a text is: a number more whenever it is longer by the root of two. Of two texts with one word, the
    shorter is more about it; BM25 comes to the same where no word is counted twice."""
    return min(max(int(2 * math.log2(max(words, 1) / 8)), 0), (1 << len(SIZES)) - 1)


def _labels(publisher: str, skill: SkillDocument, version: VersionDocument | None) -> Labels:
    found = [("publisher", publisher)]
    found += [("category", one) for one in dict.fromkeys(skill.categories)]
    found += [("topic", one) for one in dict.fromkeys(skill.topics)]
    if version is not None:
        found += [("kind", version.kind.value), ("verdict", version.verdict)]
        found += [("ecosystem", one.value) for one in dict.fromkeys(version.ecosystems)]
    return tuple(found)
