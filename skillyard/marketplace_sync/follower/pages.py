"""Asking a remote for pages, one ahead of what is applied, and reading what comes."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from skillyard.marketplace_sync.catalogue.cursor import FeedCursor, parse_cursor
from skillyard.marketplace_sync.errors import (
    CursorError,
    CursorGoneError,
    RemoteAnswerError,
    RemoteError,
    RemoteUnavailableError,
)
from skillyard.marketplace_sync.follower.intake import Intake, judge
from skillyard.marketplace_sync.follower.trust import check_fresh
from skillyard.marketplace_sync.remotes.remote import ChangePage, Filters, Remote
from skillyard.times import utcnow

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
        self._ahead: tuple[str, asyncio.Task[ChangePage]] | None = None

    async def get(self, cursor: str | None) -> ChangePage:
        """The page behind a cursor, perhaps one that was asked for before. Raises ``RemoteError``, ``FeedTrustError``
        for a head that is out of date, ``CursorGoneError``."""
        asked, self._ahead = self._ahead, None
        if asked is not None and asked[0] == cursor:
            page = await asked[1]
        else:
            await _ended(asked)
            page = await self.ask(cursor)
        if len(page.cursor) > _MOST_CURSOR or (page.more and page.cursor == cursor):
            raise RemoteAnswerError("its cursor leads nowhere")
        if page.head is not None:
            check_fresh(page.head, now=utcnow())
        return page

    def begin(self, cursor: str) -> None:
        """Ask for the next page while this one is applied."""
        self._ahead = (cursor, asyncio.create_task(self.ask(cursor)))

    async def ask(self, cursor: str | None, *, limit: int = PAGE) -> ChangePage:
        page = await self._client.changes(cursor, limit=limit)
        self._tally.pages += 1
        self._tally.entries += len(page.entries) + len(page.unreadable)
        self._tally.received_bytes += page.received_bytes
        return page

    async def judged(self, page: ChangePage, asked: str | None, filters: Filters) -> Intake:
        """What of a page can be taken. One with anything wrong is asked for once more: it may have been the way."""
        intake = await asyncio.to_thread(judge, page, filters, now=utcnow())
        if not intake.set_aside:
            return intake
        with contextlib.suppress(RemoteUnavailableError, CursorGoneError):
            again = await self.ask(asked)
            if again.cursor == page.cursor:
                second = await asyncio.to_thread(judge, again, filters, now=utcnow())
                return second if len(second.set_aside) < len(intake.set_aside) else intake
        return intake

    async def close(self) -> None:
        """Let go of what was asked for and is not wanted any more."""
        asked, self._ahead = self._ahead, None
        await _ended(asked)


async def _ended(asked: tuple[str, asyncio.Task[ChangePage]] | None) -> None:
    if asked is not None:
        asked[1].cancel()
        with contextlib.suppress(asyncio.CancelledError, RemoteError, CursorGoneError):
            await asked[1]


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
