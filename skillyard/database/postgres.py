"""PostgreSQL: how a connection is opened, and how transactions take turns.

Every connection of ours to a server is opened by ``connect``, the durable writer's own included, so that each has the
same limits of time and no error repeats a password.

**Turns.** A transaction of ``Database.transaction`` holds an advisory lock of the database exclusively from before its
first statement to its end, which is what ``BEGIN IMMEDIATE`` is on SQLite: what it read still holds when it writes.
Admissions hold the same lock shared (``TAKE_SHARED_TURN``, the first statement of their transaction): side by side
with each other, never with a change of rules. The queue for it is in order of arrival, so neither starves the other.
Statements after it see everything that was committed before the lock was granted, at READ COMMITTED only; a snapshot
for the whole transaction would be from before the wait. See ADR 0022.
"""

from __future__ import annotations

import time
from typing import Final

import asyncpg
from sqlalchemy import AdaptedConnection, Connection, event
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from skillyard.database.errors import DatabaseUnavailableError
from skillyard.database.limits import (
    ANSWER_SECONDS,
    BUSY_SECONDS,
    CLOSE_SECONDS,
    CONNECT_SECONDS,
    IDLE_READ_SECONDS,
    IDLE_WRITE_SECONDS,
    MIGRATION_SECONDS,
    STATEMENT_SECONDS,
)
from skillyard.database.url import Location

_CLASS: Final = 0x534B59  # "SKY": the first half of our advisory locks' keys, the same in every version
_TURN: Final = 1
_MIGRATION: Final = 2

TAKE_TURN: Final = f"SELECT pg_advisory_xact_lock({_CLASS}, {_TURN})"
"""Waits until no other transaction has a turn, and keeps every other one waiting until this transaction ends."""

TAKE_SHARED_TURN: Final = f"SELECT pg_advisory_xact_lock_shared({_CLASS}, {_TURN})"
"""Waits for transactions with a turn of their own, and runs beside those that share it. For admissions."""

TAKE_MIGRATION_TURN: Final = f"SELECT pg_advisory_xact_lock({_CLASS}, {_MIGRATION})"

_SET: Final = "SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS given(name, value)"

# A server or role may be set to answer before a commit is durable; what we confirm has to be on disk.
_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)

_USED: Final = "skillyard.used"
"""When a connection was given back, by ``time.monotonic``."""
_FRESH_SECONDS: Final = 0.1
"""One that was in use so shortly ago is lost as one in use is."""

_URL: Final = "postgresql+asyncpg://"  # the dialect; where the server is, `connect` knows


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # the driver ships no types
    """A server that fell silent does not hold up closing either: we hang up."""

    async def close(self, *, timeout: float | None = None) -> None:
        await super().close(timeout=timeout or CLOSE_SECONDS)


async def connect(
    location: Location,
    *,
    purpose: str,
    statement_seconds: float = STATEMENT_SECONDS,
    lock_seconds: float = BUSY_SECONDS,
    idle_seconds: float = IDLE_WRITE_SECONDS,
    answer_seconds: float | None = ANSWER_SECONDS,
) -> asyncpg.Connection:
    """One connection. ``purpose`` is what administrators see of it in ``pg_stat_activity``; 0 seconds are no limit.

    Raises ``DatabaseUnavailableError`` for a server that cannot be reached in time or does not let us in.
    """
    limits = {
        "timezone": "UTC",
        # A stricter level would make every statement read what was before the wait for a turn.
        "default_transaction_isolation": "read committed",
        "statement_timeout": _milliseconds(statement_seconds),
        "lock_timeout": _milliseconds(lock_seconds),
        "idle_in_transaction_session_timeout": _milliseconds(idle_seconds),
        # The server notices within half a minute that this machine is gone, and lets go of what it had locked.
        "tcp_keepalives_idle": "15",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
    }
    try:
        opened: asyncpg.Connection = await asyncpg.connect(
            location.dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=answer_seconds,
            server_settings={"application_name": f"skillyard {purpose}"},
            connection_class=_Connection,
        )
        try:
            # Not with the connection's first message: a pooler refuses what it does not know there.
            await opened.fetch(_SET, list(limits), list(limits.values()), timeout=CONNECT_SECONDS)
            await opened.execute(_DURABLE, timeout=CONNECT_SECONDS)
        except BaseException:
            opened.terminate()
            raise
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        said = str(error) or f"no answer within {CONNECT_SECONDS:.0f} seconds"
        raise DatabaseUnavailableError(f"{location.shown} cannot be reached: {said}") from error
    except ValueError:
        # What the driver could not read is in the message, and may be a part of the password.
        raise DatabaseUnavailableError(f"{location.shown} cannot be reached: its URL cannot be read") from None
    return opened


