"""A hub and a follower, each with a database of its own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from skillyard.database import Database, Kind, open_database
from skillyard.governance.administrators import Administrator
from skillyard.governance.identity import Person
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.hub.feed import Feed
from skillyard.marketplace_sync.live.broadcast import Bell
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import SKILLYARD, Filters
from skillyard.settings import Settings
from skillyard.times import utcnow
from tests.marketplace_sync.follower.hubs import Here, Hub
from tests.postgres import TEMPLATE, Cluster


@pytest.fixture
def hub_url(database_kind: Kind, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A second database, the hub's."""
    if database_kind is Kind.SQLITE:
        path = tmp_path / "hub" / "skillyard.db"
        path.parent.mkdir()
        shutil.copy(request.getfixturevalue("_migrated_file"), path)
        yield f"sqlite+aiosqlite:///{path}"
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    name = asyncio.run(cluster.create(TEMPLATE))
    yield cluster.url(name)
    asyncio.run(cluster.drop(name))


@pytest.fixture
async def hub(hub_url: str, tmp_path: Path) -> AsyncIterator[Hub]:
    opened = await open_database(hub_url)
    settings = Settings(home=tmp_path / "hub")
    bell = Bell(database=opened, most=4)
    feed = Feed(database=opened, settings=settings, bell=bell)
    await feed.start()
    yield Hub(opened, feed)
    await bell.close()
    await opened.close()


@pytest.fixture
async def here(database: Database, admin: Person, hub: Hub) -> Here:
    async with database.transaction() as session:
        remote = await remote_store.add(
            session,
            by=Administrator(admin.workspace, admin.id, admin.actor),
            at=utcnow(),
            name="hub",
            url="https://hub.example.org",
            token=None,
            kind=SKILLYARD,
            filters=Filters(),
            strategy=Strategy.REMOTE_WINS,
            live=True,
            public_key=None,
        )
    return Here(database, hub, remote)
