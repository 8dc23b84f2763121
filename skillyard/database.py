"""The one door to the database: engine, transactions, column types, schema migrations.

Tables live beside the package that owns them (``governance.tables``, ``runtime.tables``) on the ``Base`` of this
module; all of them share one Alembic history in ``skillyard/migrations``. SQLite is the only engine that is opened
so far; types and constraints are kept portable to PostgreSQL.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any, Generic, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Integer,
    MetaData,
    SmallInteger,
    String,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry, NullPool
from sqlalchemy.types import TypeDecorator

from skillyard.errors import MachineError

Session = AsyncSession
"""What a transaction gives; the name that modules outside this door use."""

BUSY_SECONDS = 15.0
"""How long a transaction waits for another writer (of this process or another) before it fails."""

MIGRATION_SECONDS = 120.0
"""How long a start waits for another process that is migrating the same file."""

_SCRIPTS = Path(__file__).parent / "migrations"

# SQLite result codes (https://www.sqlite.org/rescode.html) that say something about the machine and nothing about
# the statement: perm, busy, locked, readonly, ioerr, corrupt, full, cantopen, notadb.
_MACHINE_CODES = frozenset({3, 5, 6, 8, 10, 11, 13, 14, 26})


class DatabaseError(MachineError):
    """The database could not be used as it is."""

    code = "database"


class DatabaseNewerError(DatabaseError):
    """The file was written by a newer Skillyard; going on could destroy what this version does not know."""

    code = "database_newer"


class DatabaseNotMigratedError(DatabaseError):
    """The file has no schema yet, or an older one; ``migrate`` comes before ``open_database``."""

    code = "database_not_migrated"


class DatabaseUnavailableError(MachineError):
    """The database file cannot be read or written now: locked for too long, disk full, unreadable, damaged."""

    code = "database_unavailable"


class Base(DeclarativeBase):
    """Every table. Constraints get names by one convention, so that migrations can address them on any engine."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


Key = BigInteger().with_variant(Integer(), "sqlite")
"""64-bit integer keys. SQLite's ``INTEGER`` is 64 bits wide, and only a column of that name counts up by itself."""


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: aware on both sides, UTC when read. Naive values are refused with ``ValueError``."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else in_utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        # SQLite keeps no offset; what was bound was UTC.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


E = TypeVar("E", bound=Enum)


class StoredEnum(TypeDecorator[E], Generic[E]):
    """A closed set of values, stored by value: text for a ``StrEnum``, a small integer for an ``IntEnum``.

    Only members can be bound, and an unknown value in the file is a ``ValueError`` when read, never a bare string.
    """

    impl = String
    cache_ok = True

    def __init__(self, members: type[E]) -> None:
        super().__init__(32)
        self.members = members

    def load_dialect_impl(self, dialect: Dialect) -> Any:  # SQLAlchemy types this as an engine of unknown content
        numeric = issubclass(self.members, IntEnum)
        return dialect.type_descriptor(SmallInteger() if numeric else String(32))

    def process_bind_param(self, value: E | None, dialect: Dialect) -> Any:  # noqa: ARG002
        if value is None:
            return None
        if not isinstance(value, self.members):
            raise TypeError(f"{value!r} is not a member of {self.members.__name__}")
        return value.value

    def process_result_value(self, value: Any, dialect: Dialect) -> E | None:  # noqa: ARG002
        return None if value is None else self.members(value)


def one_of(column: str, members: type[Enum]) -> CheckConstraint:
    """The check that goes with a ``StoredEnum`` column, for writers that do not pass through SQLAlchemy."""
    values = ", ".join(str(m.value) if isinstance(m, int) else f"'{m.value}'" for m in members)
    return CheckConstraint(f"{column} IN ({values})", name=column)


def utcnow() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC. Raises ``ValueError`` for a naive one: nobody can say which moment it means."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError(f"naive datetime {moment.isoformat()}: give it a time zone")
    return moment.astimezone(UTC)


def stored_time(moment: datetime) -> str:
    """The text that ``UtcDateTime`` keeps on SQLite, for a writer that uses the driver directly."""
    return in_utc(moment).replace(tzinfo=None).isoformat(" ", "microseconds")


