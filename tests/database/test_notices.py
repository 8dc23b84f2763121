"""Notices: what one process commits, another hears of soon, and never before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from skillyard.database import Database, Kind, Notices, listen, open_database, tell
from skillyard.governance import epoch
from tests.postgres import Cluster

LONG = 30.0
"""Seconds that no notice takes."""
SHORT = 0.6
"""Seconds in which every notice would come."""


@pytest.fixture
async def notices(database: Database) -> AsyncIterator[Notices]:
    """A listener that listens already and has heard everything there was."""
    listening = listen(database.location)
    await listening.heard(LONG)
    yield listening
    await listening.close()


@pytest.fixture
async def elsewhere(database: Database) -> AsyncIterator[Database]:
    """The same database as another process has it open."""
    other = await open_database(database.url)
    yield other
    await other.close()


async def test_a_change_of_rules_is_heard_of_once_it_is_committed(notices: Notices, elsewhere: Database) -> None:
    hearing = asyncio.create_task(notices.heard(LONG))
    async with elsewhere.transaction() as session:
        await epoch.bump(session)
        await asyncio.wait([hearing], timeout=SHORT)
        assert not hearing.done(), "heard before the commit"
        began = time.monotonic()
    await hearing
    assert time.monotonic() - began < LONG / 2


async def test_what_was_rolled_back_is_not_heard_of(notices: Notices, elsewhere: Database) -> None:
    async with elsewhere.transaction() as session:
        await tell(session)
        await epoch.bump(session)
        await session.rollback()
    began = time.monotonic()
    await notices.heard(SHORT)
    assert time.monotonic() - began >= SHORT * 0.9


async def test_what_was_committed_between_two_looks_is_heard_of_at_the_next(
    notices: Notices, elsewhere: Database
) -> None:
    async with elsewhere.transaction() as session:
        await epoch.bump(session)
    began = time.monotonic()
    await notices.heard(LONG)
    assert time.monotonic() - began < LONG / 2


@pytest.mark.database(Kind.POSTGRESQL)
async def test_a_listener_whose_connection_broke_looks_again_and_hears_on(
    notices: Notices, elsewhere: Database, postgres: Cluster
) -> None:
    """Notices that were given while nobody listened are lost, so to be back is a notice."""
    name = elsewhere.url.rpartition("/")[2]
    await postgres.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE application_name = 'skillyard listening' AND datname = '{name}'"
    )
    began = time.monotonic()
    await notices.heard(LONG)
    assert time.monotonic() - began < LONG / 2
    hearing = asyncio.create_task(notices.heard(LONG))
    async with elsewhere.transaction() as session:
        await epoch.bump(session)
    began = time.monotonic()
    await hearing
    assert time.monotonic() - began < LONG / 2


async def test_a_listener_leaves_nothing_behind(database: Database) -> None:
    listening = listen(database.location)
    await listening.heard(SHORT)
    await listening.close()
    await listening.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in others if task.get_name() == "skillyard-notices"]
