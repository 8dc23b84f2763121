"""Jobs run when they are due, are recorded with how they ended, and end with their process."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from skillyard.database import Database, Session
from skillyard.governance.administrators import Administrator
from skillyard.marketplace_sync.errors import RemoteUnavailableError
from skillyard.marketplace_sync.jobs import store
from skillyard.marketplace_sync.jobs.values import Job, JobKey, RunState, RunTrigger
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import RemoteId, RemoteMarket, RemoteState
from skillyard.times import utcnow
from tests.marketplace_sync.jobs.houses import (
    House,
    Work,
    claimed_by,
    runs,
    take_lease,
    until,
    working,
)


async def test_a_remote_is_followed_by_itself_again_and_again_and_each_run_is_recorded(
    database: Database, remote: RemoteMarket, tmp_path: Path
) -> None:
    async with working(database, tmp_path, sync_period_not_live=0.5) as house:
        await until(lambda: house.follow.begun >= 3)
        await until(lambda: house.send.begun >= 1)
        await asyncio.sleep(0.3)
        recorded = [run for run in await runs(database, remote) if run.ended_at]
    assert {run.state for run in recorded} == {RunState.SUCCEEDED}
    assert recorded[0].counts == {"applied": 3, "snapshot": 1}
    assert {run.trigger for run in recorded} == {RunTrigger.SCHEDULE}
    assert house.send.begun == 1, "uploads are sent every half hour when nothing waits"


async def test_many_triggers_during_a_run_cause_exactly_one_more(
    database: Database, remote: RemoteMarket, tmp_path: Path
) -> None:
    held = asyncio.Event()
    async with working(database, tmp_path, follow=Work(until=held)) as house:
        await until(lambda: house.follow.at_once == 1)
        for _ in range(50):
            house.jobs.news(remote.id, None)
            await asyncio.sleep(0.002)
        assert house.follow.begun == 1
        held.set()
        await until(lambda: len(house.follow.ended) == 2)
        await asyncio.sleep(0.7)
        assert house.follow.begun == 2
    triggers = [run.trigger for run in await runs(database, remote)]
    assert triggers == [RunTrigger.LIVE, RunTrigger.SCHEDULE]


async def test_a_head_that_the_mirror_has_already_costs_no_run(
    database: Database, remote: RemoteMarket, tmp_path: Path
) -> None:
    async with working(database, tmp_path) as house:
        await until(lambda: len(house.follow.ended) == 1)
        house.jobs.news(remote.id, 0)
        await until(lambda: not house.jobs._waiting)
        assert house.follow.begun == 1


@pytest.mark.parametrize("later", [None, 5])
async def test_news_that_come_while_the_mirror_is_looked_at_are_not_answered_by_that_look(
    database: Database, remote: RemoteMarket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: int | None
) -> None:
    """It would be minutes until the next poll finds what they told of."""
    looks, looked = asyncio.Event(), asyncio.Event()
    mirrored = store.mirrored

    async def slowly(session: Session, remote_id: RemoteId) -> int | None:
        found = await mirrored(session, remote_id)
        looks.set()
        await looked.wait()
        return found

    async with working(database, tmp_path) as house:
        await until(lambda: len(house.follow.ended) == 1 and house.rests())
        monkeypatch.setattr(store, "mirrored", slowly)
        house.jobs.news(remote.id, 0)
        await until(looks.is_set)
        house.jobs.news(remote.id, later)
        looked.set()
        await until(lambda: len(house.follow.ended) == 2)
        await until(house.rests)
        assert house.follow.begun == 2


async def test_news_that_come_while_a_scheduled_turn_waits_run_though_its_time_has_not_come(
    database: Database, remote: RemoteMarket, tmp_path: Path
) -> None:
    async with working(database, tmp_path) as house:
        await until(lambda: len(house.follow.ended) == 1 and house.rests())
        await _told_in_a_scheduled_turn(house, database, remote)
        await until(lambda: len(house.follow.ended) == 2)
        await until(house.rests)
        await house.jobs._due(JobKey(Job.CATALOGUE, remote.id))
        await until(house.rests)
        assert house.follow.begun == 2, "the schedule alone waits for its time"


async def test_news_that_come_while_a_scheduled_turn_waits_run_after_another_processs_run(
    database: Database, remote: RemoteMarket, tmp_path: Path
) -> None:
    """That run may have read its last page already."""
    async with working(database, tmp_path) as house:
        await until(lambda: len(house.follow.ended) == 1 and house.rests())
        other = await claimed_by(database, remote, await take_lease(database))
        async with database.transaction() as session:
            state = await store.ensure(session, other.key, remote.workspace)
            await store.put_off(session, state.id, utcnow() - timedelta(seconds=1))
        await _told_in_a_scheduled_turn(house, database, remote)
        await asyncio.sleep(0.5)
        assert house.follow.begun == 1
        async with database.transaction() as session:
            assert await store.finish(
                session, other, state=RunState.SUCCEEDED, counts={}, error=None, at=utcnow(), next_at=None, keep=9
            )
        await until(lambda: len(house.follow.ended) == 2)


async def _told_in_a_scheduled_turn(house: House, database: Database, remote: RemoteMarket) -> None:
    """The schedule fires and waits for the writer, and then news come."""
    key = JobKey(Job.CATALOGUE, remote.id)
    async with database.transaction():
        await house.jobs._due(key)
        await asyncio.sleep(0.1)
        house.jobs.news(remote.id, None)
        assert key in house.jobs._waiting


async def test_a_stopping_process_ends_what_it_runs_within_seconds_and_says_so(
    database: Database, remote: RemoteMarket, tmp_path: Path
) -> None:
    before = asyncio.all_tasks()
    async with working(database, tmp_path, follow=Work(seconds=120)) as house:
        await until(lambda: house.follow.at_once == 1)
        async with asyncio.timeout(30):
            await house.jobs.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - before == set()
    (run,) = await runs(database, remote)
    assert (run.state, run.error) == (RunState.FAILED, "cancelled: the server stopped")
    async with database.reading() as session:
        state = (await store.states(session))[JobKey(Job.CATALOGUE, remote.id)]
    assert state.claimed_by is None


async def test_a_process_that_cannot_look_any_more_says_that_it_does_not_keep_up(
    database: Database, remote: RemoteMarket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its loop runs on and on, and follows nothing: a load balancer has to hear of it."""
    async with working(database, tmp_path) as house:
        await until(lambda: remote.id in house.jobs._remotes)
        assert house.jobs.running

        async def gone(_session: object) -> bool:
            raise RuntimeError("a table is not there")

        with monkeypatch.context() as patch:
            patch.setattr("skillyard.marketplace_sync.jobs.jobs._LOST_SIGHT_SECONDS", 0.5)
            patch.setattr(store, "orphaned", gone)
            await until(lambda: not house.jobs.running)
        await until(lambda: house.jobs.running)


