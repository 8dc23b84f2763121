"""The database file: made once, migrated whole or not at all, durable, refused when it is not what it should be."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from skillyard.database import (
    Base,
    Database,
    DatabaseError,
    DatabaseNewerError,
    DatabaseNotMigratedError,
    DatabaseUnavailableError,
    StoredEnum,
    alembic_config,
    database_path,
    in_utc,
    migrate,
    migration_connection,
    open_database,
    stored_time,
    utcnow,
)
from skillyard.governance import epoch, people
from skillyard.governance.identity import Person, Role
from skillyard.governance.tables import PersonRow, WorkspaceRow
from skillyard.ids import WorkspaceId
from sqlalchemy import CheckConstraint, Dialect, PrimaryKeyConstraint, UniqueConstraint, func, inspect, select
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.schema import CreateIndex, CreateTable

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def schema(path: Path) -> list[tuple[str, str]]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    connection.close()
    return rows


def open_files() -> set[str]:
    return {str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}


def run_to_its_kill(script: str, *arguments: str) -> None:
    """Runs a process that ends by killing itself the hard way."""
    command_line = [sys.executable, "-c", script + "\nos.kill(os.getpid(), signal.SIGKILL)", *arguments]
    killed = subprocess.run(command_line, input=b"\n", check=False, capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()


# --- migrations -------------------------------------------------------------------------------------------------------


async def test_the_schema_goes_up_down_and_up_again(database_url: str) -> None:
    path = database_path(database_url)
    await migrate(database_url)
    first = schema(path)
    with migration_connection(path) as connection:
        command.downgrade(alembic_config(connection), "base")
    assert {name for name, _ in schema(path)} == {"alembic_version"}
    await migrate(database_url)
    assert schema(path) == first


async def test_every_single_step_goes_down_and_up(database_url: str) -> None:
    path = database_path(database_url)
    await migrate(database_url)
    head = schema(path)
    with migration_connection(path) as connection:
        revisions = [*MigrationContext.configure(connection).get_current_heads()]
        assert revisions
        command.downgrade(alembic_config(connection), "-1")
        command.upgrade(alembic_config(connection), "head")
    assert schema(path) == head


async def test_tables_and_migrations_say_the_same(database_url: str) -> None:
    await migrate(database_url)
    with migration_connection(database_path(database_url)) as connection:
        drift = compare_metadata(
            MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True}),
            Base.metadata,
        )
        assert drift == []
        found = inspect(connection)
        for table in Base.metadata.sorted_tables:
            # Autogenerate does not look at checks and at what a foreign key does on delete.
            checks = {str(check["name"]): check["sqltext"] for check in found.get_check_constraints(table.name)}
            wanted = {
                str(check.name): str(check.sqltext) for check in table.constraints if isinstance(check, CheckConstraint)
            }
            assert checks == wanted, table.name
            deletes = {key["name"]: key["options"].get("ondelete") for key in found.get_foreign_keys(table.name)}
            assert deletes == {key.name: key.ondelete for key in table.foreign_key_constraints}, table.name


def test_every_foreign_key_says_what_a_delete_does_and_every_table_has_a_workspace() -> None:
    for table in Base.metadata.sorted_tables:
        assert all(key.ondelete for key in table.foreign_key_constraints), table.name
        if table.name not in {"workspaces", "rules_epoch", "leases"}:
            assert "workspace_id" in table.columns, table.name


def test_every_foreign_key_column_is_led_by_an_index() -> None:
    for table in Base.metadata.sorted_tables:
        leading = {next(iter(index.columns)).name for index in table.indexes}
        leading |= {
            next(iter(constraint.columns)).name
            for constraint in table.constraints
            if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint)
        }
        unindexed = {key.parent.name for key in table.foreign_keys} - leading
        assert unindexed == set(), table.name


@pytest.mark.parametrize("dialect", [SQLiteDialect(), PGDialect()], ids=["sqlite", "postgresql"])  # type: ignore[no-untyped-call]
def test_every_table_can_be_written_for_both_engines(dialect: Dialect) -> None:
    for table in Base.metadata.sorted_tables:
        assert str(CreateTable(table).compile(dialect=dialect))
        assert all(str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes)


START = """
import asyncio, os, signal, sys
from skillyard.database import migrate, open_database
from skillyard.governance import epoch

async def main(url):
    await migrate(url)
    database = await open_database(url)
    async with database.transaction() as session:
        await epoch.bump(session)
    await database.close()

