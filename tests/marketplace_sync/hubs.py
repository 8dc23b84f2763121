"""Real hubs for tests: a server in a process of its own, whose catalogue is written through its database."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from skillyard.database import Database, Session, open_database
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry, EntryId, EntryKind, canonical
from skillyard.marketplace_sync.catalogue.store import Catalogue, Change
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.remotes.remote import (
    SKILLYARD,
    Filters,
    RemoteId,
    RemoteKind,
    RemoteMarket,
    RemoteState,
)
from skillyard.settings import Settings
from skillyard.times import utcnow
from tests.api.conftest import Server


class Unindexed:
    """A projection that keeps no index."""

    async def changed(self, session: Session, catalogue: CatalogueId, entries: Sequence[Entry]) -> None:
        """Nothing."""

    async def cleared(self, session: Session, catalogue: CatalogueId) -> None:
        """Nothing."""

    async def settled(self, session: Session, catalogue: CatalogueId) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Hub:
    """A running hub and the database below it."""

    server: Server
    database: Database

    async def write(self, *changes: Change) -> Catalogue:
        """Change its catalogue, from another process than the one that serves it."""
        async with self.database.transaction() as session:
            catalogue = await store.own(session, at=utcnow())
            after, _ = await store.write(session, catalogue, changes, projection=Unindexed(), at=utcnow())
            return after

    async def catalogue(self) -> Catalogue:
        async with self.database.transaction() as session:
            return await store.own(session, at=utcnow())


@asynccontextmanager
async def emptied(server: Server) -> AsyncIterator[Hub]:
    """A running server as a hub without entries, whose feed is another than before: for servers that tests share."""
    database = await open_database(server.database)
    try:
        async with database.transaction() as session:
            catalogue = await store.clear(session, await store.own(session, at=utcnow()), projection=Unindexed())
            await store.save(session, replace(catalogue, feed_id=str(uuid.uuid4())))
        yield Hub(server, database)
    finally:
        await database.close()


def settings_of(home: Path, **more: object) -> Settings:
    """A follower's: another instance on this machine may be asked."""
    return Settings(home=home, **{"marketplace_allow_private": True, "marketplace_timeout": 30.0, **more})  # type: ignore[arg-type]


def remote_market(
    url: str,
    token: str | None,
    *,
    name: str = "hub",
    kind: RemoteKind = SKILLYARD,
    public_key: str | None = None,
) -> RemoteMarket:
    return RemoteMarket(
        id=RemoteId(1),
        workspace=WorkspaceId(1),
        catalogue=CatalogueId(2),
        name=name,
        kind=kind,
        url=url,
        token=token,
        filters=Filters(),
        strategy=Strategy.REMOTE_WINS,
        state=RemoteState.ENABLED,
        live_wanted=True,
        public_key=public_key,
        offered_key=None,
        head=None,
        resync=False,
        tried_at=None,
        succeeded_at=None,
        failures=0,
        error=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def category(name: str, title: str | None = "A title") -> Change:
    """The simplest entry that there is; without a title it is deleted."""
    document = None if title is None else canonical({"title": title, "description": ""})
    return Change(EntryId(EntryKind.CATEGORY, name), document)
