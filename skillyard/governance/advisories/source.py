"""The seam to wherever advisories come from, and the values that cross it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from skillyard.skills.skill import Ecosystem


class RecordKind(StrEnum):
    """What a file holds."""

    ADVISORIES = "advisories"
    """OSV records."""
    NAMES = "names"
    """Names of packages that are malicious in every version, one a line."""
    EPSS = "epss"
    """FIRST's scores of how likely a vulnerability is to be exploited."""
    KEV = "kev"
    """CISA's catalogue of known exploited vulnerabilities."""


@dataclass(frozen=True, slots=True)
class RecordSet:
    """Records on disk: one file or folder that belongs together.

    ``ecosystems`` says for which ecosystems this is the data; ``None`` leaves it to the records (see ``update``).
    ``data_date`` is the date of the data; ``None`` takes what the records say. ``kind`` is found out from the file
    where it is ``None`` (``formats.kind_of``). A set of ``changes`` holds the advisories that are new or different
    since the base, which keeps the others; it moves the base's date only to a ``data_date`` that is given.
    """

    path: Path
    ecosystems: frozenset[Ecosystem] | None = None
    data_date: datetime | None = None
    kind: RecordKind | None = None
    changes: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a source delivered. ``validator`` (an HTTP ETag or date, say) is given back at the next fetch."""

    sets: tuple[RecordSet, ...]
    validator: str | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The source has nothing newer than what ``validator`` stands for."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an update is. ``total`` is ``None`` where nobody knows it."""

    stage: str
    """``fetch`` (bytes), ``read`` (records) or ``write`` (records)."""
    done: int
    total: int | None


OnProgress = Callable[[Progress], None]


def unobserved(_: Progress) -> None:
    """The observer of nobody."""


class AdvisorySource(Protocol):
    """Where advisories come from (entry-point group ``skillyard.advisories``).

    ``fetch`` leaves records as files (``formats`` says which are read) below ``staging``,
    an empty folder that is removed after the update, or names files that are already there and are only read. It
    keeps time and size limits of its own, and raises ``AdvisorySourceError`` for whatever it cannot deliver whole.
    """

    @property
    def name(self) -> str:
        """Names the data to people, and tells one source's additions from another's."""
        ...

    async def fetch(self, staging: Path, *, validator: str | None, on_progress: OnProgress) -> Fetched | Unchanged: ...
