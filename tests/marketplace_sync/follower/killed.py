"""A follower's process that ends itself by SIGKILL at a given moment: run by ``test_kill`` with its orders as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from skillyard.database import Session, open_database
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry
from skillyard.marketplace_sync.follower import run as run_module
from skillyard.marketplace_sync.follower.run import Run
from skillyard.marketplace_sync.follower.words import Stopped
from skillyard.marketplace_sync.hub.feed import Feed
from skillyard.marketplace_sync.live.broadcast import Bell
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import RemoteId, RemoteMarket
from skillyard.settings import Settings
from tests.marketplace_sync.follower.hubs import Hub


class Fuse:
    """Counts moments: before pages are asked for, and inside of transactions before and after they wrote."""

    def __init__(self, left: int) -> None:
        self._left = left

    def burn(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    async def changed(self, session: Session, catalogue: CatalogueId, entries: Sequence[Entry]) -> None:
        assert session.in_transaction()
        assert catalogue or not entries
        self.burn()

    async def cleared(self, session: Session, catalogue: CatalogueId) -> None:
        raise AssertionError(f"nobody clears {catalogue} in {session}")

    async def on_entries(self, session: Session, remote: RemoteMarket, entries: Sequence[Entry]) -> None:
        assert session.in_transaction()
        assert remote.id or not entries
        self.burn()


async def main() -> None:
    orders = json.loads(sys.argv[1])
    run_module._MARKED_TOGETHER = 10  # type: ignore[misc]  # so that there is something between two of them
    there, here = await open_database(orders["hub"]), await open_database(orders["here"])
    bell = Bell(database=there, most=1)
    feed = Feed(database=there, settings=Settings(home=Path(orders["home"])), bell=bell)
    await feed.start()
    hub, fuse = Hub(there, feed), Fuse(orders["moment"])
    hub.limit = 5
    hub.before_page = lambda _number: fuse.burn()

    async def on_stopped(stopped: Stopped) -> None:
        assert stopped
        fuse.burn()

    async with here.reading() as session:
        market = await remote_store.find(session, RemoteId(orders["remote"]))
    run = Run(market, hub, database=here, projection=fuse, listener=fuse, on_stopped=on_stopped)
    await run.to_the_head()
    await bell.close()
    await there.close()
    await here.close()


if __name__ == "__main__":
    asyncio.run(main())
