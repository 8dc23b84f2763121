"""The seam to a remote marketplace, and the values that cross it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, NewType, Protocol

import orjson

from skillyard.ids import BundleDigest, WorkspaceId
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry, EntryId, EntryKind
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.skills.skill import BundleFile

RemoteId = NewType("RemoteId", int)


def stop_source(remote: RemoteId) -> str:
    """How the stops are named that its moderators' words led to (``runtime.bundle_stops``)."""
    return f"remote {remote}"


RemoteKind = NewType("RemoteKind", str)
"""Which protocol it speaks: the name of the plug-in that opens it. Nothing goes up to one that does not speak ours."""

SKILLYARD: Final = RemoteKind("skillyard")
WELL_KNOWN: Final = RemoteKind("well_known")
"""The index of the Agent Skills discovery convention."""
CLAUDE: Final = RemoteKind("claude")
"""A Claude-style marketplace."""


class RemoteState(StrEnum):
    """``distrusted``: its head did not fit, and nothing is applied until an operator has looked."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    DISTRUSTED = "distrusted"


@dataclass(frozen=True, slots=True)
class Filters:
    """What of a remote is mirrored with its documents. Empty means all."""

    publishers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """JSON that is the same for what means the same."""
        named = {"publishers": self.publishers, "categories": self.categories, "kinds": self.kinds}
        return orjson.dumps({name: sorted(set(values)) for name, values in named.items()}).decode()

    @classmethod
    def parse(cls, text: str) -> Filters:
        value = orjson.loads(text)
        return cls(tuple(value["publishers"]), tuple(value["categories"]), tuple(value["kinds"]))


@dataclass(frozen=True, slots=True)
class RemoteMarket:
    """A remote of a workspace as it is configured and stands."""

    id: RemoteId
    workspace: WorkspaceId
    catalogue: CatalogueId
    name: str
    kind: RemoteKind
    url: str
    token: str | None = field(repr=False)
    filters: Filters
    strategy: Strategy
    state: RemoteState
    live_wanted: bool
    public_key: str | None
    offered_key: str | None
    head: str | None
    resync: bool
    tried_at: datetime | None
    succeeded_at: datetime | None
    failures: int
    error: str | None
    created_at: datetime

    @property
    def live(self) -> bool:
        """``live_wanted``, as people see it."""
        return self.live_wanted

    @property
    def has_token(self) -> bool:
        return self.token is not None


@dataclass(frozen=True, slots=True)
class Head:
    """What a hub signs: the state of its catalogue at one moment. ``digest`` is ``SetDigest.hex``."""

    feed_id: str
    epoch: int
    seq: int
    moderation: int
    live: int
    digest: str
    issued_at: datetime
    expires_at: datetime
    public_key: str
    """32 bytes in hex: the key that signed it."""
    envelope: str
    """The DSSE envelope (JSON) that it was read from, its signature checked against ``public_key``."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An item of a page that is no entry; the page goes on without it."""

    kind: str
    key: str
    seq: int
    reason: str
    raw: str
    member: bytes | None = None
    """What the head's digest counts it as (``catalogue.entry.member``), by what it says of itself; ``None`` where it
    says nothing that could be counted, or that it is deleted."""


@dataclass(frozen=True, slots=True)
class ChangePage:
    """A page of a feed or snapshot. ``cursor`` is where to go on; ``more`` whether there is more now."""

    entries: tuple[Entry, ...]
    unreadable: tuple[Unreadable, ...]
    cursor: str
    more: bool
    head: Head | None
    """``None`` for protocols that have none; such a remote is believed as far as its certificate goes."""
    received_bytes: int


class PushStatus(StrEnum):
    """``missing``: files have to be sent first. ``refused`` is for good, with the reason."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REFUSED = "refused"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class PushItem:
    """Something to be changed at a remote. ``item`` is the idempotency key, ``document`` canonical JSON; ``None`` takes
    it back, where it is the sender's to take back: a rating.

    ``files`` are a version's, all of them.
    """

    item: str
    kind: EntryKind
    key: str
    base_rev: int | None
    document: str | None
    files: tuple[BundleFile, ...] = ()


@dataclass(frozen=True, slots=True)
class PushResult:
    """What became of one item. ``current`` is the remote's entry, for a conflict."""

    item: str
    status: PushStatus
    rev: int | None = None
    code: str | None = None
    detail: str | None = None
    current: Entry | None = None
    missing: tuple[str, ...] = ()
    """SHA-256 of files, hex."""


class Remote(Protocol):
    """A marketplace somewhere else. Every method raises ``RemoteError`` or a kind of it, and ``CursorGoneError``."""

    async def changes(self, cursor: str | None, *, limit: int, wait: float = 0.0) -> ChangePage:
        """The next page. Without a cursor, the first of a snapshot. ``wait`` is in seconds."""

    async def manifest(self, version: EntryId) -> tuple[BundleFile, ...]:
        """The files of a version."""

    async def fetch_file(self, file: BundleFile, into: Path, *, bundle: BundleDigest) -> None:
        """Bring one file to a path, goes on where an earlier try ended, and checks size and hash."""

    async def push(self, items: Sequence[PushItem]) -> tuple[PushResult, ...]:
        """Results in the items' order."""

    async def send_file(self, sha256: str, content: Path) -> None: ...

    def heads(self) -> AsyncIterator[int]:
        """The live channel: the number of the head whenever it changes. Ends with a ``RemoteError``."""

    async def close(self) -> None: ...


class RemoteOpener(Protocol):
    """One protocol that remotes may speak: a plug-in of the group ``skillyard.remotes``, registered under its kind."""

    def open(self, market: RemoteMarket) -> Remote:
        """A client. Touches no network; whoever asked for it closes it."""

    async def close(self) -> None: ...
