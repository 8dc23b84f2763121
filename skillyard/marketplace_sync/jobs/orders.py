"""What people do with jobs: run one now, pause it, give it a period of its own, open a channel again. All of it is
recorded, in the transaction that does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from skillyard.database import Database, Session
from skillyard.errors import ConflictError, InputError, NotFoundError
from skillyard.governance import audit
from skillyard.governance.administrators import Administrator, require_admin, require_operator
from skillyard.governance.audit import Action, AuditRecord
from skillyard.ids import WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.marketplace_sync.jobs import store
from skillyard.marketplace_sync.jobs.jobs import Jobs
from skillyard.marketplace_sync.jobs.values import Busy, Followed, Job, JobId, JobKey, JobState, Run, RunTrigger
from skillyard.marketplace_sync.remotes import store as remotes_store
from skillyard.marketplace_sync.remotes.remote import RemoteState
from skillyard.marketplace_sync.upwards import store as uploads_store
from skillyard.times import utcnow

SHORTEST_PERIOD: Final = 5.0
LONGEST_PERIOD: Final = 7 * 86_400.0


class JobRunningError(ConflictError):
    """A run of this job is under way already."""

    code = "job_running"


@dataclass(frozen=True, slots=True)
class JobEdit:
    """What is to be different; ``None`` leaves it. ``seconds`` is a period of its own, ``default`` goes back to the
    setting's."""

    paused: bool | None = None
    seconds: float | None = None
    default: bool = False


@dataclass(frozen=True, slots=True)
class JobTable:
    """A job of a workspace's remote, as people see it. ``next_at`` is ``None`` where nothing is planned."""

    job: Job
    remote: str
    paused: bool
    period: float
    own_period: bool
    next_at: datetime | None
    running: bool
    last: Run | None


