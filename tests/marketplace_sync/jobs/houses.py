"""One process's jobs over a database, the work that they do as a test wants it, and claims of other processes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from skillyard.database import Database
from skillyard.errors import SkillyardError
from skillyard.governance.administrators import Administrator
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.errors import RemoteUnavailableError
from skillyard.marketplace_sync.jobs import runner, store
from skillyard.marketplace_sync.jobs.jobs import Jobs
from skillyard.marketplace_sync.jobs.orders import Orders
from skillyard.marketplace_sync.jobs.values import Job, JobKey, Run, RunTrigger
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import SKILLYARD, Filters, Remote, RemoteId, RemoteMarket
from skillyard.runtime import leases
from skillyard.runtime.leases import Machine
from skillyard.settings import Settings
from skillyard.times import utcnow

TTL = 1.2
"""Seconds that a claim holds, where a test waits until one runs out. Elsewhere none does: it would in a process that
stood still for a moment."""


@dataclass(frozen=True)
class Report:
    applied: int
    snapshot: bool
    equal: bool | None = None
    seconds: float = 0.5


@dataclass
class Work:
    """What is to be done for a remote, as a test wants it: how long it takes, whether it fails, how often it was."""

    seconds: float = 0.0
    until: asyncio.Event | None = None
    """Where it is to take as long as the test wants."""
    error: Exception | None = None
    begun: int = 0
    at_once: int = 0
    most_at_once: int = 0
    ended: list[str] = field(default_factory=list)

    async def __call__(self, remote: RemoteMarket) -> Report:
        self.begun += 1
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await asyncio.sleep(self.seconds)
            if self.until is not None:
                await self.until.wait()
        finally:
            self.at_once -= 1
        if self.error is not None:
            raise self.error
        self.ended.append(remote.name)
        return Report(applied=3, snapshot=True)


@dataclass
class House:
    """One process's jobs over a database."""

    jobs: Jobs
    orders: Orders
    follow: Work
    send: Work
    lease: str
    shortened: list[tuple[RemoteId, str]]

    def rests(self) -> bool:
        """Nothing is under way, and nothing waits for its turn."""
        return not self.jobs._running and not self.jobs._waiting


async def until(found: Callable[[], Awaitable[bool] | bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            answer = found()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.02)


async def added(database: Database, by: Administrator, name: str) -> RemoteMarket:
    async with database.transaction() as session:
        return await remote_store.add(
            session,
            by=by,
            at=utcnow(),
            name=name,
            url="http://127.0.0.1:9",
            token=None,
            kind=SKILLYARD,
            filters=Filters(),
            strategy=Strategy.REMOTE_WINS,
            live=False,
            public_key=None,
        )


async def take_lease(database: Database) -> str:
    lease = uuid.uuid4().hex
    async with database.transaction() as session:
        await leases.register(session, lease, home_id="0" * 32, machine=Machine.this())
    return lease


@asynccontextmanager
async def working(
    database: Database, home: Path, *, follow: Work | None = None, send: Work | None = None, **settings: object
) -> AsyncIterator[House]:
    follow, send, lease = follow or Work(), send or Work(), await take_lease(database)

    async def find(remote_id: RemoteId) -> RemoteMarket:
        async with database.reading() as session:
            return await remote_store.find(session, remote_id)

    def client(_remote: RemoteMarket) -> Remote:
        raise RemoteUnavailableError("no channel in this test")

    async def update() -> Report:
        return Report(applied=1, snapshot=False)

    async def tidy() -> None:
        """Nothing is left over in these tests."""

    shortened: list[tuple[RemoteId, str]] = []

    async def cut_short(remote_id: RemoteId, error: SkillyardError) -> None:
        shortened.append((remote_id, str(error)))

    values: dict[str, object] = {"lease_heartbeat": 0.3, "lease_ttl": 60.0, "sync_jitter": 0.0} | settings
    jobs = Jobs(
        database=database,
        settings=Settings(home=home, **values),  # type: ignore[arg-type]
        lease=lease,
        metrics=SyncMetrics(),
        find=find,
        client=client,
        follow=follow,
        send=send,
        update_advisories=update,
        tidy=tidy,
        cut_short=cut_short,
    )
    with pytest.MonkeyPatch.context() as patch:
        # What is cut off is recorded, however long that takes here: what is not is lost, and others record it.
        patch.setattr(runner, "RECORD_SECONDS", 60.0)
        await jobs.start()
        try:
            yield House(jobs, Orders(database=database, jobs=jobs, lease=lease), follow, send, lease, shortened)
        finally:
            await jobs.close()


async def runs(database: Database, remote: RemoteMarket, job: Job = Job.CATALOGUE) -> tuple[Run, ...]:
    async with database.reading() as session:
        return await store.runs(session, remote.workspace, job=job, remote=remote.id, before=0, limit=100)


async def claimed_by(database: Database, remote: RemoteMarket, lease: str, *, ahead: timedelta = timedelta()) -> Run:
    at = utcnow() + ahead
    async with database.transaction() as session:
        outcome = await store.claim(
            session,
            JobKey(Job.CATALOGUE, remote.id),
            remote.workspace,
            by=lease,
            trigger=RunTrigger.SCHEDULE,
            at=at,
            hold=timedelta(seconds=TTL),
            period=None,
            next_at=None,
            unrenewed=None,
        )
    assert isinstance(outcome, Run)
    return outcome
