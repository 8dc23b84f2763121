"""What people order: a run at once, a pause, another period."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from skillyard.database import Database
from skillyard.governance.administrators import Administrator
from skillyard.governance.audit.listing import Filter, listed
from skillyard.marketplace_sync.jobs import store
from skillyard.marketplace_sync.jobs.orders import JobEdit, JobRunningError
from skillyard.marketplace_sync.jobs.values import Job, RunState, RunTrigger
from skillyard.marketplace_sync.remotes.remote import RemoteMarket
from skillyard.marketplace_sync.upwards import store as uploads_store
from skillyard.marketplace_sync.upwards.values import UploadDraft, UploadKind
from skillyard.times import utcnow
from tests.marketplace_sync.jobs.houses import (
    until,
    working,
)


async def test_run_now_runs_now_says_when_one_is_under_way_and_is_recorded(
    database: Database, remote: RemoteMarket, tmp_path: Path, by: Administrator
) -> None:
    async with working(database, tmp_path) as house:
        await until(lambda: len(house.follow.ended) == 1 and not house.jobs._running)
        house.follow.until = asyncio.Event()
        run = await house.orders.run_now("hub", Job.CATALOGUE, by=by)
        assert (run.state, run.trigger) == (RunState.RUNNING, RunTrigger.MANUAL)
        with pytest.raises(JobRunningError, match=f"run {run.id}"):
            await house.orders.run_now("hub", Job.CATALOGUE, by=by)
        house.follow.until.set()
        await until(lambda: len(house.follow.ended) == 2)
        advisories = await house.orders.run_now(None, Job.ADVISORIES, by=by)
        await until(lambda: not house.jobs._running)
        async with database.reading() as session:
            ended = await store.get_run(session, advisories.id)
            assert ended is not None
            assert (ended.state, ended.counts, ended.workspace) == (
                RunState.SUCCEEDED,
                {"applied": 1, "snapshot": 0},
                None,
            )
            page = await listed(session, remote.workspace, Filter(action="sync."), limit=100)
    assert [(entry.action, entry.subject) for entry in page.entries] == [
        ("sync.job_run", "remote/hub/catalogue"),
        ("sync.job_run", "job/advisories"),
    ]


async def test_uploads_run_by_hand_send_what_was_put_off_unless_the_remote_asked_for_time(
    database: Database, remote: RemoteMarket, tmp_path: Path, by: Administrator
) -> None:
    """Else an operator who has mended something waits for a quarter of an hour."""
    drafts = [UploadDraft(UploadKind.COUNTS, f"acme/csv-report#{n}", "{}", "system") for n in range(2)]
    later = utcnow() + timedelta(minutes=10)
    async with database.transaction() as session:
        await uploads_store.enqueue(session, remote, drafts, at=utcnow())
        claimed = await uploads_store.claim(
            session, remote.id, by="here", now=utcnow(), hold=timedelta(minutes=1), limit=2
        )
        for upload, not_before in zip(claimed, (None, later), strict=True):
            await uploads_store.again(
                session, upload.id, by="here", next_at=later, not_before=not_before, error="it was not there"
            )
    async with working(database, tmp_path) as house:
        await until(lambda: house.send.begun == 1 and not house.jobs._running)
        await house.orders.run_now("hub", Job.UPLOADS, by=by)
        await until(lambda: house.send.begun >= 2)
    async with database.reading() as session:
        found = await uploads_store.list_uploads(session, remote.workspace)
    assert [one.next_at < later for one in found] == [True, False]


async def test_a_paused_job_rests_but_can_be_run_by_hand_until_it_is_resumed(
    database: Database, remote: RemoteMarket, tmp_path: Path, by: Administrator
) -> None:
    async with working(database, tmp_path, sync_period_not_live=0.2) as house:
        await until(lambda: len(house.follow.ended) >= 1)
        await house.orders.change("hub", Job.CATALOGUE, JobEdit(paused=True), by=by)
        await until(house.rests)
        before = house.follow.begun
        house.jobs.news(remote.id, None)
        await asyncio.sleep(1.5)
        assert house.follow.begun == before
        (row,) = [one for one in await house.orders.table(remote.workspace) if one.job is Job.CATALOGUE]
        assert (row.paused, row.next_at) == (True, None)
        await house.orders.run_now("hub", Job.CATALOGUE, by=by)
        await until(lambda: house.follow.begun == before + 1)
        await house.orders.change("hub", Job.CATALOGUE, JobEdit(paused=False, seconds=5), by=by)
        await until(lambda: house.follow.begun == before + 2)
        (row,) = [one for one in await house.orders.table(remote.workspace) if one.job is Job.CATALOGUE]
        assert (row.paused, row.period, row.own_period) == (False, 5.0, True)