def engines(location: Location, *, readers: int) -> tuple[AsyncEngine, AsyncEngine]:
    """The writing engine and the reading one."""

    async def open_writer() -> asyncpg.Connection:
        return await connect(location, purpose="writing")

    async def open_reader() -> asyncpg.Connection:
        return await connect(location, purpose="reading", idle_seconds=IDLE_READ_SECONDS)

    # One writing connection is enough: transactions take turns in the whole instance anyway.
    writer = create_async_engine(
        _URL,
        async_creator=open_writer,
        pool_size=1,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
        isolation_level="READ COMMITTED",
        hide_parameters=True,
    )
    reader = create_async_engine(
        _URL,
        async_creator=open_reader,
        pool_size=readers,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
        isolation_level="REPEATABLE READ",
        execution_options={"postgresql_readonly": True},
        hide_parameters=True,
    )
    _begin_with(writer, TAKE_TURN)
    for engine in (writer, reader):
        _lost_connections(engine)
        _asked_before_use(engine)
    return writer, reader


def migrating_engine(location: Location) -> AsyncEngine:
    """An engine whose transactions change the schema, one in the whole database at a time, for as long as it takes."""

    async def open_one() -> asyncpg.Connection:
        return await connect(
            location,
            purpose="migrating",
            statement_seconds=0,
            lock_seconds=MIGRATION_SECONDS,
            idle_seconds=0,
            answer_seconds=None,
        )

    engine = create_async_engine(
        _URL, async_creator=open_one, poolclass=NullPool, isolation_level="READ COMMITTED", hide_parameters=True
    )
    _begin_with(engine, TAKE_MIGRATION_TURN)
    _lost_connections(engine)
    return engine


def looking_engine(location: Location) -> AsyncEngine:
    """An engine for a look at what is there; it changes nothing."""

    async def open_one() -> asyncpg.Connection:
        return await connect(location, purpose="looking", answer_seconds=CONNECT_SECONDS)

    engine = create_async_engine(
        _URL, async_creator=open_one, poolclass=NullPool, execution_options={"postgresql_readonly": True}
    )
    _lost_connections(engine)
    return engine


def _begin_with(engine: AsyncEngine, statement: str) -> None:
    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)


def _lost_connections(engine: AsyncEngine) -> None:
    """A server that fell silent raises what is not the driver's: say what it means, and never use it again."""

    @event.listens_for(engine.sync_engine, "handle_error")
    def _name(context: ExceptionContext) -> BaseException | None:
        error = context.original_exception
        if not isinstance(error, OSError | TimeoutError):
            return None
        context.is_disconnect = True
        return DatabaseUnavailableError(f"the database cannot be used now: {str(error) or 'it does not answer'}")


def _asked_before_use(engine: AsyncEngine) -> None:
    """A connection that was lost while nobody used it is replaced unseen.

    By one journey, in the simple protocol, which poolers pass on too; SQLAlchemy's own question is a transaction, four
    journeys before each reading. While one reading follows another, none is asked.
    """

    @event.listens_for(engine.sync_engine, "checkin")
    def _used(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info[_USED] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def _ask(adapted: AdaptedConnection, record: ConnectionPoolEntry, _given: object) -> None:
        used: float | None = record.info.get(_USED)
        if used is None or time.monotonic() - used < _FRESH_SECONDS:
            return
        try:
            adapted.run_async(_asked)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise InvalidatePoolError from error


async def _asked(connection: asyncpg.Connection) -> None:
    await connection.execute("SELECT 1", timeout=CONNECT_SECONDS)


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
