"""The recurring work: done when it is due, by one process at a time, recorded, and ended with its process."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from skillyard.database import Database, Session, utcnow
from skillyard.errors import SkillyardError
from skillyard.governance.administrators import Administrator
from skillyard.governance.audit.listing import Filter, listed
from skillyard.governance.identity import Person
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.errors import RemoteUnavailableError
from skillyard.marketplace_sync.jobs import store
from skillyard.marketplace_sync.jobs.jobs import Jobs
from skillyard.marketplace_sync.jobs.orders import JobEdit, JobRunningError, Orders
from skillyard.marketplace_sync.jobs.values import Job, JobKey, Run, RunState, RunTrigger
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import Filters, Remote, RemoteId, RemoteKind, RemoteMarket, RemoteState
from skillyard.marketplace_sync.upwards import store as uploads_store
from skillyard.marketplace_sync.upwards.values import UploadDraft, UploadKind
from skillyard.runtime import leases
from skillyard.runtime.leases import Machine
from skillyard.settings import Settings

TTL = 1.2


@dataclass(frozen=True)
class Report:
    applied: int
    snapshot: bool
    equal: bool | None = None
    seconds: float = 0.5


@dataclass
class Work:
    """What is to be done for a remote, as a test wants it: how long it takes, whether it fails, how often it was."""

    seconds: float = 0.0
    error: Exception | None = None
    begun: int = 0
    at_once: int = 0
    most_at_once: int = 0
    ended: list[str] = field(default_factory=list)

    async def __call__(self, remote: RemoteMarket) -> Report:
        self.begun += 1
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        if self.error is not None:
            raise self.error
        self.ended.append(remote.name)
        return Report(applied=3, snapshot=True)


@dataclass
class House:
    """One process's jobs over a database."""

    jobs: Jobs
    orders: Orders
    follow: Work
    send: Work
    lease: str
    shortened: list[tuple[RemoteId, str]]


async def until(found: Callable[[], Awaitable[bool] | bool], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            answer = found()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.02)


@pytest.fixture
def by(admin: Person) -> Administrator:
    return Administrator(admin.workspace, admin.id, admin.actor)


@pytest.fixture
async def remote(database: Database, by: Administrator) -> RemoteMarket:
    return await added(database, by, "hub")


async def added(database: Database, by: Administrator, name: str) -> RemoteMarket:
    async with database.transaction() as session:
        return await remote_store.add(
            session,
            by=by,
            at=utcnow(),
            name=name,
            url="http://127.0.0.1:9",
            token=None,
            kind=RemoteKind.SKILLYARD,
            filters=Filters(),
            strategy=Strategy.REMOTE_WINS,
            live=False,
            public_key=None,
        )


async def take_lease(database: Database) -> str:
    lease = uuid.uuid4().hex
    async with database.transaction() as session:
        await leases.register(session, lease, home_id="0" * 32, machine=Machine.this())
    return lease


@asynccontextmanager
async def working(
    database: Database, home: Path, *, follow: Work | None = None, send: Work | None = None, **settings: object
) -> AsyncIterator[House]:
    follow, send, lease = follow or Work(), send or Work(), await take_lease(database)

    async def find(remote_id: RemoteId) -> RemoteMarket:
        async with database.reading() as session:
            return await remote_store.find(session, remote_id)

    def client(_remote: RemoteMarket) -> Remote:
        raise RemoteUnavailableError("no channel in this test")

    async def update() -> Report:
        return Report(applied=1, snapshot=False)

    async def tidy() -> None:
        """Nothing is left over in these tests."""

    shortened: list[tuple[RemoteId, str]] = []

    async def cut_short(remote_id: RemoteId, error: SkillyardError) -> None:
        shortened.append((remote_id, str(error)))

    values: dict[str, object] = {"lease_heartbeat": 0.3, "lease_ttl": TTL, "sync_jitter": 0.0} | settings
    jobs = Jobs(
        database=database,
        settings=Settings(home=home, **values),  # type: ignore[arg-type]
        lease=lease,
        metrics=SyncMetrics(),
        find=find,
        client=client,
        follow=follow,
        send=send,
        update_advisories=update,
        tidy=tidy,
        cut_short=cut_short,
    )
    await jobs.start()
    try:
        yield House(jobs, Orders(database=database, jobs=jobs, lease=lease), follow, send, lease, shortened)
    finally:
        await jobs.close()


async def runs(database: Database, remote: RemoteMarket, job: Job = Job.CATALOGUE) -> tuple[Run, ...]:
    async with database.reading() as session:
        return await store.runs(session, remote.workspace, job=job, remote=remote.id, before=0, limit=100)


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


