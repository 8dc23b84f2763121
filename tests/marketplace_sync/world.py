"""A hub and two followers in one process: real databases, feed, runs, outboxes, and lines that do as they are told."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr
from skillyard.database import Database, open_database
from skillyard.governance import people, tokens
from skillyard.governance.administrators import Administrator
from skillyard.governance.advisories.index import index_path
from skillyard.governance.identity import PersonPrincipal, TokenId
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId
from skillyard.marketplace_sync.conflicts.conflicts import Conflicts
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.errors import RemoteError, RemoteUnavailableError
from skillyard.marketplace_sync.follower import store as follower_store
from skillyard.marketplace_sync.hub.feed import Feed
from skillyard.marketplace_sync.hub.hub import Hub as RealHub
from skillyard.marketplace_sync.hub.upkeep import FeedUpkeep
from skillyard.marketplace_sync.hub.values import InstanceScope, Sender
from skillyard.marketplace_sync.live.broadcast import Bell
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import (
    ChangePage,
    PushItem,
    PushResult,
    PushStatus,
    RemoteMarket,
    RemoteState,
)
from skillyard.marketplace_sync.upwards.publishing import Publisher
from skillyard.marketplace_sync.upwards.tables import UploadRow
from skillyard.marketplace_sync.upwards.uploads import Uploads
from skillyard.runtime.runtime import create_runtime
from skillyard.settings import Settings
from skillyard.times import utcnow
from sqlalchemy import update
from tests.marketplace_sync.follower.hubs import Here, Hub, Row, Unprojected
from tests.marketplace_sync.hub.conftest import chunks, skill_files, version_item
from tests.marketplace_sync.upwards.conftest import EmptyBench, add_remote

SIDES = ("alpha", "beta")


class Line(Hub):
    """The way of one follower to the hub. A hand may be in it for the next page, or the next items."""

    def __init__(self, world: World, side: str) -> None:
        super().__init__(world.runtime.database, world.feed)
        self._world = world
        self._side = side
        self.loses: str | None = None
        """``question`` or ``answer``: of the next push."""
        self.cuts = False
        self.lie: Callable[[list[Row]], list[Row]] | None = None
        """Done to the rows of the next page."""
        self.meddle_page = self._told
        self.limit = 5

    def calm(self) -> None:
        self.loses, self.cuts, self.lie = None, False, None

    async def changes(self, cursor: str | None, *, limit: int, wait: float = 0.0) -> ChangePage:
        cut, self.cuts = self.cuts, False
        if cut:
            raise RemoteUnavailableError("the line was cut")
        self.database, self.feed = self._world.runtime.database, self._world.feed
        return await super().changes(cursor, limit=limit, wait=wait)

    async def push(self, items: Sequence[PushItem]) -> tuple[PushResult, ...]:
        lost, self.loses = self.loses, None
        if lost == "question":
            raise RemoteUnavailableError("the line was cut before it got there")
        answers = await self._world.hub.push(self._world.senders[self._side], items)
        if lost == "answer":
            raise RemoteUnavailableError("the line was cut on the way back")
        return tuple(one.result for one in answers)

    def _told(self, rows: list[Row]) -> list[Row]:
        lie, self.lie = self.lie, None
        return rows if lie is None else lie(rows)


@dataclass
class End:
    """A follower."""

    database: Database
    here: Here
    line: Line
    conflicts: Conflicts
    uploads: Uploads
    by: Administrator
    person: PersonPrincipal

    async def market(self) -> RemoteMarket:
        return await self.here.market()

    async def sync(self) -> None:
        self.here.remote = await self.market()
        with suppress(RemoteError):
            await self.here.sync()

    async def send(self) -> None:
        with suppress(RemoteError):
            await self.uploads.send(await self.market())

    async def enable(self) -> None:
        async with self.database.transaction() as session:
            await remote_store.set_state(
                session, self.by.workspace, "hub", RemoteState.ENABLED, by=self.by, at=utcnow()
            )

    async def stops(self) -> set[str]:
        async with self.database.reading() as session:
            return set(await follower_store.words(session, self.here.remote.id))

    async def hurry(self) -> None:
        """What was put off is due, as if its time had come."""
        async with self.database.transaction() as session:
            await session.execute(update(UploadRow).values(next_at=utcnow() - timedelta(seconds=1)))


class World:
    """The real things, made for one telling."""

    def __init__(self, template: Path, advisories: Path) -> None:
        self._template, self._advisories = template, advisories
        self._left = AsyncExitStack()
        self.ends: dict[str, End] = {}
        self.senders: dict[str, Sender] = {}
        self._tokens: dict[str, str] = {}

    async def begin(self) -> None:
        self._folder = Path(self._left.enter_context(tempfile.TemporaryDirectory()))
        self._file = self._folder / "hub.db"
        shutil.copy(self._template, self._file)
        home = self._folder / "hub"
        index_path(home).parent.mkdir(parents=True)
        index_path(home).symlink_to(self._advisories)
        await self._open()
        await self.hub.namespaces.take("acme", "Acme", by=self.by)
        for side in SIDES:
            expires = utcnow() + timedelta(days=1)
            _, self._tokens[side] = await self.hub.tokens.issue(
                side, tuple(InstanceScope), expires_at=expires, by=self.by
            )
        await self._let_in()
        for side, strategy in zip(SIDES, (Strategy.REMOTE_WINS, Strategy.MERGE), strict=True):
            self.ends[side] = await self._end(side, strategy)

    async def end(self) -> None:
        await self.runtime.close()
        await self._left.aclose()

    async def _open(self) -> None:
        settings_ = Settings(
            home=self._folder / "hub",
            database_url=SecretStr(f"sqlite+aiosqlite:///{self._file}"),
            advisories_max_age_days=100_000,
        )
        self.runtime = await create_runtime(settings_)
        database = self.runtime.database
        self.hub = RealHub(runtime=self.runtime, search=Unprojected(), metrics=SyncMetrics())
        await self.hub.begin()
        self.feed = Feed(database=database, settings=settings_, bell=Bell(database=database, most=2))
        await self.feed.start()
        async with database.transaction() as session:
            workspace = await people.workspace_by_name(session, tokens.DEFAULT_WORKSPACE)
            person = await people.person_by_name(session, workspace.id, tokens.FIRST_PERSON)
        self.sender = Sender(PersonPrincipal(TokenId(1), person))
        self.by = Administrator(person.workspace, person.id, person.actor)

    async def _let_in(self) -> None:
        for side, text in self._tokens.items():
            principal = await self.hub.tokens.authenticate(text)
            assert principal is not None
            self.senders[side] = Sender(principal)

    async def _end(self, side: str, strategy: Strategy) -> End:
        file = self._folder / f"{side}.db"
        shutil.copy(self._template, file)
        database = await open_database(f"sqlite+aiosqlite:///{file}")
        self._left.push_async_callback(database.close)
        async with database.transaction() as session:
            await tokens.first_start(session, utcnow())
            workspace = await people.workspace_by_name(session, tokens.DEFAULT_WORKSPACE)
            admin = await people.person_by_name(session, workspace.id, tokens.FIRST_PERSON)
        remote = await add_remote(database, admin, strategy)
        line, home = Line(self, side), self._folder / side
        conflicts = Conflicts(database=database, metrics=SyncMetrics())
        here = Here(database, line, remote)
        here.heard = conflicts  # type: ignore[assignment]  # the real one hears
        uploads = Uploads(
            database=database,
            settings=Settings(home=home),
            lease=side,
            publisher=Publisher(bench=EmptyBench(home), home=home),
            connect=lambda _remote: line,
            conflicts=conflicts,
            metrics=SyncMetrics(),
        )
        by = Administrator(admin.workspace, admin.id, admin.actor)
        return End(database, here, line, conflicts, uploads, by, PersonPrincipal(TokenId(1), admin))

    async def publish(self, name: str, version: str) -> None:
        files = skill_files(name, version, text=f"{name} {version}.")
        for content in files.values():
            sha256 = hashlib.sha256(content).hexdigest()
            assert await self.hub.receive(sha256, chunks(content), sender=self.sender)
        (answer,) = await self.hub.push(self.sender, [version_item(f"acme/{name}@{version}", files)])
        assert answer.result.status is PushStatus.APPLIED, answer.result

    async def entries(self) -> dict[EntryId, Entry]:
        async with self.runtime.database.reading() as session:
            found = await store.page(session, self.hub.catalogue, after=0, limit=10_000)
        return {entry.id: entry for entry in found}

    async def back_up(self) -> Path:
        file = self._folder / f"{uuid.uuid4().hex}.backup"
        with closing(sqlite3.connect(self._file)) as here, closing(sqlite3.connect(file)) as there:
            here.backup(there)
        return file

    async def put_back(self, backup: Path, *, said: bool) -> None:
        await self.runtime.close()
        for old in self._folder.glob("hub.db*"):
            old.unlink()
        shutil.copy(backup, self._file)
        await self._open()
        await self._let_in()
        if said:
            upkeep = FeedUpkeep(database=self.runtime.database, settings=self.runtime.settings, further=())
            await upkeep.put_back("The model wants it.", by=self.by)
