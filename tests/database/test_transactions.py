"""Transactions are whole or not at all, lose nothing beside each other, and are durable."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from skillyard.database import (
    Database,
    DatabaseUnavailableError,
    after_commit,
    migrate,
    open_database,
)
from skillyard.governance import epoch
from skillyard.governance.identity import Role
from skillyard.governance.tables import PersonRow
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from tests.database.processes import START, run_to_its_kill

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


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


async def test_a_statement_that_is_cancelled_while_it_is_carried_out_keeps_nobody_out(database: Database) -> None:
    """Its cursor lives on in the cancelled task's traceback; a connection that was closed meanwhile kept its lock."""
    # Its first and only row takes long; it is not done before a second one was asked for.
    every = "WITH RECURSIVE one(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM one WHERE n < 500000)"
    busy = text(f"{every} SELECT count(*) FROM one")

    async def change() -> None:
        async with database.transaction() as session:
            await epoch.bump(session)
            await session.execute(busy)

    tasks = []
    for hundredths in range(1, 9):
        tasks.append(asyncio.create_task(change()))
        await asyncio.sleep(hundredths / 100)
        tasks[-1].cancel()
        await asyncio.wait(tasks)
        async with database.transaction() as session:
            assert await epoch.current(session) == 1
    assert all(task.cancelled() for task in tasks), "the statement is too short"


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
