"""Values of the follower."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from skillyard.ids import PersonId
from skillyard.marketplace_sync.catalogue.documents import ModerationState
from skillyard.marketplace_sync.remotes.remote import Filters, RemoteId


class MirrorPhase(StrEnum):
    """How far the reading of a remote is.

    ``marking``: everything that the mirror holds is being marked as not seen yet. ``snapshot``: the whole catalogue is
    being read over it. ``sweeping``: at the head; what is still marked is being removed. ``feed``: only what changes.
    """

    MARKING = "marking"
    SNAPSHOT = "snapshot"
    SWEEPING = "sweeping"
    FEED = "feed"


@dataclass(frozen=True, slots=True)
class Believed:
    """What of the last head that was believed the next one is held against."""

    feed_id: str
    epoch: int
    seq: int
    moderation: int
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class Mirror:
    """Where the reading of a remote stands, kept in the transaction of every page."""

    remote: RemoteId
    phase: MirrorPhase
    cursor: str | None
    """As the remote gave it; ``None`` asks for the first page of a snapshot."""
    filters: Filters
    """What it was read with; others are a reason to read everything again."""
    believed: Believed | None
    checked_at: datetime | None
    """When the mirror was last found to be equal to a signed head."""


@dataclass(frozen=True, slots=True)
class Word:
    """A moderator's word that stops something, as kept here: it does not go away because it is not repeated."""

    key: str
    state: ModerationState
    reason: str
    epoch: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """Something of a page that could not be taken."""

    kind: str
    key: str
    seq: int
    reason: str
    raw: str
    member: bytes | None
    """See ``remotes.remote.Unreadable``."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a row that was set aside says that it is."""

    kind: str
    key: str
    seq: int
    member: bytes | None


@dataclass(frozen=True, slots=True)
class SetAsideItem:
    """The same as it is kept, for people to look at. ``document`` is as received, cut to a length."""

    id: int
    kind: str
    key: str
    seq: int
    after: int
    """The number that the page it came on began behind."""
    reason: str
    document: str
    first_at: datetime
    last_at: datetime
    tries: int


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that a publisher's versions have to be signed with here. ``accepted_by`` is who accepted a change;
    ``None`` for the first that was seen."""

    publisher: str
    key: str
    accepted_at: datetime
    accepted_by: PersonId | None


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one run did.

    ``entries`` came, ``applied`` of them were news, ``set_aside`` is how many items are set aside now. ``snapshot`` is
    whether the whole catalogue was read. ``equal`` is whether the mirror was found equal to the head that the remote
    signed; ``None`` where that cannot be told, because something is set aside or the remote signs nothing.
    """

    pages: int
    entries: int
    applied: int
    set_aside: int
    received_bytes: int
    seq: int
    snapshot: bool
    seconds: float
    equal: bool | None
    stopped: int
    """Installed versions that a moderator's word took out of use."""


@dataclass(frozen=True, slots=True)
class MirrorState:
    """A mirror as people see it. ``counts`` is of live entries, by kind; ``without_document`` of those that filters
    left out. ``as_of`` is when the remote issued the head that it was last read to."""

    remote: str
    phase: MirrorPhase | None
    feed_id: str
    epoch: int
    seq: int
    head_seq: int | None
    live: int
    counts: dict[str, int]
    without_document: int
    set_aside: int
    words: int
    as_of: datetime | None
    checked_at: datetime | None
    succeeded_at: datetime | None
