"""SQLite: one file in write-ahead-log mode, one connection that writes, a few that read."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import cast

import aiosqlite
from sqlalchemy import URL, AdaptedConnection, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from skillyard.database.errors import DatabaseError, DatabaseUnavailableError, machine_errors, unavailable
from skillyard.database.limits import BUSY_SECONDS, MIGRATION_SECONDS
from skillyard.database.turns import GATE_SECONDS, LOOK_SECONDS, Gate, is_locked
from skillyard.database.url import Location

_STEP_SECONDS = 0.005
"""SQLite sleeps longer each time it finds the lock taken, up to a tenth of a second. Who is next begins to wait anew
after so many, so that the lock does not lie idle."""


def engines(location: Location, *, readers: int) -> tuple[AsyncEngine, AsyncEngine]:
    """The writing engine and the reading one, for a file that is there."""
    # One writing connection: writers of this process queue in its pool, in order, instead of polling SQLite's lock.
    writer = create_async_engine(location.url, pool_size=1, max_overflow=0, pool_timeout=BUSY_SECONDS)
    reader = create_async_engine(location.url, pool_size=readers, max_overflow=0, pool_timeout=BUSY_SECONDS)
    _on_connect(
        writer.sync_engine,
        begin="BEGIN IMMEDIATE",
        pragmas=("foreign_keys = ON", "synchronous = FULL"),
        gate=location.path,
    )
    _on_connect(reader.sync_engine, begin="BEGIN", pragmas=("query_only = ON",))
    for engine in (writer, reader):
        _rolled_back_when_given_up(engine.sync_engine)
    return writer, reader


def reading_engine(location: Location, *, readers: int) -> Engine:
    """For reading in threads."""
    url = URL.create("sqlite", database=str(location.path))
    engine = create_engine(url, pool_size=readers, max_overflow=0, pool_timeout=BUSY_SECONDS)
    _on_connect(engine, begin="BEGIN", pragmas=("query_only = ON",))
    return engine


@contextmanager
def migration_connection(path: Path) -> Iterator[Connection]:
    """One exclusive transaction for changing the schema; foreign keys are checked as a whole before it commits.

    Enforcement is off meanwhile, because SQLite changes a table by copying and dropping it, and dropping a parent
    would delete its children (https://www.sqlite.org/lang_altertable.html#otheralter).
    """
    _create_file(path)
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    _on_connect(engine, begin="BEGIN EXCLUSIVE", pragmas=("foreign_keys = OFF", "synchronous = FULL"))
    try:
        with engine.begin() as connection:
            yield connection
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise DatabaseError(f"the schema change left {len(broken)} dangling references; nothing was changed")
    finally:
        engine.dispose()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Makes the file if need be, in the mode it needs, and keeps other processes from migrating it meanwhile."""
    _create_file(path)
    with _file_lock(path.with_name(path.name + ".migrating")), machine_errors():
        _use_write_ahead_log(path)
        yield


@contextmanager
def looking(path: Path) -> Iterator[Connection]:
    """A connection that changes nothing, for a file that is there."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    try:
        with machine_errors(), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def disk_bytes(path: Path) -> int:
    """The file's size with that of its log."""
    return sum(one.stat().st_size for one in (path, path.with_name(f"{path.name}-wal")) if one.is_file())


def _create_file(path: Path) -> None:
    """The file and its folder are for the owner alone: it holds token hashes and everything that was decided."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise DatabaseUnavailableError(f"the database {path} cannot be written: {error.strerror}") from error


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    """Held by one process at a time and released by the kernel when it dies. The file stays; removing it would race."""
    deadline = time.monotonic() + MIGRATION_SECONDS
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise DatabaseUnavailableError(f"another process has held {path} for {MIGRATION_SECONDS:.0f} seconds")
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _use_write_ahead_log(path: Path) -> None:
    # The journal mode is a property of the file and cannot change inside a transaction; SQLite does not wait for
    # other connections here, which is why the file lock is held.
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.DatabaseError as error:
        raise unavailable(error) from error
    finally:
        connection.close()
    if mode != "wal":
        raise DatabaseUnavailableError(f"the file system of {path} does not support SQLite's write-ahead log")


def _on_connect(engine: Engine, *, begin: str, pragmas: tuple[str, ...], gate: Path | None = None) -> None:
    """Sets up every new connection, and makes SQLAlchemy's begin the given statement.

    ``gate`` is the database of an asynchronous engine whose transactions take turns with others (see ``turns``).
    """
    patience = BUSY_SECONDS if gate is None else _STEP_SECONDS

    @event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # Without this the driver opens transactions by its own rules, and none at all for schema changes.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (*pragmas, f"busy_timeout = {int(patience * 1000)}", "trusted_schema = OFF"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if gate is None:
            connection.exec_driver_sql(begin)
        else:
            _begin_in_turn(connection, begin, gate)


def _rolled_back_when_given_up(engine: Engine) -> None:
    """A connection that is given up in the middle of a transaction, because who used it was cancelled, ends that.

    To close it is not enough: SQLite keeps a closed connection, and its lock, for as long as a statement of it is not
    finalised, and the statement that was cancelled belongs to a cursor that the cancelled task's traceback holds. Every
    other writer would wait for the garbage collector.
    """
    ending: set[asyncio.Task[None]] = set()

    @event.listens_for(engine, "invalidate")
    def _given_up(adapted: AdaptedConnection | None, _record: object, _error: object) -> None:
        if adapted is None:
            return
        # Not waited for, since who is here may be cancelled once more. The connection's thread does one thing after the
        # other: first what was cancelled, then this, then what closes it.
        task = asyncio.ensure_future(_roll_back(adapted.driver_connection))
        ending.add(task)
        task.add_done_callback(ending.discard)


async def _roll_back(connection: aiosqlite.Connection) -> None:
    # It may have been lost before, or be closed by somebody else; then there is nothing to be ended.
    with suppress(sqlite3.Error, ValueError):
        await connection.rollback()


def _begin_in_turn(connection: Connection, begin: str, path: Path) -> None:
    began = time.monotonic()
    with ExitStack() as inside:
        with suppress(OSError):  # No place for the file: the transaction will say so, or needs none.
            gate = Gate(path)
            inside.callback(gate.close)
            while not gate.try_enter() and time.monotonic() - began < GATE_SECONDS:
                _sleep(connection)
        while True:
            try:
                connection.exec_driver_sql(begin)
            except OperationalError as error:
                if not is_locked(error.orig) or time.monotonic() - began > BUSY_SECONDS:
                    raise
            else:
                return


def _sleep(connection: Connection) -> None:
    """Let the event loop go on meanwhile."""
    adapted = cast(AdaptedConnection, connection.connection.dbapi_connection)
    adapted.run_async(lambda _: asyncio.sleep(LOOK_SECONDS))
