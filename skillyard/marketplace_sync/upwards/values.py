"""Values of the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.catalogue.entry import EntryKind
from skillyard.marketplace_sync.remotes.remote import RemoteId

UploadId = NewType("UploadId", int)


class UploadKind(StrEnum):
    """What goes up: a new version, a skill's metadata and channels, a rating, counts, a yank by the publisher."""

    VERSION = "version"
    SKILL = "skill"
    RATING = "rating"
    COUNTS = "counts"
    YANK = "yank"

    @property
    def entry_kind(self) -> EntryKind:
        """What it is an entry of, at the remote."""
        return EntryKind.MODERATION if self is UploadKind.YANK else EntryKind(self.value)

    @property
    def register(self) -> bool:
        """Whether only the last word counts: then a newer one takes the place of one that was never sent."""
        return self in (UploadKind.SKILL, UploadKind.RATING, UploadKind.COUNTS)


class UploadState(StrEnum):
    """``waiting`` for its turn, ``conflict`` until somebody decides, ``dead`` until an operator retries it, ``sent``,
    ``dropped`` when a conflict was settled against it or a newer item took its place."""

    WAITING = "waiting"
    CONFLICT = "conflict"
    DEAD = "dead"
    SENT = "sent"
    DROPPED = "dropped"


class DropReason(StrEnum):
    """Why an item does not go up: the remote says the ``same`` by now, the remote's side counts (``theirs``), or it was
    ``replaced`` by a newer one. Only in the second case is what somebody wanted not there."""

    SAME = "same"
    THEIRS = "theirs"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class UploadDraft:
    """What is to go up. ``document`` is canonical JSON, ``None`` takes back what is there; ``base_rev`` and
    ``base_json`` are the remote's entry that it was changed from; ``manifest_json`` is a version's."""

    kind: UploadKind
    key: str
    document: str | None
    created_by: str
    base_rev: int | None = None
    base_json: str | None = None
    manifest_json: str | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """One item of the outbox. ``item`` is its idempotency key, kept over all tries of this content."""

    id: UploadId
    workspace: WorkspaceId
    remote: RemoteId
    item: str
    kind: UploadKind
    key: str
    base_rev: int | None
    base_json: str | None
    document: str | None
    manifest_json: str | None
    state: UploadState
    attempts: int
    next_at: datetime
    counted_from: datetime
    error: str | None
    created_by: str
    created_at: datetime
    ended_at: datetime | None
    dropped: DropReason | None
    """Of one that is dropped, and of no other."""


@dataclass(frozen=True, slots=True)
class UploadReport:
    """What one run of sending did. ``waiting`` is what is left for later, because it was not due or did not go."""

    sent: int = 0
    duplicates: int = 0
    """Of those sent: what the remote had from an earlier try."""
    conflicts: int = 0
    dead: int = 0
    files: int = 0
    batches: int = 0
    waiting: int = 0
    seconds: float = 0.0
