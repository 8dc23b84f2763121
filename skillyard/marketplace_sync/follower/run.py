"""One run of following a remote: mark, snapshot, sweep, feed, compare. Every step can be the last one of its process.

Where the run stands is in the database (``Mirror``), written in the transaction of what was done. A step that finds it
changed by somebody else (another process, an operator) lets go and looks again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from skillyard.database import Database, Session
from skillyard.errors import NotFoundError
from skillyard.marketplace_sync.catalogue import store as entries_of
from skillyard.marketplace_sync.catalogue.cursor import FeedCursor
from skillyard.marketplace_sync.catalogue.set_digest import SetDigest
from skillyard.marketplace_sync.catalogue.store import Projection
from skillyard.marketplace_sync.errors import CursorGoneError, FeedTrustError, RemoteAnswerError, RemoteError
from skillyard.marketplace_sync.follower import store
from skillyard.marketplace_sync.follower.account import accounted_for
from skillyard.marketplace_sync.follower.intake import Intake, judge
from skillyard.marketplace_sync.follower.pages import Pages, Tally, at_head, position
from skillyard.marketplace_sync.follower.taking import EntryListener, Taking, counted_anew, moved
from skillyard.marketplace_sync.follower.trust import believed_of, check_fresh, goes_on
from skillyard.marketplace_sync.follower.values import Believed, Mirror, MirrorPhase, SetAsideItem, SyncReport
from skillyard.marketplace_sync.follower.words import Stopped
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import (
    ChangePage,
    Head,
    Remote,
    RemoteMarket,
    RemoteState,
)
from skillyard.times import utcnow

_MARKED_TOGETHER: Final = 5000
_RESTARTS: Final = 8
"""How often a run looks again because somebody else changed where it stands."""
_LAGS: Final = 20
"""Pages in a row that end before their own head, or hold nothing and promise more."""
_TRIED_AGAIN: Final = 10
"""Items that were set aside before and are asked for again, each run."""


class ChangedMeanwhileError(Exception):
    """Somebody else moved the mirror or changed the remote; never seen outside of this package."""


class Run:
    """One run of one remote. Made, awaited once, thrown away."""

    def __init__(
        self,
        market: RemoteMarket,
        client: Remote,
        *,
        database: Database,
        projection: Projection,
        listener: EntryListener,
        on_stopped: Callable[[Stopped], Awaitable[None]],
    ) -> None:
        """``market`` is what the client was made for; ``on_stopped`` is told after the commit, of what must not run any
        more."""
        self._id = market.id
        self._asked = market
        self._database = database
        self._taking = Taking(projection=projection, listener=listener)
        self._on_stopped = on_stopped
        self.tally = Tally()
        self._pages = Pages(client, self.tally)
        self._anew = False
        """Whether this run began with a snapshot of its own accord: once is enough."""
        self._into_nothing = False
        """Whether this run reads everything into an empty mirror: all that its digest counts is of this run."""
        self._market: RemoteMarket
        self._mirror: Mirror

    async def to_the_head(self) -> SyncReport:
        """Raises ``RemoteError`` and its kinds. What was applied until then stays, and the next run goes on from it."""
        begun = time.monotonic()
        for _ in range(_RESTARTS):
            try:
                await self._begin()
                equal, aside, seq = await self._follow()
            except ChangedMeanwhileError:
                continue
            except FeedTrustError as error:
                # The client says so where it is the key; what contradicts what was believed is said below.
                if error.offered_key is not None:
                    await self._distrust(error)
                raise
            finally:
                await self._pages.close()
            tally = self.tally
            return SyncReport(
                pages=tally.pages,
                entries=tally.entries,
                applied=tally.applied,
                set_aside=aside,
                received_bytes=tally.received_bytes,
                seq=seq,
                snapshot=tally.snapshot,
                seconds=time.monotonic() - begun,
                equal=equal,
                stopped=tally.stopped,
            )
        raise RemoteError("the mirror is being changed by others all the time; the next run tries again")

    # Where it stands

    async def _begin(self) -> None:
        self._into_nothing = False
        # Mostly there is nothing to be written, and then no writer to be waited for either.
        async with self._database.reading() as session:
            market, mirror = await self._standing(session)
        if not _goes_on(market, mirror):
            async with self._database.transaction() as session:
                market, mirror = await self._standing(session)
                if not _goes_on(market, mirror):
                    believed = None if mirror is None or market.head is None else mirror.believed
                    checked_at = None if mirror is None else mirror.checked_at
                    mirror = Mirror(self._id, MirrorPhase.MARKING, None, market.filters, believed, checked_at)
                    await store.keep(session, market, mirror)
                    await remote_store.trust(session, self._id, None, resync=False)
                    market = replace(market, resync=False)
        assert mirror is not None  # noqa: S101 - it goes on, or was made
        if market.head is None:
            # An operator let go of what was believed before.
            mirror = replace(mirror, believed=None)
        self._market, self._mirror = market, mirror

    async def _standing(self, session: Session) -> tuple[RemoteMarket, Mirror | None]:
        market = await remote_store.find(session, self._id)
        if market.state is RemoteState.DISTRUSTED:
            raise FeedTrustError(market.error or "it is distrusted; an operator has to look at it")
        if market.state is RemoteState.DISABLED:
            raise RemoteError("it is disabled")
        self._require_asked(market)
        return market, await store.mirror_of(session, self._id)

    def _require_asked(self, market: RemoteMarket) -> None:
        """What was asked for at another address, or under another key, is not taken for what is there now. Raises
        ``RemoteError``."""
        asked = self._asked
        # Where none was pinned, the first head that is believed pins one.
        key = None if asked.public_key is None else market.public_key
        if (market.url, market.token, key) != (asked.url, asked.token, asked.public_key):
            raise RemoteError("it was changed while it was being followed; the next run goes on")

    async def _mine(self, session: Session) -> RemoteMarket:
        """The remote as it is in this transaction. Raises ``ChangedMeanwhileError``."""
        try:
            market = await remote_store.find(session, self._id)
        except NotFoundError as error:
            raise RemoteError("it was removed while it was being followed") from error
        mirror = await store.mirror_of(session, self._id)
        if (
            mirror is None
            or market.resync
            or market.state is not RemoteState.ENABLED
            or (market.head is None) != (self._market.head is None)
            or market.public_key != self._market.public_key
            or mirror.filters != market.filters
            or (mirror.phase, mirror.cursor) != (self._mirror.phase, self._mirror.cursor)
        ):
            raise ChangedMeanwhileError
        return market

    async def _move(self, session: Session, mirror: Mirror) -> None:
        await store.keep(session, self._market, mirror)

    async def _to(self, phase: MirrorPhase, **changes: str | Believed | None) -> None:
        mirror = replace(self._mirror, phase=phase, **changes)  # type: ignore[arg-type]  # names of its fields
        async with self._database.transaction() as session:
            await self._mine(session)
            await self._move(session, mirror)
        self._mirror = mirror

    async def _start_anew(self, why: Exception) -> None:
        """Read everything again, over what is there. Raises ``why`` where this run did so already.

        Nothing is touched before the head that goes with it is one to believe.
        """
        if self._anew:
            raise why
        self._anew = True
        head = (await self._pages.ask(None, limit=1)).head
        believed = self._mirror.believed
        if head is not None:
            check_fresh(head, now=utcnow())
            try:
                goes_on(head, believed, pinned=self._market.public_key)
            except FeedTrustError as error:
                await self._distrust(error)
                raise
            believed = believed_of(head)
        await self._to(MirrorPhase.MARKING, cursor=None, believed=believed)

    # The way to the head

    async def _follow(self) -> tuple[bool | None, int, int]:
        """Whether the mirror equals the head in the end, how much is set aside, and the number it was read to."""
        while True:
            try:
                if self._mirror.phase is MirrorPhase.MARKING:
                    await self._mark()
                if self._mirror.phase is MirrorPhase.SWEEPING:
                    await self._sweep()
                head = await self._read()
            except CursorGoneError as error:
                await self._start_anew(RemoteAnswerError(f"it lost our place again: {error}"))
                continue
            except _EpochRaisedError:
                await self._start_anew(RemoteAnswerError("its epoch is raised all the time"))
                continue
            if self._mirror.phase is MirrorPhase.SNAPSHOT:
                await self._to(MirrorPhase.SWEEPING)
                await self._sweep()
            await self._try_again()
            try:
                return await self._compare(head)
            except _NotEqualError as error:
                trust = FeedTrustError(str(error))
                if self._anew or self.tally.snapshot:
                    await self._distrust(trust)
                    raise trust from None
                await self._start_anew(trust)

    async def _mark(self) -> None:
        marked = _MARKED_TOGETHER
        while marked == _MARKED_TOGETHER:
            async with self._database.transaction() as session:
                await self._mine(session)
                # What still cannot be taken comes again, and what is gone does not.
                await store.drop_set_aside(session, self._id)
                marked = await store.mark_unseen(session, self._market.catalogue, most=_MARKED_TOGETHER)
        async with self._database.reading() as session:
            catalogue = await entries_of.find(session, self._market.catalogue)
            empty = not await store.unseen(session, self._market.catalogue, most=1)
        self._into_nothing = empty and (catalogue.live, catalogue.digest) == (0, SetDigest().state)
        await self._to(MirrorPhase.SNAPSHOT, cursor=None)

    async def _sweep(self) -> None:
        """Forget what a whole reading did not bring. Words that stop something are kept apart, and stay."""
        async with self._database.transaction() as session:
            await self._taking.read_again(session, await self._mine(session))
        while True:
            async with self._database.transaction() as session:
                await self._mine(session)
                ids = await store.unseen(session, self._market.catalogue, most=_MARKED_TOGETHER)
                await self._taking.forget(session, self._market.catalogue, ids)
            if not ids:
                if not self._into_nothing:
                    await self._count_anew()
                await self._to(MirrorPhase.FEED)
                return

    async def _count_anew(self) -> None:
        async with self._database.reading() as session:
            before, digest, live = await counted_anew(session, self._market.catalogue)
        async with self._database.transaction() as session:
            await self._mine(session)
            catalogue = await entries_of.find(session, self._market.catalogue)
            if catalogue.digest != before:
                raise ChangedMeanwhileError
            await entries_of.save(session, replace(catalogue, digest=digest.state, live=live))

    async def _read(self) -> Head | None:
        """Read and apply pages until the head; the head, where the remote has one."""
        lags, confirmed = 0, self._mirror.phase is MirrorPhase.FEED
        while lags <= _LAGS:
            page, intake = await self._pages.get(self._mirror.cursor, self._mirror.filters)
            if page.more:
                # The next one is under way while this one is applied.
                self._pages.begin(page.cursor, self._mirror.filters)
            await self._apply(page, intake)
            if page.more:
                lags = 0 if page.entries or page.unreadable else lags + 1
            elif at_head(page) and (confirmed or position(page.cursor) is not None):
                return page.head
            else:
                # A snapshot ends somewhere; what changed meanwhile lies behind it.
                confirmed = True
                lags += 1
        raise RemoteAnswerError("its feed promises more than it gives: it ends before its own head")

    async def _apply(self, page: ChangePage, intake: Intake) -> None:
        """One page and the checkpoint behind it, in one transaction."""
        try:
            mirror, fresh, stopped = await self._applied(page, intake)
        except FeedTrustError as error:
            await self._distrust(error)
            raise
        self._mirror = mirror
        if page.head is not None:
            self._market = replace(
                self._market, head=page.head.envelope, public_key=self._market.public_key or page.head.public_key
            )
        self.tally.applied += fresh
        self.tally.ahead += intake.ahead
        self.tally.snapshot = self.tally.snapshot or mirror.phase is MirrorPhase.SNAPSHOT
        await self._stop(stopped)

    async def _applied(self, page: ChangePage, intake: Intake) -> tuple[Mirror, int, tuple[Stopped, ...]]:
        async with self._database.transaction() as session:
            market = await self._mine(session)
            mirror = replace(self._mirror, cursor=page.cursor)
            if page.head is not None:
                if not goes_on(page.head, self._mirror.believed, pinned=market.public_key):
                    raise _EpochRaisedError
                mirror = replace(mirror, believed=believed_of(page.head))
            catalogue = moved(await entries_of.find(session, market.catalogue), page)
            again = self._mirror.phase is MirrorPhase.SNAPSHOT
            fresh, stopped = await self._taking.take(session, market, catalogue, intake, again=again)
            await self._move(session, mirror)
            if page.head is not None:
                await remote_store.trust(session, self._id, page.head)
        return mirror, fresh, stopped

    async def _try_again(self) -> None:
        """Ask once more for what was set aside longest ago. What changed since came by the feed and was judged."""
        here = position(self._mirror.cursor)
        if here is None:
            return
        async with self._database.reading() as session:
            waiting = await store.longest_waiting(session, self._id, most=_TRIED_AGAIN)
        places: dict[tuple[int, int], list[SetAsideItem]] = {}
        for item in waiting:
            # A number that cannot be right leads nowhere; then the page that it came on is asked for again.
            known = item.after < item.seq <= here.seq
            places.setdefault((item.seq - 1, item.seq) if known else (item.after, here.seq), []).append(item)
        for (after, last), items in places.items():
            place = FeedCursor(here.feed_id, here.epoch, after, up_to=last)
            try:
                page = await self._pages.ask(str(place))
            except CursorGoneError:
                continue
            found = replace(page, entries=tuple(one for one in page.entries if after < one.seq <= last))
            intake = await asyncio.to_thread(judge, found, self._mirror.filters, after=after, now=utcnow())
            still = {(one.kind, one.key) for one in intake.set_aside}
            # What changed since the last page is not there any more, and comes by the feed: until then it is still what
            # the mirror lacks of the head that it was read to.
            same = page.head is None or page.head.seq == here.seq
            came = {one.seq for one in found.entries}
            good = [one.id for one in items if (one.kind, one.key) not in still and (same or one.seq in came)]
            async with self._database.transaction() as session:
                market = await self._mine(session)
                await store.drop_set_aside(session, self._id, good)
                catalogue = await entries_of.find(session, market.catalogue)
                fresh, stopped = await self._taking.take(session, market, catalogue, intake, again=False)
            self.tally.applied += fresh
            await self._stop(stopped)

    async def _stop(self, stopped: Sequence[Stopped]) -> None:
        for one in stopped:
            self.tally.stopped += len(one.versions)
            await self._on_stopped(one)

    async def _compare(self, head: Head | None) -> tuple[bool | None, int, int]:
        """Raises ``_NotEqualError``."""
        async with self._database.transaction() as session:
            market = await self._mine(session)
            await self._taking.settled(session, market.catalogue)
            aside = await store.count_set_aside(session, self._id)
            catalogue = await entries_of.find(session, market.catalogue)
            if head is None:
                return None, aside, catalogue.seq
            equal = (catalogue.digest_hex, catalogue.live) == (head.digest, head.live)
            if not equal and aside and await accounted_for(session, self._id, catalogue, head):
                return None, aside, catalogue.seq
            mirror = self._mirror
            if equal:
                await store.drop_set_aside(session, self._id)
                mirror = replace(mirror, checked_at=utcnow())
                await self._move(session, mirror)
        # What was good is taken, and settled, all the same.
        if not equal and not aside:
            raise _NotEqualError(
                f"the mirror is not what it signed at {head.seq}: {catalogue.live} entries with the digest "
                f"{catalogue.digest_hex[:16]}…, and not {head.live} with {head.digest[:16]}… (mix-up)"
            )
        if not equal:
            raise RemoteAnswerError(
                f"{aside} entries of it could not be taken, and they do not account for what else the mirror lacks of "
                f"what it signed at {head.seq}; `skillyard mirrors set-aside {market.name}` shows them"
            )
        self._mirror = mirror
        return True, 0, catalogue.seq

    async def _distrust(self, error: FeedTrustError) -> None:
        async with self._database.transaction() as session:
            await remote_store.distrust(session, self._id, str(error), offered_key=error.offered_key)


class _EpochRaisedError(Exception):
    """The hub's operator put another state in the place of the one that was being read."""


class _NotEqualError(Exception):
    """The mirror is not what the head says: a reason to read again, and then to distrust."""


def _goes_on(market: RemoteMarket, mirror: Mirror | None) -> bool:
    """Whether what was read so far is of what is asked for now."""
    return mirror is not None and not market.resync and mirror.filters == market.filters
