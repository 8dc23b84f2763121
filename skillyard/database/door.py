"""An open database: transactions that change, and readings of one moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, event, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session as SyncSession

from skillyard.database import postgres, sqlite
from skillyard.database.errors import machine_errors
from skillyard.database.limits import READERS
from skillyard.database.migrating import require_head
from skillyard.database.url import Kind, Location, locate

Session = AsyncSession
"""What a transaction gives; the name that modules outside this door use."""


Snapshot = Connection
"""What ``Database.look`` gives: the database as it was at one moment, without waiting for it statement by statement."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Threads:
    """Where SQLite is read without a journey to a connection's own thread for each statement."""

    engine: Engine
    pool: ThreadPoolExecutor

    def run(self, work: Callable[[Connection], T]) -> T:
        with self.engine.connect() as connection:
            return work(connection)

    def close(self) -> None:
        self.pool.shutdown()
        self.engine.dispose()


@dataclass(frozen=True, slots=True)
class Database:
    """An open database: one connection that writes, a few that read. Made by ``open_database``."""

    location: Location
    _writer: AsyncEngine = field(repr=False)
    _reader: AsyncEngine = field(repr=False)
    _writes: async_sessionmaker[AsyncSession] = field(repr=False)
    _reads: async_sessionmaker[AsyncSession] = field(repr=False)
    _threads: _Threads | None = field(repr=False)

    @property
    def kind(self) -> Kind:
        return self.location.kind

    @property
    def url(self) -> str:
        """What it was opened with; may hold a password. ``location.shown`` does not."""
        return self.location.url

    @property
    def path(self) -> Path:
        """The file. Raises ``DatabaseError`` where the database is none: on PostgreSQL."""
        return self.location.path

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """One unit of work: committed durably when the block ends, rolled back when it raises.

        It takes its turn before its first statement, so what it read still holds when it writes: on SQLite the write
        lock (``BEGIN IMMEDIATE``), on PostgreSQL an advisory lock (see ``database.postgres``). Transactions of one
        process queue for the one writing connection: never open one inside another.
        Raises ``DatabaseUnavailableError`` when the database cannot be written in time.
        """
        with machine_errors():
            async with self._writes() as session, session.begin():
                await session.connection()
                yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A consistent snapshot that waits for no writer. The connection refuses writes."""
        with machine_errors():
            async with self._reads() as session:
                yield session

    async def look(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` finds in one consistent snapshot. As ``reading``, for many small statements at once.

        On SQLite it runs in a thread, where a small statement costs a sixth of what it costs from here; on PostgreSQL
        on the event loop. So it may touch nothing that only one of them may.
        """
        with machine_errors():
            if self._threads is not None:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads.pool, self._threads.run, work)
            async with self._reader.connect() as connection:
                return await connection.run_sync(work)

    async def disk_bytes(self) -> int:
        """What it occupies on its disk: the files, or what the server says of this database."""
        if self.kind is Kind.SQLITE:
            return await asyncio.to_thread(sqlite.disk_bytes, self.path)
        async with self.reading() as session:
            return int((await session.execute(select(func.pg_database_size(func.current_database())))).scalar_one())

    async def close(self) -> None:
        if self._threads is not None:
            await asyncio.to_thread(self._threads.close)
        await self._reader.dispose()
        await self._writer.dispose()


def after_commit(session: Session, call: Callable[[], None]) -> None:
    """Call something once this transaction is committed, and never if it is not. It must not touch the database.

    Said within a savepoint that is rolled back, it is called all the same where the rest is committed.
    """

    def committed(done: SyncSession) -> None:
        # The end of a savepoint is told as a commit as well, and nobody else sees anything of it yet.
        if not done.in_nested_transaction():
            call()

    event.listen(session.sync_session, "after_commit", committed)


async def open_database(url: str, *, readers: int = READERS) -> Database:
    """Opens a migrated database. Raises ``DatabaseNotMigratedError`` or ``DatabaseNewerError`` if it is not at head.

    ``readers`` is how many connections may read at once.
    """
    location = locate(url)
    await require_head(location)
    engine = sqlite if location.kind is Kind.SQLITE else postgres
    writer, reader = engine.engines(location, readers=readers)
    threads = None
    if location.kind is Kind.SQLITE:
        pool = ThreadPoolExecutor(readers, thread_name_prefix="database")
        threads = _Threads(sqlite.reading_engine(location, readers=readers), pool)
    return Database(
        location=location,
        _writer=writer,
        _reader=reader,
        _writes=async_sessionmaker(writer, expire_on_commit=False),
        _reads=async_sessionmaker(reader, expire_on_commit=False),
        _threads=threads,
    )
