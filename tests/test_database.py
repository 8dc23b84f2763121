"""The database, on both engines: migrated whole or not at all, durable, refused when it is not what it should be."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from skillyard.database import (
    Base,
    Database,
    DatabaseNewerError,
    DatabaseNotMigratedError,
    DatabaseUnavailableError,
    Kind,
    StoredEnum,
    after_commit,
    alembic_config,
    change_schema,
    in_utc,
    migrate,
    open_database,
    schema_state,
    utcnow,
)
from skillyard.governance import epoch, people
from skillyard.governance.identity import Person, Role
from skillyard.governance.tables import PersonRow, WorkspaceRow
from skillyard.ids import WorkspaceId
from sqlalchemy import (
    CheckConstraint,
    Connection,
    Dialect,
    PrimaryKeyConstraint,
    UniqueConstraint,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.schema import CreateIndex, CreateTable
from tests.postgres import Cluster

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)

Schema = list[tuple[str, list[str]]]

_POSTGRES_SCHEMA = """
SELECT c.relname, format('%s %s %s %s', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       pg_get_expr(d.adbin, d.adrelid))
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
UNION ALL
SELECT conrelid::regclass::text, format('%s %s', conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'
"""


def read_schema(connection: Connection) -> Schema:
    """Every object with its parts sorted: a table that a migration copies or extends has them in another order."""
    found: dict[str, list[str]] = {}
    if connection.dialect.name == "sqlite":
        # Its bookkeeping of numbers that were given out stays for good once there was a table that wants it.
        own = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'sqlite_sequence'"
        for name, sql in connection.execute(text(own)):
            found[name] = [line.strip("\t ,").replace('"', "") for line in sql.splitlines()]
    else:
        for name, part in connection.exec_driver_sql(_POSTGRES_SCHEMA):
            found.setdefault(name, []).append(part)
    return sorted((name, sorted(parts)) for name, parts in found.items())


async def schema(url: str) -> Schema:
    return await change_schema(url, read_schema)


def run_to_its_kill(script: str, *arguments: str) -> None:
    """Runs a process that ends by killing itself the hard way."""
    command_line = [sys.executable, "-c", script + "\nos.kill(os.getpid(), signal.SIGKILL)", *arguments]
    killed = subprocess.run(command_line, input=b"\n", check=False, capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()


@pytest.fixture
def out_of_band(database_url: str) -> Callable[[str], Awaitable[None]]:
    """Runs a statement behind the back of Skillyard, as damage would."""

    async def run(statement: str) -> None:
        await change_schema(database_url, lambda connection: connection.exec_driver_sql(statement))

    return run


# --- migrations -------------------------------------------------------------------------------------------------------


async def test_the_schema_goes_up_down_and_up_again(database_url: str) -> None:
    await migrate(database_url)
    first = await schema(database_url)
    await change_schema(database_url, lambda connection: command.downgrade(alembic_config(connection), "base"))
    assert {name for name, _ in await schema(database_url)} == {"alembic_version"}
    await migrate(database_url)
    assert await schema(database_url) == first


async def test_every_single_step_goes_down_and_up(database_url: str) -> None:
    await migrate(database_url)
    head = await schema(database_url)
    steps = 0
    while (state := await schema_state(database_url)) is not None and state.found is not None:

        def down_up_and_down(connection: Connection) -> tuple[Schema, Schema]:
            before = read_schema(connection)
            command.downgrade(alembic_config(connection), "-1")
            command.upgrade(alembic_config(connection), "+1")
            again = read_schema(connection)
            command.downgrade(alembic_config(connection), "-1")
            return before, again

        before, again = await change_schema(database_url, down_up_and_down)
        assert again == before, state.found
        steps += 1
    assert steps > 5
    await migrate(database_url)
    assert await schema(database_url) == head


async def test_what_is_stored_goes_down_and_up_with_the_schema(
    database: Database, admin: Person, database_url: str
) -> None:
    """Constraints that are added, dropped or narrowed on the way must fit rows that are there."""
    await change_schema(database_url, lambda connection: command.downgrade(alembic_config(connection), "0005"))
    await migrate(database_url)
    async with database.reading() as session:
        found = await people.get_person(session, admin.workspace, admin.id)
    assert found == admin


async def test_tables_and_migrations_say_the_same(migrated_url: str) -> None:
    drift = await change_schema(
        migrated_url,
        lambda connection: compare_metadata(
            MigrationContext.configure(
                connection,
                opts={"compare_type": True, "compare_server_default": True},
            ),
            Base.metadata,
        ),
    )
    assert drift == []


@pytest.mark.database(Kind.SQLITE)
async def test_checks_and_deletes_on_sqlite_are_those_of_the_tables(migrated_url: str) -> None:
    """Autogenerate does not look at checks and at what a foreign key does on delete."""

    def compare(connection: Connection) -> None:
        found = inspect(connection)
        for table in Base.metadata.sorted_tables:
            checks = {str(check["name"]): check["sqltext"] for check in found.get_check_constraints(table.name)}
            wanted = {
                str(check.name): str(check.sqltext) for check in table.constraints if isinstance(check, CheckConstraint)
            }
            assert checks == wanted, table.name
            deletes = {key["name"]: key["options"].get("ondelete") for key in found.get_foreign_keys(table.name)}
            assert deletes == {key.name: key.ondelete for key in table.foreign_key_constraints}, table.name

    await change_schema(migrated_url, compare)


@pytest.mark.database(Kind.POSTGRESQL)
async def test_a_migrated_postgresql_is_what_the_tables_alone_would_make(migrated_url: str, postgres: Cluster) -> None:
    """PostgreSQL keeps checks in words of its own, so what the tables make is made and read back as well."""
    other = await postgres.create(template=None)
    try:
        await change_schema(postgres.url(other), Base.metadata.create_all)
        wanted = await schema(postgres.url(other))
    finally:
        await postgres.drop(other)
    assert [part for part in await schema(migrated_url) if part[0] != "alembic_version"] == wanted


def test_every_foreign_key_says_what_a_delete_does_and_every_table_has_a_workspace() -> None:
    # What is published belongs to the instance; entries and listings have the workspace of their catalogue (ADR 0035).
    public = {
        "hub_archives",
        "hub_files",
        "hub_pushes",
        "hub_strikes",
        "catalogue_entries",
        "listings",
        "listing_facets",
        "listing_postings",
        "listing_terms",
        "listing_unsettled",
    }
    for table in Base.metadata.sorted_tables:
        assert all(key.ondelete for key in table.foreign_key_constraints), table.name
        if table.name not in {"workspaces", "rules_epoch", "leases", "audit_keys", "advisory_snapshots", *public}:
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
        for _ in range(3)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in running:
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr.decode()

    def found(connection: Connection) -> int:
        return int(connection.exec_driver_sql("SELECT epoch FROM rules_epoch").scalar_one())

    assert asyncio.run(change_schema(database_url, found)) == 4


KILLED = """
import asyncio, os, signal, sys
from alembic import command
from skillyard.database import alembic_config, change_schema

def half_way(connection):
    command.upgrade(alembic_config(connection), "0003")
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(change_schema(sys.argv[1], half_way))
"""


async def test_a_migration_killed_half_way_leaves_nothing_half_made(database_url: str) -> None:
    await asyncio.to_thread(run_to_its_kill, KILLED, database_url)
    assert await schema(database_url) == []
    await migrate(database_url)
    await (await open_database(database_url)).close()


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(
    migrated_url: str, out_of_band: Callable[[str], Awaitable[None]]
) -> None:
    await out_of_band("UPDATE alembic_version SET version_num = '9999'")
    before = await schema(migrated_url)
    for action in (migrate, open_database, schema_state):
        with pytest.raises(DatabaseNewerError, match=r"9999.*upgrade Skillyard"):
            await action(migrated_url)
    assert await schema(migrated_url) == before


async def test_a_database_that_was_never_migrated_does_not_open(database_url: str) -> None:
    await change_schema(database_url, lambda _connection: None)
    with pytest.raises(DatabaseNotMigratedError, match="no revision"):
        await open_database(database_url)


async def test_a_look_at_the_schema_says_which_engine_there_is(database_url: str, database_kind: Kind) -> None:
    await migrate(database_url)
    state = await schema_state(database_url)
    assert state is not None
    assert state.current
    assert state.engine.startswith("SQLite 3." if database_kind is Kind.SQLITE else "PostgreSQL 1")


# --- transactions -----------------------------------------------------------------------------------------------------


async def test_a_block_that_raises_changes_nothing(database: Database) -> None:
    async def change_and_fail() -> None:
        async with database.transaction() as session:
            await epoch.bump(session)
            raise LookupError

    with pytest.raises(LookupError):
        await change_and_fail()
    async with database.reading() as session:
        assert await epoch.current(session) == 1


async def test_what_is_to_happen_behind_a_commit_waits_for_the_whole_transaction(database: Database) -> None:
    """Whoever is woken at the end of a savepoint looks too early, sees nothing, and sleeps on."""
    told: list[str] = []
    async with database.transaction() as session:
        async with session.begin_nested():
            after_commit(session, lambda: told.append("within"))
        after_commit(session, lambda: told.append("without"))
        assert told == []
    assert told == ["within", "without"]

    async def fail() -> None:
        async with database.transaction() as session:
            after_commit(session, lambda: told.append("never"))
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert told == ["within", "without"]


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
    with pytest.raises(DatabaseUnavailableError, match=r"read-?only"):
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


async def test_a_naive_time_is_refused(database: Database) -> None:
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(ValueError, match="naive"):
        in_utc(naive)
    with pytest.raises(StatementError, match="naive"):
        async with database.transaction() as session:
            session.add(WorkspaceRow(name="a", created_at=naive))


async def test_a_value_outside_a_closed_set_is_refused_in_and_out(
    database: Database, admin: Person, out_of_band: Callable[[str], Awaitable[None]]
) -> None:
    with pytest.raises(StatementError, match="not a member"):
        async with database.transaction() as session:
            await people.add_person(session, admin.workspace, "x", "admin", by=admin.actor, at=utcnow())  # type: ignore[arg-type]
    with pytest.raises(IntegrityError, match="ck_persons_role"):
        await out_of_band("UPDATE persons SET role = 'owner'")
    await _without_its_check(database, "persons", "ck_persons_role", "UPDATE persons SET role = 'owner'")
    with pytest.raises(ValueError, match="owner"):
        async with database.reading() as session:
            await people.persons(session, WorkspaceId(admin.workspace))


async def _without_its_check(database: Database, table: str, check: str, statement: str) -> None:
    def run(connection: Connection) -> None:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        else:
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {check}")
        connection.exec_driver_sql(statement)

    await change_schema(database.url, run)


def test_equal_sets_give_equal_column_types_and_others_do_not() -> None:
    """SQLAlchemy caches statements by column type: two enums mistaken for one would be read as each other."""

    class Other(StrEnum):
        ADMIN = "admin"

    assert StoredEnum(Role)._static_cache_key == StoredEnum(Role)._static_cache_key
    assert StoredEnum(Role)._static_cache_key != StoredEnum(Other)._static_cache_key
