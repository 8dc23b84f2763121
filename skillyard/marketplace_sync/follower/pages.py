"""Asking a remote for pages, and reading what comes, one ahead of what is applied."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from skillyard.marketplace_sync.catalogue.cursor import FeedCursor, parse_cursor
from skillyard.marketplace_sync.errors import (
    CursorError,
    CursorGoneError,
    RemoteAnswerError,
    RemoteUnavailableError,
)
from skillyard.marketplace_sync.follower.intake import Intake, judge
from skillyard.marketplace_sync.follower.trust import check_fresh
from skillyard.marketplace_sync.remotes.remote import ChangePage, Filters, Remote
from skillyard.times import utcnow

Judged = tuple[ChangePage, Intake]

PAGE: Final = 1000
_MOST_CURSOR: Final = 1000


@dataclass(slots=True)
class Tally:
    """What a run did so far."""

    pages: int = 0
    entries: int = 0
    applied: int = 0
    received_bytes: int = 0
    ahead: int = 0
    snapshot: bool = False
    stopped: int = 0


class Pages:
    """The pages of one remote, as one run reads them. Ended by ``close``."""

    def __init__(self, client: Remote, tally: Tally) -> None:
        self._client = client
        self._tally = tally
        self._ahead: tuple[str, Filters, asyncio.Task[Judged]] | None = None

    async def get(self, cursor: str | None, filters: Filters) -> Judged:
        """The page behind a cursor with what of it can be taken, perhaps one that was begun before. Raises
        ``RemoteError``, ``FeedTrustError`` for a head that is out of date, ``CursorGoneError``."""
        asked, self._ahead = self._ahead, None
        if asked is not None and asked[:2] == (cursor, filters):
            page, intake = await asked[2]
        else:
            await _ended(asked)
            page, intake = await self._read(cursor, filters)
        if page.head is not None:
            check_fresh(page.head, now=utcnow())
        return page, intake

    def begin(self, cursor: str, filters: Filters) -> None:
        """Ask for the next page, and read it, while this one is applied."""
        self._ahead = (cursor, filters, asyncio.create_task(self._read(cursor, filters)))

    async def _read(self, cursor: str | None, filters: Filters) -> Judged:
        page = await self.ask(cursor)
        if len(page.cursor) > _MOST_CURSOR or (page.more and page.cursor == cursor):
            raise RemoteAnswerError("its cursor leads nowhere")
        return page, await self._judged(page, cursor, filters)

    async def ask(self, cursor: str | None, *, limit: int = PAGE) -> ChangePage:
        page = await self._client.changes(cursor, limit=limit)
        self._tally.pages += 1
        self._tally.entries += len(page.entries) + len(page.unreadable)
        self._tally.received_bytes += page.received_bytes
        return page

    async def _judged(self, page: ChangePage, asked: str | None, filters: Filters) -> Intake:
        """What of a page can be taken. One with anything wrong is asked for once more: it may have been the way."""
        place = position(asked)
        after = 0 if place is None else place.seq
        intake = await asyncio.to_thread(judge, page, filters, after=after, now=utcnow())
        if not intake.set_aside:
            return intake
        try:
            again = await self.ask(asked)
        except RemoteUnavailableError:
            if position(page.cursor) is None:
                # Nothing behind an opaque cursor can be asked for later: the page is read again as a whole.
                raise
            return intake
        except CursorGoneError:
            return intake
        if again.cursor != page.cursor:
            return intake
        second = await asyncio.to_thread(judge, again, filters, after=after, now=utcnow())
        return second if len(second.set_aside) < len(intake.set_aside) else intake

    async def close(self) -> None:
        """Let go of what was asked for and is not wanted any more."""
        asked, self._ahead = self._ahead, None
        await _ended(asked)


async def _ended(asked: tuple[str, Filters, asyncio.Task[Judged]] | None) -> None:
    if asked is not None:
        asked[2].cancel()
        await asyncio.gather(asked[2], return_exceptions=True)


def at_head(page: ChangePage) -> bool:
    """Whether nothing is behind a page that is the last: its cursor stands at its own head."""
    place = position(page.cursor)
    return place is None or (place.up_to is None and (page.head is None or place.seq == page.head.seq))


def position(cursor: str | None) -> FeedCursor | None:
    """Where a cursor stands, where it is of the form that a Skillyard gives; others are opaque."""
    try:
        return None if cursor is None else parse_cursor(cursor)
    except CursorError:
        return None
