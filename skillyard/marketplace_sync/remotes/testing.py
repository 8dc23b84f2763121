"""A marketplace in memory, and the ``Remote`` to it: for tests of what stands above remotes."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from skillyard.governance.signing import SigningKey
from skillyard.ids import BundleDigest
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind, canonical, entry_hash, member
from skillyard.marketplace_sync.catalogue.envelope import HEAD_TYPE, sign
from skillyard.marketplace_sync.catalogue.set_digest import SetDigest
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.errors import CursorGoneError, RemoteAnswerError, RemoteUnavailableError
from skillyard.marketplace_sync.remotes.remote import (
    ChangePage,
    Head,
    PushItem,
    PushResult,
    PushStatus,
    Unreadable,
)
from skillyard.skills.skill import BundleFile
from skillyard.times import utcnow


@dataclass
class MemoryMarketplace:
    """What a hub holds. ``epoch`` and ``horizon`` may be raised, ``unreadable`` rows put into every page."""

    feed_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    epoch: int = 1
    seq: int = 0
    horizon: int = 0
    moderation: int = 0
    key: SigningKey = field(default_factory=SigningKey.new)
    lifetime: timedelta = timedelta(hours=1)
    entries: dict[EntryId, Entry] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    """By SHA-256."""
    manifests: dict[EntryId, tuple[BundleFile, ...]] = field(default_factory=dict)
    pushed: dict[str, PushResult] = field(default_factory=dict)
    unreadable: tuple[Unreadable, ...] = ()
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def write(self, *changes: Change) -> None:
        """Make changes; each takes the next number."""
        for change in changes:
            self._write(change)
        async with self.changed:
            self.changed.notify_all()

    def head(self) -> Head:
        """Signed now."""
        live = [one for one in self.entries.values() if not one.deleted]
        digest = SetDigest()
        digest.add_all(member(one.id, one.sha256) for one in live)
        issued = utcnow()
        payload = canonical(
            {
                "feed_id": self.feed_id,
                "epoch": self.epoch,
                "seq": self.seq,
                "moderation": self.moderation,
                "live": len(live),
                "digest": digest.hex,
                "issued_at": issued.isoformat(),
                "expires_at": (issued + self.lifetime).isoformat(),
            }
        )
        return Head(
            self.feed_id,
            self.epoch,
            self.seq,
            self.moderation,
            len(live),
            digest.hex,
            issued,
            issued + self.lifetime,
            self.key.public.hex,
            sign(HEAD_TYPE, payload.encode(), self.key),
        )

    def _write(self, change: Change, at: datetime | None = None) -> Entry | None:
        held = self.entries.get(change.id)
        if held is None and change.document is None:
            return None
        if held is not None and held.document == change.document:
            return held
        self.seq += 1
        rev, deleted = (0 if held is None else held.rev) + 1, change.document is None
        sha256 = entry_hash(change.id, rev, change.document, deleted=deleted)
        entry = Entry(change.id, self.seq, rev, change.document, sha256, deleted, at or utcnow())
        self.entries[change.id] = entry
        return entry

    def push(self, item: PushItem) -> PushResult:
        """Once by its key; refused where it was made from another revision."""
        if item.item in self.pushed:
            before = self.pushed[item.item]
            return PushResult(item.item, PushStatus.DUPLICATE, before.rev, current=before.current)
        missing = tuple(file.sha256 for file in item.files if file.sha256 not in self.files)
        if missing:
            return PushResult(item.item, PushStatus.MISSING, missing=missing)
        id_ = EntryId(item.kind, item.key)
        held = self.entries.get(id_)
        rev = 0 if held is None or held.deleted else held.rev
        if item.base_rev is not None and item.base_rev != rev:
            return PushResult(item.item, PushStatus.CONFLICT, rev, "revision_conflict", current=held)
        written = self._write(Change(id_, item.document))
        if item.kind is EntryKind.VERSION:
            self.manifests[id_] = item.files
        result = PushResult(item.item, PushStatus.APPLIED, None if written is None else written.rev)
        self.pushed[item.item] = result
        return result


class MemoryRemote:
    """``Remote`` to a ``MemoryMarketplace``."""

    def __init__(self, market: MemoryMarketplace) -> None:
        self._market = market
        self._closed = False

    async def changes(self, cursor: str | None, *, limit: int, wait: float = 0.0) -> ChangePage:
        if cursor is None:
            cursor = f"{self._market.feed_id}:{self._market.epoch}:0:{self._market.seq}"
        page = self._page(cursor, limit)
        if not page.entries and wait > 0:
            async with self._market.changed:
                try:
                    async with asyncio.timeout(wait):
                        await self._market.changed.wait()
                except TimeoutError:
                    return page
            page = self._page(cursor, limit)
        return page

    async def manifest(self, version: EntryId) -> tuple[BundleFile, ...]:
        found = self._market.manifests.get(version)
        if found is None:
            raise RemoteAnswerError(f"there is no {version}")
        return found

    async def fetch_file(self, file: BundleFile, into: Path, *, bundle: BundleDigest) -> None:
        del bundle
        content = self._market.files.get(file.sha256)
        if content is None:
            raise RemoteAnswerError("there is no such file")
        if (hashlib.sha256(content).hexdigest(), len(content)) != (file.sha256, file.size):
            raise RemoteAnswerError(f"{file.path} is not the file that its hash names")
        await asyncio.to_thread(into.write_bytes, content)

    async def push(self, items: Sequence[PushItem]) -> tuple[PushResult, ...]:
        results = tuple(self._market.push(item) for item in items)
        async with self._market.changed:
            self._market.changed.notify_all()
        return results

    async def send_file(self, sha256: str, content: Path) -> None:
        data = await asyncio.to_thread(content.read_bytes)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise RemoteAnswerError("not the file that its hash names")
        self._market.files[sha256] = data

    async def heads(self) -> AsyncIterator[int]:
        told: int | None = None
        while not self._closed:
            if self._market.seq != told:
                told = self._market.seq
                yield told
                continue
            async with self._market.changed:
                await self._market.changed.wait()
        raise RemoteUnavailableError("its channel was closed")

    async def close(self) -> None:
        self._closed = True
        async with self._market.changed:
            self._market.changed.notify_all()

    def _page(self, cursor: str, limit: int) -> ChangePage:
        market = self._market
        try:
            feed, epoch, after, up_to = cursor.split(":")
            begin, end = int(after), int(up_to or market.seq)
        except ValueError as error:
            raise RemoteAnswerError("not a cursor of this feed") from error
        gone = begin > market.seq or (not up_to and begin < market.horizon)
        if (feed, epoch) != (market.feed_id, str(market.epoch)) or gone:
            raise CursorGoneError("begin again with a snapshot")
        rows = sorted(
            (one for one in market.entries.values() if begin < one.seq <= end and not (up_to and one.deleted)),
            key=lambda one: one.seq,
        )
        page = tuple(rows[:limit])
        full = len(rows) > limit
        last = page[-1].seq if full else end
        following = f"{feed}:{epoch}:{last}:{up_to if full else ''}"
        received = sum(len(one.document or "") for one in page)
        return ChangePage(page, market.unreadable, following, full or last < market.seq, market.head(), received)