async def test_a_failure_is_recorded_and_tried_again_sooner(
    database: Database, remote: RemoteMarket, tmp_path: Path
) -> None:
    work = Work(error=RemoteUnavailableError("it cannot be connected to"))
    async with working(database, tmp_path, follow=work, sync_period=900.0, sync_period_not_live=0.3) as house:
        await until(lambda: house.follow.begun >= 2)
        work.error = ValueError("something nobody thought of")
        await until(lambda: house.follow.begun >= 4)
        work.error = None
        await until(lambda: bool(house.follow.ended))
    errors = {run.error for run in await runs(database, remote) if run.state is RunState.FAILED}
    assert "it cannot be connected to" in errors
    assert "it broke: ValueError; the server's log says more" in errors


@pytest.mark.parametrize("news", [True, False], ids=["news", "its turns"])
async def test_a_remote_that_asks_to_be_left_alone_is(
    database: Database, remote: RemoteMarket, tmp_path: Path, news: bool
) -> None:
    """By news, and by its turns, of which several come meanwhile."""
    work = Work(error=RemoteUnavailableError("429", retry_after=120))
    async with working(database, tmp_path, follow=work, sync_period_not_live=0.2) as house:
        await until(lambda: house.follow.begun == 1)
        await until(lambda: not house.jobs._running)
        if news:
            house.jobs.news(remote.id, None)
        await asyncio.sleep(3)
        assert house.follow.begun == 1
        (row,) = [one for one in await house.orders.table(remote.workspace) if one.job is Job.CATALOGUE]
    assert row.next_at is not None
    assert row.next_at > utcnow() + timedelta(seconds=100)


async def test_a_run_that_takes_too_long_is_ended(database: Database, remote: RemoteMarket, tmp_path: Path) -> None:
    async with working(database, tmp_path, follow=Work(seconds=60), sync_run_timeout=0.3) as house:
        await until(lambda: _ended(database, remote))
        # The remote itself says so as well: whoever only looks at it has to see that it is not followed.
        await until(lambda: bool(house.shortened))
    assert house.shortened[0] == (remote.id, (await runs(database, remote))[-1].error)
    assert "the longest that a run may take" in ((await runs(database, remote))[-1].error or "")


async def _ended(database: Database, remote: RemoteMarket) -> bool:
    found = await runs(database, remote)
    return bool(found) and found[-1].state is RunState.FAILED


async def test_a_turn_that_another_clock_put_far_ahead_does_not_count(
    database: Database, remote: RemoteMarket, tmp_path: Path
) -> None:
    """A clock that was an hour ahead when a run ended must not keep the remote unasked for an hour."""
    async with database.transaction() as session:
        state = await store.ensure(session, JobKey(Job.CATALOGUE, remote.id), remote.workspace)
        await store.put_off(session, state.id, utcnow() + timedelta(hours=1))
    async with working(database, tmp_path, sync_period_not_live=60.0) as house:
        await until(lambda: len(house.follow.ended) == 1)


async def test_what_is_distrusted_or_disabled_or_gone_is_left_alone(
    database: Database, remote: RemoteMarket, tmp_path: Path, by: Administrator
) -> None:
    async with working(database, tmp_path, sync_period_not_live=0.2) as house:
        await until(lambda: len(house.follow.ended) >= 1)
        async with database.transaction() as session:
            await remote_store.set_state(session, remote.workspace, "hub", RemoteState.DISABLED, by=by, at=utcnow())
        await until(lambda: not house.jobs._schedule._put and house.rests())
        before = house.follow.begun
        house.jobs.news(remote.id, None)
        await asyncio.sleep(0.5)
        assert house.follow.begun == before


async def test_only_so_many_runs_are_kept_and_the_last_success_among_them(
    database: Database, remote: RemoteMarket, tmp_path: Path
) -> None:
    async with working(database, tmp_path, sync_period_not_live=0.05, sync_runs_kept=3) as house:
        await until(lambda: len(house.follow.ended) >= 2)
        house.follow.error = RemoteUnavailableError("gone")
        begun = house.follow.begun
        await until(lambda: house.follow.begun >= begun + 5)
    kept = await runs(database, remote)
    assert len(kept) <= 4
    assert kept[-1].state is RunState.SUCCEEDED