sys.stdin.readline()  # both are told to go at once, their imports done
asyncio.run(main(sys.argv[1]))
"""


def test_two_servers_that_start_at_once_on_a_fresh_machine_both_come_up(database_url: str) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", START, database_url], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in running:
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr.decode()
    connection = sqlite3.connect(database_path(database_url))
    assert connection.execute("SELECT epoch FROM rules_epoch").fetchall() == [(3,)]
    connection.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from alembic import command
from skillyard.database import alembic_config, migration_connection

with migration_connection(Path(sys.argv[1])) as connection:
    command.upgrade(alembic_config(connection), "0001")
    os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_a_migration_killed_half_way_leaves_nothing_half_made(database_url: str) -> None:
    path = database_path(database_url)
    path.parent.mkdir(parents=True)
    await asyncio.to_thread(run_to_its_kill, KILLED, str(path))
    assert schema(path) == []
    await migrate(database_url)
    await (await open_database(database_url)).close()


async def test_a_schema_change_that_leaves_dangling_references_is_rolled_back(database: Database) -> None:
    with pytest.raises(DatabaseError, match="dangling"), migration_connection(database.path) as connection:
        connection.exec_driver_sql("INSERT INTO persons VALUES (1, 999, 'nobody', 'member', '2026-01-01 00:00:00')")
    async with database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(PersonRow)) == 0


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(database: Database, database_url: str) -> None:
    connection = sqlite3.connect(database.path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    for action in (migrate, open_database):
        with pytest.raises(DatabaseNewerError, match=r"9999.*upgrade Skillyard"):
            await action(database_url)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    connection.close()


async def test_a_database_that_was_never_migrated_does_not_open(database_url: str) -> None:
    with pytest.raises(DatabaseNotMigratedError, match="does not exist"):
        await open_database(database_url)
    path = database_path(database_url)
    assert not path.exists()
    path.parent.mkdir(parents=True)
    sqlite3.connect(path).close()
    path.touch()
    with pytest.raises(DatabaseNotMigratedError, match="no revision"):
        await open_database(database_url)


async def test_a_file_that_is_no_database_is_refused_and_left_alone(database_url: str) -> None:
    path = database_path(database_url)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is a diary, not a database\n" * 100)
    for action in (migrate, open_database):
        with pytest.raises(DatabaseUnavailableError, match="not a database"):
            await action(database_url)
    assert path.read_bytes().startswith(b"this is a diary")


async def test_a_folder_that_cannot_be_made_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatabaseUnavailableError, match="cannot be written"):
        await migrate(f"sqlite+aiosqlite:///{tmp_path / 'file' / 'skillyard.db'}")


@pytest.mark.parametrize("url", ["postgresql+asyncpg://u:secret@host/db", "sqlite+aiosqlite://"])
def test_other_databases_are_refused_without_showing_the_password(url: str) -> None:
    with pytest.raises(DatabaseError, match="only SQLite files") as refused:
        database_path(url)
    assert "secret" not in str(refused.value)


async def test_only_the_owner_can_read_the_file(database: Database) -> None:
    async with database.transaction() as session:
        await epoch.bump(session)
    folder = database.path.parent
    modes = {path.name: path.stat().st_mode & 0o077 for path in [folder, *folder.iterdir()]}
    assert set(modes.values()) == {0}, modes
    assert "skillyard.db-wal" in modes


# --- transactions -----------------------------------------------------------------------------------------------------


async def test_commits_are_on_disk_before_they_are_confirmed(database: Database) -> None:
    """FULL: the write-ahead log is synced at every commit, which is what "durable" means after a power cut."""
    async with database.transaction() as session:
        connection = await session.connection()
        found = [
            (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "trusted_schema")
        ]
    assert found == ["wal", 2, 1, 0]


async def test_a_block_that_raises_changes_nothing(database: Database) -> None:
    async def change_and_fail() -> None:
        async with database.transaction() as session:
            await epoch.bump(session)
            raise LookupError

    with pytest.raises(LookupError):
        await change_and_fail()
    async with database.reading() as session:
        assert await epoch.current(session) == 1


async def test_a_cancelled_transaction_changes_nothing_and_frees_the_lock(database: Database) -> None:
    inside = asyncio.Event()

    async def never_ends() -> None:
        async with database.transaction() as session:
            await epoch.bump(session)
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(never_ends())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.transaction() as session:
        assert await epoch.bump(session) == 2


async def test_concurrent_transactions_lose_no_update(database: Database, database_url: str) -> None:
    """Read, think, write: without the lock taken first, two would read the same value, or one would be refused."""
    other = await open_database(database_url)

    async def raise_by_hand(handle: Database) -> None:
        async with handle.transaction() as session:
            seen = await epoch.current(session)
            assert await epoch.bump(session) == seen + 1

    await asyncio.gather(*(raise_by_hand(handle) for handle in (database, other) for _ in range(20)))
    async with database.reading() as session:
        assert await epoch.current(session) == 41
    await other.close()


async def test_a_reader_sees_one_moment_and_waits_for_nobody(database: Database) -> None:
    async with database.reading() as reader:
        before = await epoch.current(reader)
        async with database.transaction() as writer:
            await epoch.bump(writer)
        assert await epoch.current(reader) == before
    async with database.reading() as reader:
        assert await epoch.current(reader) == before + 1


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(DatabaseUnavailableError, match="readonly"):
        async with database.reading() as session:
            await epoch.bump(session)


async def test_references_are_enforced(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.transaction() as session:
            session.add(PersonRow(workspace_id=999, name="nobody", role=Role.MEMBER, created_at=NOON))


async def test_what_was_committed_survives_a_kill(database_url: str) -> None:
    await asyncio.to_thread(run_to_its_kill, START, database_url)
    await migrate(database_url)
    database = await open_database(database_url)
    async with database.reading() as session:
        assert await epoch.current(session) == 2
    await database.close()


async def test_closing_leaves_no_open_file(database: Database) -> None:
    async with database.reading() as session:
        await epoch.current(session)
    await database.close()
    assert not [path for path in open_files() if path.startswith(str(database.path))]


# --- values -----------------------------------------------------------------------------------------------------------


async def test_times_come_back_in_utc_whatever_zone_they_went_in(database: Database) -> None:
    india = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    async with database.transaction() as session:
        session.add(WorkspaceRow(name="a", created_at=india))
    async with database.reading() as session:
        found = await session.scalar(select(WorkspaceRow.created_at).where(WorkspaceRow.created_at == india))
    assert found == NOON
    assert found is not None
    assert found.tzinfo is UTC


async def test_the_driver_and_the_column_type_write_the_same_time(database: Database) -> None:
    """The durable writer binds times itself; comparisons in SQL hold only if both write one text."""
    moments = [NOON, NOON.replace(microsecond=1), NOON.astimezone(timezone(timedelta(hours=-7)))]
    async with database.transaction() as session:
        for number, moment in enumerate(moments):
            session.add(WorkspaceRow(name=f"w{number}", created_at=moment))
    connection = sqlite3.connect(database.path)
    kept = [text for (text,) in connection.execute("SELECT created_at FROM workspaces ORDER BY id")]
    connection.close()
    assert kept == [stored_time(moment) for moment in moments]


async def test_a_naive_time_is_refused(database: Database) -> None:
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(ValueError, match="naive"):
        in_utc(naive)
    with pytest.raises(StatementError, match="naive"):
        async with database.transaction() as session:
            session.add(WorkspaceRow(name="a", created_at=naive))


async def test_a_value_outside_a_closed_set_is_refused_in_and_out(database: Database, admin: Person) -> None:
    with pytest.raises(StatementError, match="not a member"):
        async with database.transaction() as session:
            await people.add_person(session, admin.workspace, "x", "admin", by=admin.actor, at=utcnow())  # type: ignore[arg-type]
    connection = sqlite3.connect(database.path)
    with pytest.raises(sqlite3.IntegrityError, match="ck_persons_role"):
        connection.execute("UPDATE persons SET role = 'owner'")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute("UPDATE persons SET role = 'owner'")
    connection.commit()
    connection.close()
    with pytest.raises(ValueError, match="owner"):
        async with database.reading() as session:
            await people.persons(session, WorkspaceId(admin.workspace))


def test_equal_sets_give_equal_column_types_and_others_do_not() -> None:
    """SQLAlchemy caches statements by column type: two enums mistaken for one would be read as each other."""

    class Other(StrEnum):
        ADMIN = "admin"

    assert StoredEnum(Role)._static_cache_key == StoredEnum(Role)._static_cache_key
    assert StoredEnum(Role)._static_cache_key != StoredEnum(Other)._static_cache_key
