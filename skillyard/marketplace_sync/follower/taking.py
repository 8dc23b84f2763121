"""Taking entries over into a mirror, and out of it, in the caller's transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from skillyard.database import Session
from skillyard.marketplace_sync.catalogue import store as entries_of
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry, EntryId, member
from skillyard.marketplace_sync.catalogue.set_digest import SetDigest
from skillyard.marketplace_sync.catalogue.store import Catalogue, Projection
from skillyard.marketplace_sync.errors import RemoteAnswerError
from skillyard.marketplace_sync.follower import store, words
from skillyard.marketplace_sync.follower.intake import Intake
from skillyard.marketplace_sync.follower.pages import position
from skillyard.marketplace_sync.follower.words import Stopped
from skillyard.marketplace_sync.remotes.remote import ChangePage, RemoteMarket
from skillyard.times import utcnow

_MOST_SET_ASIDE: Final = 10_000
"""A remote with more than that is none."""


class EntryListener(Protocol):
    """Whoever has to know what a remote changed, in the transaction that takes it over."""

    async def on_entries(self, session: Session, remote: RemoteMarket, entries: Sequence[Entry]) -> object:
        """These are news, with their documents as received, also where filters keep those out of the mirror."""

    async def on_read_again(self, session: Session, remote: RemoteMarket) -> object:
        """The remote was read whole. What of the mirror has the number ``UNSEEN`` was not there any more, and is
        forgotten next."""


class Taking:
    """Writes what was read, with everything that follows from it."""

    def __init__(self, *, projection: Projection, listener: EntryListener) -> None:
        self._projection = projection
        self._listener = listener

    async def take(
        self, session: Session, market: RemoteMarket, catalogue: Catalogue, intake: Intake, *, again: bool
    ) -> tuple[int, tuple[Stopped, ...]]:
        """How much was news, and what has to be stopped for it after the commit. ``again``: everything is being read
        over what is there."""
        entries = [intake.kept(entry) for entry in intake.entries]
        if again and await store.unseen(session, catalogue.id, most=1):
            entries = await _news(session, catalogue, entries)
        _, applied = await entries_of.apply(session, catalogue, entries, projection=self._projection)
        received = {(entry.id, entry.seq): entry for entry in intake.entries}
        fresh = [received[entry.id, entry.seq] for entry in applied]
        if fresh:
            await self._listener.on_entries(session, market, fresh)
        stopped = await words.hear(session, market, intake, fresh, at=utcnow())
        await self._set_aside(session, market, intake)
        return len(fresh), stopped

    async def read_again(self, session: Session, market: RemoteMarket) -> None:
        """Everything was read; what was not brought is still there to be looked at."""
        await self._listener.on_read_again(session, market)

    async def settled(self, session: Session, catalogue: CatalogueId) -> None:
        """Everything up to the head was read."""
        await self._projection.settled(session, catalogue)

    async def _set_aside(self, session: Session, market: RemoteMarket, intake: Intake) -> None:
        if intake.set_aside:
            await store.set_aside(session, market, intake.set_aside, after=intake.after, at=utcnow())
        waiting = await store.count_set_aside(session, market.id)
        if waiting > _MOST_SET_ASIDE:
            raise RemoteAnswerError(f"more than {_MOST_SET_ASIDE} entries of it cannot be taken")
        if waiting:
            await store.taken_after_all(session, market.id, (entry.id for entry in intake.entries))

    async def forget(self, session: Session, catalogue: CatalogueId, ids: Sequence[EntryId]) -> None:
        """Entries that the remote does not have any more."""
        before = await entries_of.find(session, catalogue)
        gone = [one for one in (await entries_of.get_many(session, catalogue, ids)).values() if not one.deleted]
        digest = SetDigest(before.digest)
        for entry in gone:
            digest.remove(member(entry.id, entry.sha256))
        await store.forget(session, catalogue, ids)
        await entries_of.save(session, replace(before, digest=digest.state, live=before.live - len(gone)))
        told = [replace(entry, document=None, deleted=True) for entry in gone]
        await self._projection.changed(session, catalogue, told)


async def counted_anew(session: Session, catalogue: CatalogueId) -> tuple[bytes, SetDigest, int]:
    """The digest's state as it is kept, and digest and number from the entries themselves: what is carried on from
    page to page may be what was wrong."""
    before = await entries_of.find(session, catalogue)
    digest, live = SetDigest(), 0
    async for members in store.live_members(session, catalogue):
        await asyncio.to_thread(digest.add_all, members)
        live += len(members)
    return before.digest, digest, live


def moved(catalogue: Catalogue, page: ChangePage) -> Catalogue:
    """The mirror's catalogue behind a page."""
    place = position(page.cursor)
    seq = place.seq if place is not None else max([catalogue.seq, *(entry.seq for entry in page.entries)])
    if page.head is not None:
        catalogue = replace(
            catalogue, feed_id=page.head.feed_id, epoch=page.head.epoch, moderation=page.head.moderation
        )
    elif place is not None:
        catalogue = replace(catalogue, feed_id=place.feed_id, epoch=place.epoch)
    return replace(catalogue, seq=seq, changed_at=utcnow())


async def _news(session: Session, catalogue: Catalogue, entries: Sequence[Entry]) -> list[Entry]:
    """Those of a repeated snapshot that are not as they were; the others are marked as seen."""
    held = await entries_of.get_many(session, catalogue.id, (entry.id for entry in entries))
    same, news = [], []
    for entry in entries:
        before = held.get(entry.id)
        if before is None or before.seq != store.UNSEEN or _state(before) != _state(entry):
            news.append(entry)
        else:
            same.append(entry)
    await store.renumber(session, catalogue.id, same)
    return news


def _state(entry: Entry) -> tuple[str, bool, bool]:
    return entry.sha256, entry.deleted, entry.document is None
