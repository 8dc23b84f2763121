"""Making a listing from documents. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from skillyard.marketplace_sync.catalogue.documents import (
    ModerationDocument,
    SkillDocument,
    VersionDocument,
)
from skillyard.marketplace_sync.search.words import tokens, words

Labels = tuple[tuple[str, str], ...]


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
    """A listing as it is to be, with what is looked for in it: ``head`` weighs more than ``text``."""

    key: str
    description: str
    listed: bool
    kind: str | None
    verdict: str | None
    latest: str | None
    deprecated: bool
    labels: Labels
    updated_at: datetime
    head: str
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
    publisher, _, name = key.partition("/")
    about = (publisher, key, f"{key}@{latest}")
    hidden = any(one in moderation and not moderation[one].state.listed for one in about)
    said = (*skill.topics, *skill.categories)
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
        head=words(" ".join((name, publisher, *said))),
        text=words(f"{skill.description} {skill.body}"),
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


def label_words(labels: Labels) -> str:
    return tokens(labels)


def _labels(publisher: str, skill: SkillDocument, version: VersionDocument | None) -> Labels:
    found = [("publisher", publisher)]
    found += [("category", one) for one in dict.fromkeys(skill.categories)]
    found += [("topic", one) for one in dict.fromkeys(skill.topics)]
    if version is not None:
        found += [("kind", version.kind.value), ("verdict", version.verdict)]
        found += [("ecosystem", one.value) for one in dict.fromkeys(version.ecosystems)]
    return tuple(found)
