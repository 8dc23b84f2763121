"""A workspace with a remote in memory: outbox and mirror in real databases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Never

import pytest
from skillyard.database import Database
from skillyard.governance.administrators import Administrator
from skillyard.governance.identity import Person, PersonPrincipal, TokenId
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.catalogue import store as catalogue_store
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind, canonical
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.conflicts.conflicts import Conflicts
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import SKILLYARD, Filters, PushItem, PushResult, RemoteMarket
from skillyard.marketplace_sync.remotes.testing import MemoryMarketplace, MemoryRemote
from skillyard.marketplace_sync.upwards.publishing import Bench, Publisher
from skillyard.marketplace_sync.upwards.uploads import Uploads
from skillyard.runtime.install import Prepared
from skillyard.runtime.values import InstalledVersion, SkillRef
from skillyard.settings import Settings
from skillyard.skills.bundle_store import BundleStore
from skillyard.skills.skill import ParseMode
from skillyard.skills.source import Source
from skillyard.times import utcnow
from tests.marketplace_sync.hubs import Unindexed

SKILL = "acme/csv-report"


class EmptyBench:
    """For tests in which nothing is published."""

    def __init__(self, home: Path) -> None:
        self.bundles = BundleStore(home / "bundles")

    async def prepare(self, source: Source, *, mode: ParseMode) -> Prepared:
        return self._nothing(source, mode)

    async def version(self, workspace: WorkspaceId, ref: SkillRef) -> InstalledVersion:
        return self._nothing(workspace, ref)

    def _nothing(self, *what: object) -> Never:
        raise AssertionError(f"nothing is published here: {what}")


@dataclass
class WatchedRemote(MemoryRemote):
    """Tells what was pushed, and may fail before or after the remote took it."""

    market: MemoryMarketplace
    batches: list[tuple[str, ...]] = field(default_factory=list)
    before: Callable[[Sequence[PushItem]], None] | None = None
    after: Callable[[Sequence[PushItem]], None] | None = None

    def __post_init__(self) -> None:
        super().__init__(self.market)

    async def push(self, items: Sequence[PushItem]) -> tuple[PushResult, ...]:
        self.batches.append(tuple(item.item for item in items))
        if self.before is not None:
            self.before(items)
        results = await super().push(items)
        if self.after is not None:
            self.after(items)
        return results

    async def close(self) -> None:
        """It is used again."""


@dataclass
class Outpost:
    """A workspace, its remote, and what it sends there."""

    database: Database
    market: MemoryMarketplace
    client: WatchedRemote
    remote: RemoteMarket
    uploads: Uploads
    conflicts: Conflicts
    metrics: SyncMetrics
    admin: Administrator
    person: PersonPrincipal
    home: Path

    async def follow(self) -> None:
        """What a follower does: apply what changed, and let conflicts be found in the same transaction."""
        entries = sorted(self.market.entries.values(), key=lambda one: one.seq)
        async with self.database.transaction() as session:
            mirror = await catalogue_store.find(session, self.remote.catalogue)
            _, fresh = await catalogue_store.apply(session, mirror, entries, projection=Unindexed())
            await self.conflicts.on_entries(session, self.remote, fresh)

    async def set_strategy(self, strategy: Strategy) -> None:
        async with self.database.transaction() as session:
            self.remote = await remote_store.change(
                session,
                self.admin.workspace,
                "hub",
                by=self.admin,
                at=utcnow(),
                url=None,
                filters=None,
                strategy=strategy,
                live=None,
            )

    async def send(self) -> None:
        await self.uploads.send(self.remote)

    async def write(self, description: str, **more: object) -> None:
        """An edit at the remote."""
        await self.market.write(Change(EntryId(EntryKind.SKILL, SKILL), skill(description, **more)))

    def there(self) -> str:
        """What the remote says of the skill."""
        return str(self.market.entries[EntryId(EntryKind.SKILL, SKILL)].document)


def skill(description: str, **more: object) -> str:
    return canonical({"description": description, "updated_at": "2026-01-01T00:00:00Z", **more})


def outpost_of(
    database: Database, remote: RemoteMarket, admin: Person, home: Path, *, bench: Bench, **settings: object
) -> Outpost:
    market = MemoryMarketplace()
    client = WatchedRemote(market)
    metrics = SyncMetrics()
    conflicts = Conflicts(database=database, metrics=metrics)
    uploads = Uploads(
        database=database,
        settings=Settings(home=home, **settings),  # type: ignore[arg-type]
        lease="here",
        publisher=Publisher(bench=bench, home=home),
        connect=lambda _remote: client,
        conflicts=conflicts,
        metrics=metrics,
    )
    by = Administrator(admin.workspace, admin.id, admin.actor)
    person = PersonPrincipal(TokenId(1), admin)
    return Outpost(database, market, client, remote, uploads, conflicts, metrics, by, person, home)


async def add_remote(database: Database, admin: Person, strategy: Strategy = Strategy.REMOTE_WINS) -> RemoteMarket:
    async with database.transaction() as session:
        return await remote_store.add(
            session,
            by=Administrator(admin.workspace, admin.id, admin.actor),
            at=utcnow(),
            name="hub",
            url="https://hub.example.org",
            token=None,
            kind=SKILLYARD,
            filters=Filters(),
            strategy=strategy,
            live=True,
            public_key=None,
        )


@pytest.fixture
async def outpost(database: Database, admin: Person, tmp_path: Path) -> Outpost:
    """With one skill at the remote, and in the mirror."""
    home = tmp_path / "home"
    made = outpost_of(database, await add_remote(database, admin), admin, home, bench=EmptyBench(home))
    await made.write("Reports from CSV.", topics=["csv"], channels={"latest": "1.0.0"})
    await made.follow()
    return made
