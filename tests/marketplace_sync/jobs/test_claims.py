"""A job is done by one process at a time, and goes on elsewhere when that process has died."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from skillyard.database import Database, Session
from skillyard.governance.administrators import Administrator
from skillyard.marketplace_sync.jobs import store
from skillyard.marketplace_sync.jobs.orders import JobEdit
from skillyard.marketplace_sync.jobs.values import Job, JobKey, RunState
from skillyard.marketplace_sync.remotes.remote import RemoteMarket
from skillyard.marketplace_sync.upwards import store as uploads_store
from skillyard.marketplace_sync.upwards.values import UploadDraft, UploadKind
from skillyard.runtime import leases
from skillyard.times import utcnow
from tests.marketplace_sync.jobs.houses import (
    TTL,
    Work,
    added,
    claimed_by,
    runs,
    take_lease,
    until,
    working,
)


async def test_two_processes_on_one_database_never_run_one_job_at_once(
    database: Database, remote: RemoteMarket, tmp_path: Path
) -> None:
    work = Work(seconds=0.15)
    async with (
        working(database, tmp_path, follow=work, sync_period_not_live=0.3) as first,
        working(database, tmp_path, follow=work, sync_period_not_live=0.3) as second,
    ):
        await until(lambda: bool(first.jobs._remotes and second.jobs._remotes))
        for _ in range(15):
            first.jobs.news(remote.id, None)
            second.jobs.news(remote.id, None)
            await asyncio.sleep(0.05)
        await until(lambda: work.begun >= 6)
    assert work.most_at_once == 1
    states = {run.state for run in await runs(database, remote)}
    assert states <= {RunState.SUCCEEDED, RunState.FAILED}


async def test_a_run_of_a_process_that_died_is_lost_and_its_job_goes_on_elsewhere(
    database: Database, remote: RemoteMarket, tmp_path: Path
) -> None:
    claimed = await claimed_by(database, remote, uuid.uuid4().hex)
    async with working(database, tmp_path) as house:
        await until(lambda: len(house.follow.ended) == 1 and not house.jobs._running)
    newest, lost = await runs(database, remote)
    assert (newest.state, newest.instance) == (RunState.SUCCEEDED, house.lease)
    assert (lost.id, lost.state) == (claimed.id, RunState.LOST)
    assert "process ended" in (lost.error or "")


async def test_what_a_process_was_sending_when_it_died_goes_at_once_and_not_when_its_claim_runs_out(
    database: Database, remote: RemoteMarket, tmp_path: Path
) -> None:
    dead, alive = uuid.uuid4().hex, await take_lease(database)
    draft = UploadDraft(UploadKind.RATING, "acme/a#x/1", "{}", "person 1")
    async with database.transaction() as session:
        for lease, key in ((dead, "acme/a#x/1"), (alive, "acme/b#x/1")):
            await uploads_store.enqueue(session, remote, [replace(draft, key=key)], at=utcnow())
            claimed = await uploads_store.claim(
                session, remote.id, by=lease, now=utcnow(), hold=timedelta(minutes=2), limit=1
            )
            assert [one.key for one in claimed] == [key]
    await claimed_by(database, remote, dead)
    async with working(database, tmp_path) as house:
        await until(lambda: len(house.follow.ended) == 1 and not house.jobs._running)
        async with database.transaction() as session:
            now = await uploads_store.claim(
                session, remote.id, by=house.lease, now=utcnow(), hold=timedelta(minutes=2), limit=9
            )
    assert [one.key for one in now] == ["acme/a#x/1"]


async def test_who_takes_over_a_dead_processs_job_takes_what_it_was_sending_with_it(
    database: Database, remote: RemoteMarket
) -> None:
    """Claimed before anybody swept: afterwards nothing says that there was another process."""
    dead, alive = uuid.uuid4().hex, await take_lease(database)
    draft = UploadDraft(UploadKind.RATING, "acme/a#x/1", "{}", "person 1")
    hold = timedelta(minutes=2)
    async with database.transaction() as session:
        await uploads_store.enqueue(session, remote, [draft], at=utcnow())
        assert await uploads_store.claim(session, remote.id, by=dead, now=utcnow(), hold=hold, limit=1)
    await claimed_by(database, remote, dead)
    await claimed_by(database, remote, alive)
    async with database.transaction() as session:
        now = await uploads_store.claim(session, remote.id, by=alive, now=utcnow(), hold=hold, limit=9)
    assert [one.key for one in now] == ["acme/a#x/1"]


async def test_a_claim_that_nobody_renews_runs_out_and_one_that_somebody_does_never(
    database: Database, remote: RemoteMarket, tmp_path: Path, by: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what was watched, whatever the clock of the other machine wrote: here it is an hour ahead."""
    renewed = await added(database, by, "other")
    await claimed_by(database, remote, await take_lease(database), ahead=timedelta(hours=1))
    kept = await claimed_by(database, renewed, await take_lease(database), ahead=-timedelta(hours=1))
    # Of the time between two looks five times as much counts, at most: who stood still has not seen that much.
    monkeypatch.setattr("skillyard.marketplace_sync.jobs.jobs._LOOK_SECONDS", 0.1)
    async with working(database, tmp_path, lease_ttl=TTL) as house:
        for tick in range(1000):
            async with database.transaction() as session:
                assert await store.renew(session, kept, until=utcnow() - timedelta(hours=1, microseconds=tick))
            if house.follow.ended:
                break
            await asyncio.sleep(0.05)
        assert house.follow.ended == ["hub"]
    assert [run.state for run in await runs(database, remote)] == [RunState.SUCCEEDED, RunState.LOST]
    assert [run.state for run in await runs(database, renewed)] == [RunState.RUNNING]


