"""The marketplace as one value, over a runtime: the composition root of this room.

The methods of its parts are the use cases; what is here only makes them, starts what recurs, and ends it.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType

from skillyard.marketplace_sync.conflicts.conflicts import Conflicts
from skillyard.marketplace_sync.follower.follower import Follower
from skillyard.marketplace_sync.hub.feed import Feed
from skillyard.marketplace_sync.hub.hub import Hub
from skillyard.marketplace_sync.hub.upkeep import FeedUpkeep
from skillyard.marketplace_sync.interop.indexes import Indexes
from skillyard.marketplace_sync.jobs.advisories import AdvisoryReport, update_advisories
from skillyard.marketplace_sync.jobs.jobs import Jobs
from skillyard.marketplace_sync.jobs.orders import Orders
from skillyard.marketplace_sync.live.broadcast import Bell
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.metrics.watch import SyncWatch
from skillyard.marketplace_sync.remotes.remote import RemoteMarket
from skillyard.marketplace_sync.remotes.remotes import Remotes
from skillyard.marketplace_sync.search.index import SearchIndex
from skillyard.marketplace_sync.upwards.publishing import Publisher
from skillyard.marketplace_sync.upwards.uploads import Uploads
from skillyard.marketplace_sync.upwards.values import UploadReport
from skillyard.runtime.runtime import Runtime


async def create_marketplace(runtime: Runtime, *, background: bool) -> Marketplace:
    """A started marketplace. With ``background`` it also keeps up with its remotes by itself."""
    marketplace = Marketplace(runtime)
    try:
        await marketplace.start(background=background)
    except BaseException:
        await marketplace.close()
        raise
    return marketplace


class Marketplace:
    """All use cases of the marketplace. Made by ``create_marketplace``, ended by ``close``."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.metrics = SyncMetrics()
        self.search = SearchIndex(runtime.database)
        self.bell = Bell(database=runtime.database, most=runtime.settings.marketplace_max_listeners)
        self.hub = Hub(runtime=runtime, search=self.search, metrics=self.metrics, on_change=self.bell.strike)
        self.indexes = Indexes(database=runtime.database, search=self.search, hub=self.hub, settings=runtime.settings)
        self.feed_upkeep = FeedUpkeep(
            database=runtime.database,
            settings=runtime.settings,
            further=(self.hub.files.sweep, self.hub.archives.complete),
        )
        self.feed = Feed(database=runtime.database, settings=runtime.settings, bell=self.bell)
        self.remotes = Remotes(database=runtime.database, settings=runtime.settings, projection=self.search)
        self.conflicts = Conflicts(database=runtime.database, metrics=self.metrics)
        self.follower = Follower(
            runtime=runtime,
            remotes=self.remotes,
            projection=self.search,
            listener=self.conflicts,
            metrics=self.metrics,
        )
        self.uploads = Uploads(
            database=runtime.database,
            settings=runtime.settings,
            lease=runtime.lease,
            publisher=Publisher(bench=runtime, home=runtime.settings.home),
            connect=self.remotes.client,
            conflicts=self.conflicts,
            metrics=self.metrics,
        )

        self.jobs = Jobs(
            database=runtime.database,
            settings=runtime.settings,
            lease=runtime.lease,
            metrics=self.metrics,
            find=self.remotes.find,
            client=self.remotes.client,
            follow=self.follower.sync,
            send=self._send,
            update_advisories=self._update_advisories,
            tidy=self._tidy,
            cut_short=self.follower.cut_short,
        )
        self.orders = Orders(database=runtime.database, jobs=self.jobs, lease=runtime.lease)
        self.watch = SyncWatch(database=runtime.database, jobs=self.jobs, metrics=self.metrics)

    async def start(self, *, background: bool) -> None:
        """Begin what recurs, where it is to."""
        await self.search.mend()
        await self.hub.begin()
        await self.feed.start()
        await self.remotes.start()
        if background:
            self.feed_upkeep.start()
            await self.jobs.start()

    async def close(self) -> None:
        """Stop everything that was started, the last first. Idempotent."""
        async with AsyncExitStack() as last_first:
            for part in (self.remotes, self.bell, self.feed_upkeep, self.jobs):
                last_first.push_async_callback(part.close)

    def shut(self) -> None:
        """Send away whoever only waits, so that a server that stops need not wait for them."""
        self.bell.shut()

    async def _send(self, remote: RemoteMarket) -> UploadReport:
        """What is to be told of itself is put into the outbox first, and all of it sent."""
        await self.uploads.enqueue_counts(remote)
        return await self.uploads.send(remote)

    async def _tidy(self) -> None:
        await self.uploads.forget()
        await self.follower.forget()
        await self.remotes.sweep()

    async def _update_advisories(self) -> AdvisoryReport:
        return await update_advisories(self.runtime)

    async def __aenter__(self) -> Marketplace:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
