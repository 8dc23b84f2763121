"""The feed: the entries of the own catalogue in the order of their last change, and the head that goes with a page."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from skillyard.database import Database, Session
from skillyard.errors import InputError
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.cursor import FeedCursor, check, parse_cursor
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry
from skillyard.marketplace_sync.catalogue.store import Catalogue
from skillyard.marketplace_sync.errors import CursorError, CursorGoneError
from skillyard.marketplace_sync.hub.head import HeadSigner, HubKeyError, SignedHead, load_key
from skillyard.marketplace_sync.live.broadcast import Bell
from skillyard.settings import Settings
from skillyard.times import utcnow

MOST_ENTRIES = 1000
LONGEST_WAIT = 60.0
_PAGE_BYTES = 4 * 1024 * 1024
"""Of documents: a page ends there, however many entries were asked for."""
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Entries, and the head of the same moment. ``more``: whether there was more behind ``cursor`` then."""

    entries: tuple[Entry, ...]
    cursor: str
    more: bool
    head: SignedHead


_log = structlog.get_logger("skillyard.feed")


class Feed:
    """What followers read. Started by ``start``; its ``bell`` is what they wait at."""

    def __init__(self, *, database: Database, settings: Settings, bell: Bell) -> None:
        self._database = database
        self._settings = settings
        self._bell = bell
        self._catalogue: CatalogueId | None = None
        self._signer: HeadSigner | None = None
        self._problem: str | None = None

    @property
    def public_key(self) -> str:
        """The key that heads are signed with, 32 bytes in hex. Raises ``HubKeyError``."""
        return self._signing.key.public.hex

    async def start(self) -> None:
        """Find the own catalogue, or make it, and the key that it belongs to.

        A process whose home has another key serves no feed: followers would take it for another hub.
        """
        try:
            key = await asyncio.to_thread(load_key, self._settings.home)
        except HubKeyError as error:
            # The rest of the server does its work without a feed; whoever asks for the feed is told why there is none.
            self._problem = str(error)
            _log.error("hub_key_unusable", error=str(error))
            return
        async with self._database.transaction() as session:
            catalogue = await store.own(session, at=utcnow())
            pinned = await store.claim_key(session, catalogue.id, key.public.hex)
        self._catalogue = catalogue.id
        if pinned == key.public.hex:
            self._signer = HeadSigner(key, seconds=self._settings.marketplace_head_seconds)
        else:
            self._problem = (
                "this home's key is not the one that the catalogue in the database belongs to; copy keys/hub.ed25519 "
                "from the home that the marketplace was first served from"
            )

    async def describe(self) -> tuple[str, str]:
        """Feed id and public key."""
        return (await self.head()).feed_id, self.public_key

    async def head(self) -> SignedHead:
        """The head as it is now."""
        async with self._database.reading() as session:
            catalogue = await store.find(session, self._own)
        return self._signing.sign(catalogue, now=utcnow())

    async def changes(self, cursor: str | None, *, limit: int, wait: float = 0.0) -> FeedPage:
        """What changed behind a cursor. Without one, from the beginning with tombstones; a snapshot's goes on with it.

        Where there is nothing, ``wait`` up to so many seconds for something. Raises ``CursorGoneError``.
        """
        _check(limit, wait)
        place = None if cursor is None else _place(cursor)
        if wait <= 0:
            return await self._page(place, limit, snapshot=False)
        deadline = asyncio.get_running_loop().time() + wait
        # Who waits listens before they look, so that nothing falls between the two.
        async with self._bell.listening() as ear:
            while True:
                page = await self._page(place, limit, snapshot=False)
                if page.entries or (left := deadline - asyncio.get_running_loop().time()) <= 0 or self._bell.closed:
                    return page
                await ear.rung(left)

    async def snapshot(self, cursor: str | None, *, limit: int) -> FeedPage:
        """All that is there now, without tombstones. Its last cursor goes on with ``changes``."""
        _check(limit, 0)
        return await self._page(None if cursor is None else _place(cursor), limit, snapshot=True)

    async def _page(self, place: FeedCursor | None, limit: int, *, snapshot: bool) -> FeedPage:
        async with self._database.reading() as session:
            catalogue = await store.find(session, self._own)
            if place is None:
                place = FeedCursor(catalogue.feed_id, catalogue.epoch, 0, catalogue.seq if snapshot else None)
                if not snapshot and catalogue.horizon > 0:
                    # Deletions of the time before are forgotten, and whoever begins has nothing to delete.
                    place = FeedCursor(catalogue.feed_id, catalogue.epoch, 0, catalogue.seq)
            check(place, catalogue)
            entries, full = await _entries(session, catalogue.id, place, limit)
        head = self._signing.sign(catalogue, now=utcnow())
        return _page_of(catalogue, place, entries, head, full=full)

    @property
    def _own(self) -> CatalogueId:
        if self._catalogue is None:
            raise HubKeyError(self._problem or "the feed was not started")
        return self._catalogue

    @property
    def _signing(self) -> HeadSigner:
        if self._signer is None:
            raise HubKeyError(self._problem or "the feed was not started")
        return self._signer


def _place(cursor: str) -> FeedCursor:
    """Who holds one that is none got it damaged, and has no other: they have to be told how to go on all the same."""
    try:
        return parse_cursor(cursor)
    except CursorError as error:
        raise CursorGoneError("not a cursor of this feed; begin again with a snapshot") from error


def _page_of(
    catalogue: Catalogue, place: FeedCursor, entries: Sequence[Entry], head: SignedHead, *, full: bool
) -> FeedPage:
    """``full`` says that reading ended at a limit, and there may be more of what is being read."""
    last = entries[-1].seq if entries else place.seq
    if full:
        cursor = FeedCursor(place.feed_id, place.epoch, last, place.up_to)
    else:
        # The end of what is read: a snapshot goes on as a feed from where it was begun.
        end = catalogue.seq if place.up_to is None else place.up_to
        cursor = FeedCursor(place.feed_id, place.epoch, max(last, end))
    return FeedPage(tuple(entries), str(cursor), full or cursor.seq < catalogue.seq, head)


async def _entries(session: Session, catalogue: CatalogueId, place: FeedCursor, limit: int) -> tuple[list[Entry], bool]:
    """Up to ``limit`` entries, or as many as a page's bytes hold; and whether it ended at one of the two."""
    found: list[Entry] = []
    size, after = 0, place.seq
    while len(found) < limit:
        wanted = min(_AT_ONCE, limit - len(found))
        part = await store.page(
            session, catalogue, after=after, limit=wanted, up_to=place.up_to, tombstones=place.up_to is None
        )
        for entry in part:
            size += len(entry.document or "")
            if size > _PAGE_BYTES and found:
                return found, True
            found.append(entry)
        if len(part) < wanted:
            return found, False
        after = found[-1].seq
    return found, True


def _check(limit: int, wait: float) -> None:
    if not 1 <= limit <= MOST_ENTRIES:
        raise InputError(f"between 1 and {MOST_ENTRIES}", field="limit")
    if not 0 <= wait <= LONGEST_WAIT:
        raise InputError(f"between 0 and {LONGEST_WAIT:g} seconds", field="wait")
