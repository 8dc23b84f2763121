"""How a remote stands, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from skillyard.marketplace_sync.jobs.values import Known
from skillyard.marketplace_sync.upwards.values import UploadState


@dataclass(frozen=True, slots=True)
class Footing(Known):
    """How following a remote goes, and whether anything failed for good: what its health is judged by."""

    created_at: datetime
    succeeded_at: datetime | None
    failures: int
    error: str | None
    paused: bool
    """Whether following it is told to rest."""
    seconds: float | None
    """A period of its own."""
    dead: int
    """Uploads that failed for good."""
    set_aside: int


@dataclass(frozen=True, slots=True)
class Standing(Footing):
    """A remote as the database tells it. ``head_seq`` is of the last head that was believed; skills and categories are
    those that the mirror has with their documents."""

    seq: int
    head_seq: int | None
    skills: int
    categories: int
    tried_at: datetime | None
    uploads: Mapping[UploadState, int]
    sent_at: datetime | None
    """When what was due was last sent in full."""
    conflicts: int

    @property
    def lag(self) -> int | None:
        """Changes of the remote that the mirror is known not to have."""
        return None if self.head_seq is None else max(0, self.head_seq - self.seq)
