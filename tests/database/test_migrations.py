"""A database is migrated whole or not at all, and refused when it is not what it should be."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from skillyard.database import (
    Base,
    Database,
    DatabaseNewerError,
    DatabaseNotMigratedError,
    Kind,
    alembic_config,
    change_schema,
    migrate,
    open_database,
    schema_state,
)
from skillyard.governance import people
from skillyard.governance.administrators import Administrator
from skillyard.governance.identity import Person, PersonPrincipal, TokenId
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.remotes import store
from skillyard.marketplace_sync.remotes.remote import Filters, RemoteKind, RemoteMarket
from skillyard.marketplace_sync.remotes.tables import SignerRow
from skillyard.times import utcnow
from sqlalchemy import (
    CheckConstraint,
    Connection,
    inspect,
    text,
)
from sqlalchemy.exc import IntegrityError
from tests.database.processes import START, run_to_its_kill
from tests.marketplace_sync.hubs import Unindexed
from tests.postgres import Cluster

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


async def test_remotes_keep_their_numbers_and_what_hangs_on_them_when_their_table_is_copied(
    database: Database, admin: Person, database_url: str
) -> None:
    """SQLite copies a table to widen a column, and forgets what numbers it gave out."""
    by = Administrator.of(PersonPrincipal(TokenId(1), admin))

    async def add(name: str, kind: str) -> RemoteMarket:
        async with database.transaction() as session:
            return await store.add(
                session, by=by, at=utcnow(), name=name, url="http://127.0.0.1:9", token=None, kind=RemoteKind(kind),
                filters=Filters(), strategy=Strategy.REMOTE_WINS, live=False, public_key=None,
            )  # fmt: skip

    async def remove(name: str) -> None:
        async with database.transaction() as session:
            await store.remove(session, admin.workspace, name, by=by, at=utcnow(), projection=Unindexed())

    kept, gone = await add("kept", "claude"), await add("gone", "claude")
    async with database.transaction() as session:
        signer = SignerRow(
            workspace_id=admin.workspace, remote_id=kept.id, publisher="acme", key="0" * 64, accepted_at=utcnow()
        )
        session.add(signer)
    await remove("gone")
    for _ in range(2):
        await change_schema(database_url, lambda connection: command.downgrade(alembic_config(connection), "0019"))
        await migrate(database_url)
    async with database.reading() as session:
        assert await store.list_remotes(session, admin.workspace) == (kept,)
        assert (await session.execute(text("SELECT remote_id, publisher FROM remote_signers"))).all() == [
            (kept.id, "acme")
        ]
    assert (await add("new", "acme_shelf")).id > gone.id
    with pytest.raises(IntegrityError):
        await change_schema(database_url, lambda connection: command.downgrade(alembic_config(connection), "0019"))
    async with database.reading() as session:
        assert [one.kind for one in await store.list_remotes(session, admin.workspace)] == ["claude", "acme_shelf"]


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