async def test_a_process_whose_claim_was_taken_stops_at_once_and_records_nothing_over_it(
    database: Database, remote: RemoteMarket, tmp_path: Path
) -> None:
    async with working(database, tmp_path, follow=Work(seconds=120), lease_ttl=6.0) as house:
        await until(lambda: house.follow.at_once == 1)
        async with database.transaction() as session:
            await leases.withdraw(session, house.lease)
            assert await store.sweep(session, {}, at=utcnow()) >= 1
        await until(lambda: house.follow.at_once == 0)
        await until(lambda: not house.jobs._running)
        oldest = (await runs(database, remote))[-1]
        assert oldest.state is RunState.LOST


async def test_what_waits_for_a_paused_job_or_another_processs_run_writes_nothing(
    database: Database, remote: RemoteMarket, tmp_path: Path, by: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every process would take the one writer's turn each second, for as long as something waits."""
    tries: list[JobKey] = []
    claim = store.claim

    async def counted(session: Session, key: JobKey, *arguments: object, **more: object) -> object:
        tries.append(key)
        return await claim(session, key, *arguments, **more)  # type: ignore[arg-type]

    async with working(database, tmp_path) as house:
        await until(lambda: house.send.begun == 1 and bool(house.follow.ended) and house.rests())
        await house.orders.change("hub", Job.UPLOADS, JobEdit(paused=True), by=by)
        await until(lambda: any(state.paused for state in house.jobs._states.values()))
        monkeypatch.setattr(store, "claim", counted)
        async with database.transaction() as session:
            draft = UploadDraft(UploadKind.COUNTS, "acme/csv-report#x", "{}", "system")
            await uploads_store.enqueue(session, remote, [draft], at=utcnow())
        await asyncio.sleep(2.5)
        assert tries == []
        await claimed_by(database, remote, await take_lease(database))
        tries.clear()
        house.jobs.news(remote.id, None)
        await until(lambda: len(tries) > 0)
        await asyncio.sleep(1.0)
        assert len(tries) == 1, "the rest is looking"
        await house.orders.change("hub", Job.UPLOADS, JobEdit(paused=False), by=by)
        await until(lambda: house.send.begun == 2)