async def test_many_triggers_during_a_run_cause_exactly_one_more(
    database: Database, remote: RemoteMarket, tmp_path: Path
) -> None:
    async with working(database, tmp_path, follow=Work(seconds=0.5)) as house:
        await until(lambda: house.follow.at_once == 1)
        for _ in range(50):
            house.jobs.news(remote.id, None)
            await asyncio.sleep(0.002)
        assert house.follow.begun == 1
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


async def test_a_claim_that_nobody_renews_runs_out_and_one_that_somebody_does_never(
    database: Database, remote: RemoteMarket, tmp_path: Path, by: Administrator
) -> None:
    """By what was watched, whatever the clock of the other machine wrote: here it is an hour ahead."""
    renewed = await added(database, by, "other")
    await claimed_by(database, remote, await take_lease(database), ahead=timedelta(hours=1))
    kept = await claimed_by(database, renewed, await take_lease(database), ahead=-timedelta(hours=1))
    async with working(database, tmp_path) as house:
        for tick in range(200):
            async with database.transaction() as session:
                assert await store.renew(session, kept, until=utcnow() - timedelta(hours=1, microseconds=tick))
            if house.follow.ended:
                break
            await asyncio.sleep(0.05)
        assert house.follow.ended == ["hub"]
    assert [run.state for run in await runs(database, remote)] == [RunState.SUCCEEDED, RunState.LOST]
    assert [run.state for run in await runs(database, renewed)] == [RunState.RUNNING]


async def claimed_by(database: Database, remote: RemoteMarket, lease: str, *, ahead: timedelta = timedelta()) -> Run:
    at = utcnow() + ahead
    async with database.transaction() as session:
        outcome = await store.claim(
            session,
            JobKey(Job.CATALOGUE, remote.id),
            remote.workspace,
            by=lease,
            trigger=RunTrigger.SCHEDULE,
            at=at,
            hold=timedelta(seconds=TTL),
            period=None,
            next_at=None,
            unrenewed=None,
        )
    assert isinstance(outcome, Run)
    return outcome


async def test_a_process_whose_claim_was_taken_stops_at_once_and_records_nothing_over_it(
    database: Database, remote: RemoteMarket, tmp_path: Path
) -> None:
    async with working(database, tmp_path, follow=Work(seconds=30)) as house:
        await until(lambda: house.follow.at_once == 1)
        async with database.transaction() as session:
            await leases.withdraw(session, house.lease)
            assert await store.sweep(session, {}, at=utcnow()) >= 1
        await until(lambda: house.follow.at_once == 0)
        await until(lambda: not house.jobs._running)
        oldest = (await runs(database, remote))[-1]
        assert oldest.state is RunState.LOST


async def test_run_now_runs_now_says_when_one_is_under_way_and_is_recorded(
    database: Database, remote: RemoteMarket, tmp_path: Path, by: Administrator
) -> None:
    async with working(database, tmp_path) as house:
        await until(lambda: len(house.follow.ended) == 1)
        house.follow.seconds = 0.5
        run = await house.orders.run_now("hub", Job.CATALOGUE, by=by)
        assert (run.state, run.trigger) == (RunState.RUNNING, RunTrigger.MANUAL)
        with pytest.raises(JobRunningError, match=f"run {run.id}"):
            await house.orders.run_now("hub", Job.CATALOGUE, by=by)
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
        await until(lambda: house.follow.at_once == 0)
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


async def test_a_stopping_process_ends_what_it_runs_within_seconds_and_says_so(
    database: Database, remote: RemoteMarket, tmp_path: Path
) -> None:
    before = asyncio.all_tasks()
    async with working(database, tmp_path, follow=Work(seconds=60)) as house:
        await until(lambda: house.follow.at_once == 1)
        begun = asyncio.get_running_loop().time()
        await house.jobs.close()
        assert asyncio.get_running_loop().time() - begun < 2
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
        await until(lambda: house.send.begun == 1 and not house.jobs._running)
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
        await asyncio.sleep(1.0)
        assert len(tries) == 1, "the rest is looking"
        await house.orders.change("hub", Job.UPLOADS, JobEdit(paused=False), by=by)
        await until(lambda: house.send.begun == 2)


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


async def test_a_remote_that_asks_to_be_left_alone_is(database: Database, remote: RemoteMarket, tmp_path: Path) -> None:
    work = Work(error=RemoteUnavailableError("429", retry_after=120))
    async with working(database, tmp_path, follow=work, sync_period_not_live=0.2) as house:
        await until(lambda: house.follow.begun == 1)
        await until(lambda: not house.jobs._running)
        house.jobs.news(remote.id, None)
        await asyncio.sleep(1.5)
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
        await until(lambda: not house.jobs._schedule._put)
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
