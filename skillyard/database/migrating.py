"""Schema changes: all of them or nothing, one process at a time, and never on a database of a newer Skillyard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection

from skillyard.database import postgres, sqlite
from skillyard.database.errors import (
    DatabaseError,
    DatabaseNewerError,
    DatabaseNotMigratedError,
    machine_errors,
)
from skillyard.database.url import Kind, Location, locate

if TYPE_CHECKING:
    from alembic.config import Config

# Alembic is imported where it is used: this package is imported by every command, and Alembic takes a quarter of the
# time that it takes a command to start.

_SCRIPTS = Path(__file__).parent.parent / "migrations"
_T = TypeVar("_T")


async def migrate(url: str) -> None:
    """Makes the file if need be and brings the schema to this version's head; all of it or nothing.

    A PostgreSQL database has to exist already, empty or ours. Safe when several processes start at once: one migrates,
    the others wait and find it done. Raises ``DatabaseNewerError`` for a database of a newer Skillyard and
    ``DatabaseUnavailableError`` for one that cannot be used.
    """
    await change_schema(url, _to_head)


async def change_schema(url: str, work: Callable[[Connection], _T]) -> _T:
    """Runs ``work`` in one transaction that no other process's schema change runs beside, and commits it.

    For migrations, and for tests of them. ``work`` gets a synchronous connection and must not end its transaction.
    """
    location = locate(url)
    if location.kind is Kind.SQLITE:
        return await asyncio.to_thread(_change_file, location.path, work)
    engine = postgres.migrating_engine(location)
    try:
        with machine_errors():
            async with engine.begin() as connection:
                await connection.run_sync(_require_utf8)
                return await connection.run_sync(work)
    finally:
        await engine.dispose()


def _change_file(path: Path, work: Callable[[Connection], _T]) -> _T:
    with sqlite.alone(path), sqlite.migration_connection(path) as connection:
        return work(connection)


def _to_head(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - see above

    _refuse_newer(connection)
    command.upgrade(alembic_config(connection), "head")


@dataclass(frozen=True, slots=True)
class SchemaState:
    """A database's schema. ``found`` is ``None`` for one without; revisions are Alembic's.

    ``engine`` is the engine's name and version, such as ``PostgreSQL 15.6``.
    """

    found: str | None
    wanted: str
    engine: str

    @property
    def current(self) -> bool:
        return self.found == self.wanted


async def schema_state(url: str) -> SchemaState | None:
    """Of when a database's schema is; ``None`` where there is no file. Changes nothing.

    Raises ``DatabaseNewerError`` and ``DatabaseUnavailableError``.
    """
    location = locate(url)
    if location.kind is Kind.SQLITE:
        return await asyncio.to_thread(_state_of_file, location.path)
    engine = postgres.looking_engine(location)
    try:
        with machine_errors():
            async with engine.connect() as connection:
                await connection.run_sync(_require_utf8)
                return await connection.run_sync(_state)
    finally:
        await engine.dispose()


def _state_of_file(path: Path) -> SchemaState | None:
    if not path.is_file():
        return None
    with sqlite.looking(path) as connection:
        return _state(connection)


def _state(connection: Connection) -> SchemaState:
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - see above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see above

    _refuse_newer(connection)
    found = MigrationContext.configure(connection).get_current_heads()
    wanted = ScriptDirectory.from_config(alembic_config()).get_heads()
    return SchemaState(", ".join(sorted(found)) or None, ", ".join(sorted(wanted)), _engine(connection))


async def require_head(location: Location) -> None:
    """Raises ``DatabaseNotMigratedError`` or ``DatabaseNewerError`` for a database that is not at this version's."""
    state = await schema_state(location.url)
    if state is None:
        raise DatabaseNotMigratedError(f"the database {location.shown} does not exist; migrate it first")
    if not state.current:
        found = state.found or "no revision"
        raise DatabaseNotMigratedError(f"the database {location.shown} is at {found}, needed is {state.wanted}")


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration for the scripts inside this package, bound to an open connection if one is given."""
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _refuse_newer(connection: Connection) -> None:
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - see above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see above

    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
    if unknown:
        raise DatabaseNewerError(
            f"the database was written by a newer Skillyard (schema revision {', '.join(sorted(unknown))}); "
            "upgrade Skillyard, or restore a backup from before the upgrade"
        )


def _engine(connection: Connection) -> str:
    version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
    name = "SQLite" if connection.dialect.name == "sqlite" else "PostgreSQL"
    return f"{name} {version}"


def _require_utf8(connection: Connection) -> None:
    """Names, reasons and reports are any text at all: another encoding would refuse some of it, call by call."""
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise DatabaseError(f"the database keeps text as {encoding}; make it with ENCODING 'UTF8'")