@dataclass(frozen=True, slots=True)
class Database:
    """An open database: one connection that writes, a few that read. Made by ``open_database``."""

    path: Path
    _writer: AsyncEngine
    _reader: AsyncEngine
    _writes: async_sessionmaker[AsyncSession]
    _reads: async_sessionmaker[AsyncSession]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """One unit of work: committed durably when the block ends, rolled back when it raises.

        It takes the write lock before its first statement (``BEGIN IMMEDIATE``), so what it read still holds when it
        writes. Transactions of one process queue for the one writing connection: never open one inside another.
        Raises ``DatabaseUnavailableError`` when the file cannot be written in time.
        """
        with _machine_errors():
            async with self._writes() as session, session.begin():
                yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A consistent snapshot that waits for no writer. The connection refuses writes."""
        with _machine_errors():
            async with self._reads() as session:
                yield session

    async def close(self) -> None:
        await self._reader.dispose()
        await self._writer.dispose()


async def open_database(url: str) -> Database:
    """Opens a migrated database. Raises ``DatabaseNotMigratedError`` or ``DatabaseNewerError`` if it is not at head."""
    path = database_path(url)
    await asyncio.to_thread(_require_head, path)
    # One writing connection: writers of this process queue in its pool, in order, instead of polling SQLite's lock.
    writer = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=BUSY_SECONDS)
    reader = create_async_engine(url, pool_size=4, max_overflow=4, pool_timeout=BUSY_SECONDS)
    _on_connect(writer.sync_engine, begin="BEGIN IMMEDIATE", pragmas=("foreign_keys = ON", "synchronous = FULL"))
    _on_connect(reader.sync_engine, begin="BEGIN", pragmas=("query_only = ON",))
    return Database(
        path=path,
        _writer=writer,
        _reader=reader,
        _writes=async_sessionmaker(writer, expire_on_commit=False),
        _reads=async_sessionmaker(reader, expire_on_commit=False),
    )


async def migrate(url: str) -> None:
    """Creates the file if need be and brings its schema to this version's head; all of it or nothing.

    Safe when several processes start at once: one migrates, the others wait and find it done. Raises
    ``DatabaseNewerError`` for a file of a newer Skillyard and ``DatabaseUnavailableError`` for one that cannot be used.
    """
    await asyncio.to_thread(_upgrade, database_path(url))


def database_path(url: str) -> Path:
    """The file behind an SQLite URL. Raises ``DatabaseError`` for any other URL, and for an in-memory database."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise DatabaseError(f"only SQLite files are supported so far, not {parsed.render_as_string()}")
    return Path(parsed.database)


@dataclass(frozen=True, slots=True)
class SchemaState:
    """A database file's schema. ``found`` is ``None`` for a file without one; revisions are Alembic's."""

    found: str | None
    wanted: str

    @property
    def current(self) -> bool:
        return self.found == self.wanted


async def schema_state(url: str) -> SchemaState | None:
    """Of when a database's schema is; ``None`` where there is no file. Changes nothing.

    Raises ``DatabaseNewerError`` and ``DatabaseUnavailableError``.
    """
    return await asyncio.to_thread(_schema_state, database_path(url))


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration for the scripts inside this package, bound to an open connection if one is given."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


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


def _upgrade(path: Path) -> None:
    _create_file(path)
    with _file_lock(path.with_name(path.name + ".migrating")), _machine_errors():
        _use_write_ahead_log(path)
        with migration_connection(path) as connection:
            _refuse_newer(connection)
            command.upgrade(alembic_config(connection), "head")


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
        raise _unavailable(error) from error
    finally:
        connection.close()
    if mode != "wal":
        raise DatabaseUnavailableError(f"the file system of {path} does not support SQLite's write-ahead log")


def _require_head(path: Path) -> None:
    state = _schema_state(path)
    if state is None:
        raise DatabaseNotMigratedError(f"the database {path} does not exist; migrate it first")
    if not state.current:
        raise DatabaseNotMigratedError(
            f"the database {path} is at {state.found or 'no revision'}, needed is {state.wanted}"
        )


def _schema_state(path: Path) -> SchemaState | None:
    if not path.is_file():
        return None
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    try:
        with _machine_errors(), engine.connect() as connection:
            _refuse_newer(connection)
            found = MigrationContext.configure(connection).get_current_heads()
    finally:
        engine.dispose()
    wanted = ScriptDirectory.from_config(alembic_config()).get_heads()
    return SchemaState(", ".join(sorted(found)) or None, ", ".join(sorted(wanted)))


def _refuse_newer(connection: Connection) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
    if unknown:
        raise DatabaseNewerError(
            f"the database was written by a newer Skillyard (schema revision {', '.join(sorted(unknown))}); "
            "upgrade Skillyard, or restore a backup from before the upgrade"
        )


def _on_connect(engine: Engine, *, begin: str, pragmas: tuple[str, ...]) -> None:
    """Sets up every new connection, and makes SQLAlchemy's begin the given statement."""

    @event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # Without this the driver opens transactions by its own rules, and none at all for schema changes.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (*pragmas, f"busy_timeout = {int(BUSY_SECONDS * 1000)}", "trusted_schema = OFF"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


@contextmanager
def _machine_errors() -> Iterator[None]:
    """Wraps what the machine did to the file; errors of a statement pass through, they are ours or a constraint's."""
    try:
        yield
    except DBAPIError as error:
        if is_machine_error(error):
            raise _unavailable(error.orig or error) from error
        raise


def is_machine_error(error: DBAPIError | sqlite3.Error) -> bool:
    """Whether a driver's error, wrapped by SQLAlchemy or not, is about the file or the disk, not the statement."""
    if isinstance(error, DBAPIError):
        return isinstance(error.orig, sqlite3.Error) and is_machine_error(error.orig)
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _MACHINE_CODES


def _unavailable(error: BaseException) -> DatabaseUnavailableError:
    return DatabaseUnavailableError(f"the database cannot be used now: {error}")