class Orders:
    """Each change is one transaction. Other processes follow within a second."""

    def __init__(self, *, database: Database, jobs: Jobs, lease: str) -> None:
        self._database = database
        self._jobs = jobs
        self._lease = lease

    async def run_now(self, remote: str | None, job: Job, *, by: Administrator) -> Run:
        """Begin a run and return it; of uploads it also sends what was put off, but for what the remote asked time for.
        Raises ``JobRunningError`` where one is under way, ``NotFoundError``.

        Without a ``remote``, the instance's job: for operators.
        """
        async with self._database.transaction() as session:
            key, workspace = await self._meant(session, remote, job, by, enabled=True)
            at = utcnow()
            state = await store.ensure(session, key, workspace)
            period = self._jobs.period(key, state.seconds)
            outcome = await store.claim(
                session,
                key,
                workspace,
                by=self._lease,
                trigger=RunTrigger.MANUAL,
                at=at,
                hold=self._jobs.hold,
                period=None,
                next_at=None if key.remote is None else at + period,
                unrenewed=self._jobs.unrenewed(state.id),
            )
            if isinstance(outcome, Busy):
                raise _running(job, outcome.run)
            assert isinstance(outcome, Run)  # noqa: S101 - only what is scheduled can be too early or paused
            if job is Job.UPLOADS and key.remote is not None:
                # Who asks by hand knows that the remote is there again, and does not wait for a quarter of an hour.
                await uploads_store.hasten(session, key.remote, at=at)
            record = _record(by, at, Action.SYNC_JOB_RUN, _subject(job, remote), run=outcome.id)
            await audit.append(session, record)
        self._jobs.carry_out(outcome)
        return outcome

    async def change(self, remote: str, job: Job, edit: JobEdit, *, by: Administrator) -> None:
        """Pause or resume a job, or change how often it is run. It is due at once where it is to run sooner."""
        if edit.seconds is not None and not SHORTEST_PERIOD <= edit.seconds <= LONGEST_PERIOD:
            raise InputError(f"between {SHORTEST_PERIOD:g} s and {LONGEST_PERIOD:g} s", field="seconds")
        async with self._database.transaction() as session:
            key, workspace = await self._meant(session, remote, job, by)
            state = await store.ensure(session, key, workspace)
            paused = state.paused if edit.paused is None else edit.paused
            seconds = state.seconds if edit.seconds is None else edit.seconds
            seconds = None if edit.default else seconds
            if (paused, seconds) == (state.paused, state.seconds):
                return
            at = utcnow()
            sooner = at + self._jobs.period(key, seconds)
            next_at = at if state.paused and not paused else min(state.next_at or at, sooner)
            await store.change(session, state.id, paused=paused, seconds=seconds, next_at=next_at)
            subject = _subject(job, remote)
            record = _record(by, at, Action.SYNC_JOB_CHANGED, subject, paused=paused, seconds=seconds)
            await audit.append(session, record)

    async def reconnect(self, remote: str, *, by: Administrator) -> None:
        """Let every process open its live channel to a remote anew: now, also where it rests."""
        async with self._database.transaction() as session:
            key, workspace = await self._meant(session, remote, Job.CATALOGUE, by)
            at = utcnow()
            state = await store.ensure(session, key, workspace)
            await store.ask_for_live(session, state.id, at)
            await audit.append(session, _record(by, at, Action.SYNC_LIVE_RECONNECTED, f"remote/{remote}"))

    async def table(self, workspace: WorkspaceId) -> tuple[JobTable, ...]:
        """Every job of a workspace's remotes."""
        async with self._database.reading() as session:
            remotes = await store.followed(session, workspace)
            states = await store.states(session, workspace)
            last = await store.last_runs(session, (state.id for state in states.values()))
        return tuple(self._row(one, job, states.get(JobKey(job, one.id)), last) for one in remotes for job in one.jobs)

    async def runs(
        self, workspace: WorkspaceId, *, remote: str | None, job: Job | None, before: int, limit: int
    ) -> tuple[tuple[Run, str | None], ...]:
        """Runs of a workspace, each with its remote's name, and of the instance; the newest first."""
        async with self._database.reading() as session:
            named = None if remote is None else await _named(session, workspace, remote)
            found = await store.runs(
                session,
                workspace,
                job=job,
                remote=None if named is None else named.id,
                before=before,
                limit=limit,
            )
            names = {one.id: one.name for one in await remotes_store.list_remotes(session, workspace)}
        return tuple((run, None if run.key.remote is None else names[run.key.remote]) for run in found)

    def _row(self, remote: Followed, job: Job, state: JobState | None, last: Mapping[JobId, Run]) -> JobTable:
        run = None if state is None else last.get(state.id)
        seconds = None if state is None else state.seconds
        paused = state is not None and state.paused
        return JobTable(
            job=job,
            remote=remote.name,
            paused=paused,
            period=self._jobs.period(JobKey(job, remote.id), seconds).total_seconds(),
            own_period=seconds is not None,
            next_at=None if state is None or paused else state.next_at,
            running=state is not None and state.claimed_by is not None,
            last=run,
        )

    async def _meant(
        self, session: Session, remote: str | None, job: Job, by: Administrator, *, enabled: bool = False
    ) -> tuple[JobKey, WorkspaceId | None]:
        """Raises ``InputError`` for a job that is not a remote's, or the other way round; with ``enabled``,
        ``ConflictError`` for a remote that nothing is asked of."""
        if job is Job.ADVISORIES:
            await require_operator(session, by)
            if remote is not None:
                raise InputError("advisories are of the instance, not of a remote", field="remote")
            return JobKey(job, None), None
        await require_admin(session, by)
        if remote is None:
            raise InputError(f"{job.value} is a job of a remote: name one", field="remote")
        followed = await _named(session, by.workspace, remote)
        if job not in followed.jobs:
            raise InputError(f"nothing goes up to a remote of the kind {followed.kind}", field="job")
        if enabled and followed.state is not RemoteState.ENABLED:
            raise ConflictError(f"remote {followed.name} is {followed.state.value}; enable it first")
        return JobKey(job, followed.id), followed.workspace


async def _named(session: Session, workspace: WorkspaceId, remote: str) -> Followed:
    for one in await store.followed(session, workspace):
        if one.name == remote:
            return one
    raise NotFoundError(f"there is no remote {remote[:80]!r}")


def _running(job: Job, run: Run | None) -> JobRunningError:
    since = "" if run is None else f" since {run.started_at:%H:%M:%S} UTC, run {run.id}"
    return JobRunningError(f"{job.value} is running{since}")


def _record(by: Administrator, at: datetime, action: Action, subject: str, **facts: JsonValue) -> AuditRecord:
    return AuditRecord(by.workspace, at, by.actor, action, subject, {**facts, **by.facts})


def _subject(job: Job, remote: str | None) -> str:
    return f"job/{job.value}" if remote is None else f"remote/{remote}/{job.value}"
