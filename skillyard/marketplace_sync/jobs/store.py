"""Jobs and their runs as they are kept. Claims are taken and given up in the caller's transaction.

A claim is nobody's any more when its process has no lease row (``runtime.leases``: it ended, or was taken for dead), or
when the caller has watched it long enough without seeing it renewed. No clock of another machine is believed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

import orjson
from sqlalchemy import Select, delete, func, select, update

from skillyard.database import Session
from skillyard.governance.identity import WorkspaceState
from skillyard.governance.tables import WorkspaceRow
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.catalogue.entry import CatalogueId
from skillyard.marketplace_sync.catalogue.tables import CatalogueRow
from skillyard.marketplace_sync.jobs.tables import JobRow, RunRow
from skillyard.marketplace_sync.jobs.values import (
    Busy,
    Followed,
    Job,
    JobId,
    JobKey,
    JobState,
    NotDue,
    Run,
    RunId,
    RunState,
    RunTrigger,
)
from skillyard.marketplace_sync.remotes.remote import RemoteId
from skillyard.marketplace_sync.remotes.tables import RemoteRow
from skillyard.marketplace_sync.upwards import store as uploads_store
from skillyard.marketplace_sync.upwards.tables import UploadRow
from skillyard.runtime.tables import LeaseRow

_MAX_ERROR = 500


async def followed(session: Session, workspace: WorkspaceId | None = None) -> tuple[Followed, ...]:
    """Every remote of every active workspace, whatever its own state; of one workspace, where one is named."""
    query = (
        select(RemoteRow, WorkspaceRow.name, CatalogueRow.seq)
        .join(WorkspaceRow, WorkspaceRow.id == RemoteRow.workspace_id)
        .join(CatalogueRow, CatalogueRow.id == RemoteRow.catalogue_id)
        .where(WorkspaceRow.state == WorkspaceState.ACTIVE)
        .order_by(RemoteRow.id)
    )
    if workspace is not None:
        query = query.where(RemoteRow.workspace_id == workspace)
    return tuple(
        Followed(
            id=RemoteId(row.id),
            workspace=WorkspaceId(row.workspace_id),
            workspace_name=workspace,
            name=row.name,
            kind=row.kind,
            catalogue=CatalogueId(row.catalogue_id),
            state=row.state,
            live_wanted=row.live_wanted,
            seq=seq,
        )
        for row, workspace, seq in (await session.execute(query)).all()
    )


async def mirrored(session: Session, remote: RemoteId) -> int | None:
    """How far a remote's mirror is; ``None`` where there is no such remote."""
    query = select(CatalogueRow.seq).join(RemoteRow, RemoteRow.catalogue_id == CatalogueRow.id)
    return await session.scalar(query.where(RemoteRow.id == remote))


async def with_due_uploads(session: Session, remotes: Collection[RemoteId], now: datetime) -> frozenset[RemoteId]:
    """Those of some remotes to which a run would send something now."""
    query = select(UploadRow.remote_id).where(UploadRow.remote_id.in_(remotes), uploads_store.due(now))
    return frozenset(RemoteId(remote) for remote in await session.scalars(query.distinct()))


async def states(session: Session, workspace: WorkspaceId | None = None) -> Mapping[JobKey, JobState]:
    """Every job that was ever touched; of one workspace, where one is named."""
    query = select(JobRow)
    if workspace is not None:
        query = query.where(JobRow.workspace_id == workspace)
    found = (_state(row) for row in await session.scalars(query))
    return {state.key: state for state in found}


async def ensure(session: Session, key: JobKey, workspace: WorkspaceId | None) -> JobState:
    """The job's row. Transactions that write take turns, so it is made once."""
    row = await session.scalar(_of(key))
    if row is None:
        row = JobRow(workspace_id=workspace, remote_id=key.remote, job=key.job, paused=False)
        session.add(row)
        await session.flush()
    return _state(row)


async def claimed(session: Session, key: JobKey) -> bool:
    """Whether a run is under way somewhere, as far as its claim says."""
    query = select(JobRow.claimed_by).where(JobRow.job == key.job, JobRow.remote_id == key.remote)
    return await session.scalar(query) is not None


async def claim(
    session: Session,
    key: JobKey,
    workspace: WorkspaceId | None,
    *,
    by: str,
    trigger: RunTrigger,
    at: datetime,
    hold: timedelta,
    period: timedelta | None,
    next_at: datetime | None,
    unrenewed: datetime | None,
) -> Run | Busy | NotDue:
    """Begin a run, unless another one is under way. One whose claim is nobody's is recorded as lost.

    With a ``period`` the run is begun only if its time has come; a ``next_at`` further away than that is the work of
    another clock and does not count. ``unrenewed`` is the ``claimed_until`` that the caller has watched for too long.
    """
    state = await ensure(session, key, workspace)
    if state.paused and trigger is not RunTrigger.MANUAL:
        return NotDue(None)
    if period is not None and state.next_at is not None and at < state.next_at <= at + period:
        return NotDue(state.next_at)
    if state.claimed_by is not None and not await _is_dead(session, state, unrenewed):
        return Busy(await _running(session, state.id))
    await _lose(session, state.id, at)
    if state.claimed_by is not None:
        # What its process was sending is nobody's either; nobody sweeps for a claim that has an owner again.
        await uploads_store.free_orphaned(session)
    await _set(
        session,
        state.id,
        claimed_by=by,
        claimed_until=at + hold,
        next_at=state.next_at if next_at is None else next_at,
    )
    row = RunRow(
        workspace_id=workspace,
        job_id=state.id,
        trigger=trigger,
        state=RunState.RUNNING,
        started_at=at,
        counts_json="{}",
        instance_id=by,
    )
    session.add(row)
    await session.flush()
    return _run(row, key)


async def renew(session: Session, run: Run, *, until: datetime) -> bool:
    """Say that a run goes on; false where its claim was taken away."""
    if await session.scalar(select(RunRow.state).where(RunRow.id == run.id)) is not RunState.RUNNING:
        return False
    await _set(session, run.job_id, claimed_until=until)
    return True


async def finish(
    session: Session,
    run: Run,
    *,
    state: RunState,
    counts: Mapping[str, int],
    error: str | None,
    at: datetime,
    next_at: datetime | None,
    keep: int,
) -> bool:
    """End a run, give up its claim, and forget runs beyond the newest ``keep``. False where it was lost before."""
    ended = (
        update(RunRow)
        .where(RunRow.id == run.id, RunRow.state == RunState.RUNNING)
        .values(
            state=state,
            ended_at=at,
            counts_json=orjson.dumps(dict(counts)).decode(),
            error=None if error is None else error[:_MAX_ERROR],
        )
    )
    found = await session.scalar(ended.returning(RunRow.id), execution_options={"synchronize_session": False})
    if found is None:
        return False
    await _set(session, run.job_id, claimed_by=None, claimed_until=None)
    if next_at is not None:
        await _set(session, run.job_id, next_at=next_at)
    await _prune(session, run.job_id, keep)
    return True


async def sweep(session: Session, unrenewed: Mapping[JobId, datetime], *, at: datetime) -> int:
    """Record the runs whose claims are nobody's as lost, and give those up, with what they were sending. Returns how
    many jobs that freed."""
    freed = 0
    for row in await session.scalars(select(JobRow).where(JobRow.claimed_by.is_not(None))):
        state = _state(row)
        if await _is_dead(session, state, unrenewed.get(state.id)):
            await _lose(session, state.id, at)
            await _set(session, state.id, claimed_by=None, claimed_until=None)
            freed += 1
    if freed:
        await uploads_store.free_orphaned(session)
    return freed


async def orphaned(session: Session) -> bool:
    """Whether any job is claimed by a process that has no lease."""
    query = select(JobRow.id).where(JobRow.claimed_by.is_not(None), JobRow.claimed_by.not_in(select(LeaseRow.id)))
    return await session.scalar(query.limit(1)) is not None


async def change(
    session: Session,
    job: JobId,
    *,
    paused: bool,
    seconds: float | None,
    next_at: datetime | None,
) -> None:
    await _set(session, job, paused=paused, seconds=seconds, next_at=next_at)


async def put_off(session: Session, job: JobId, next_at: datetime) -> None:
    """Let it run at another time."""
    await _set(session, job, next_at=next_at)


async def ask_for_live(session: Session, job: JobId, at: datetime) -> None:
    await _set(session, job, live_asked_at=at)


async def runs(
    session: Session, workspace: WorkspaceId, *, job: Job | None, remote: RemoteId | None, before: int, limit: int
) -> tuple[Run, ...]:
    """Runs of a workspace and of the instance's own jobs, the newest first, beginning before the run ``before``."""
    query = select(RunRow, JobRow).join(JobRow, JobRow.id == RunRow.job_id)
    query = query.where((RunRow.workspace_id == workspace) | RunRow.workspace_id.is_(None))
    if job is not None:
        query = query.where(JobRow.job == job)
    if remote is not None:
        query = query.where(JobRow.remote_id == remote)
    if before:
        query = query.where(RunRow.id < before)
    rows = (await session.execute(query.order_by(RunRow.id.desc()).limit(limit))).all()
    return tuple(_run(run, _key(job_row)) for run, job_row in rows)


async def get_run(session: Session, run: RunId) -> Run | None:
    query = select(RunRow, JobRow).join(JobRow, JobRow.id == RunRow.job_id).where(RunRow.id == run)
    found = (await session.execute(query)).first()
    return None if found is None else _run(found[0], _key(found[1]))


async def under_way(session: Session, lease: str) -> tuple[Run, ...]:
    """What a process has begun and not ended."""
    query = select(RunRow, JobRow).join(JobRow, JobRow.id == RunRow.job_id)
    rows = (await session.execute(query.where(RunRow.instance_id == lease, RunRow.state == RunState.RUNNING))).all()
    return tuple(_run(run, _key(job)) for run, job in rows)


async def last_runs(session: Session, jobs: Iterable[JobId]) -> Mapping[JobId, Run]:
    """The newest run of each of some jobs."""
    newest = select(func.max(RunRow.id)).where(RunRow.job_id.in_(list(jobs))).group_by(RunRow.job_id)
    query = select(RunRow, JobRow).join(JobRow, JobRow.id == RunRow.job_id)
    rows = (await session.execute(query.where(RunRow.id.in_(newest.scalar_subquery())))).all()
    return {JobId(run.job_id): _run(run, _key(job)) for run, job in rows}


async def _is_dead(session: Session, state: JobState, unrenewed: datetime | None) -> bool:
    if unrenewed is not None and state.claimed_until == unrenewed:
        return True
    return await session.scalar(select(LeaseRow.id).where(LeaseRow.id == state.claimed_by)) is None


async def _running(session: Session, job: JobId) -> Run | None:
    found = await last_runs(session, (job,))
    run = found.get(job)
    return run if run is not None and run.state is RunState.RUNNING else None


async def _lose(session: Session, job: JobId, at: datetime) -> None:
    await session.execute(
        update(RunRow)
        .where(RunRow.job_id == job, RunRow.state == RunState.RUNNING)
        .values(state=RunState.LOST, ended_at=at, error="its process ended, or stood still for too long")
        .execution_options(synchronize_session=False)
    )


async def _prune(session: Session, job: JobId, keep: int) -> None:
    """The last success stays whatever came after it: how old it is has to be known."""
    oldest = await session.scalar(
        select(RunRow.id).where(RunRow.job_id == job).order_by(RunRow.id.desc()).offset(keep - 1).limit(1)
    )
    if oldest is None:
        return
    last = select(RunRow.id).where(RunRow.job_id == job, RunRow.state == RunState.SUCCEEDED)
    kept = await session.scalar(last.order_by(RunRow.id.desc()).limit(1))
    gone = delete(RunRow).where(RunRow.job_id == job, RunRow.id < oldest, RunRow.state != RunState.RUNNING)
    if kept is not None:
        gone = gone.where(RunRow.id != kept)
    await session.execute(gone.execution_options(synchronize_session=False))


async def _set(session: Session, job: JobId, **values: object) -> None:
    await session.execute(
        update(JobRow).where(JobRow.id == job).values(values).execution_options(synchronize_session=False)
    )


def _of(key: JobKey) -> Select[JobRow]:
    query = select(JobRow).where(JobRow.job == key.job).execution_options(populate_existing=True)
    return query.where(JobRow.remote_id.is_(None) if key.remote is None else JobRow.remote_id == key.remote)


def _key(row: JobRow) -> JobKey:
    return JobKey(row.job, None if row.remote_id is None else RemoteId(row.remote_id))


def _state(row: JobRow) -> JobState:
    return JobState(
        id=JobId(row.id),
        key=_key(row),
        workspace=None if row.workspace_id is None else WorkspaceId(row.workspace_id),
        paused=row.paused,
        seconds=row.seconds,
        next_at=row.next_at,
        claimed_by=row.claimed_by,
        claimed_until=row.claimed_until,
        live_asked_at=row.live_asked_at,
    )


def _run(row: RunRow, key: JobKey) -> Run:
    return Run(
        id=RunId(row.id),
        job_id=JobId(row.job_id),
        key=key,
        workspace=None if row.workspace_id is None else WorkspaceId(row.workspace_id),
        trigger=row.trigger,
        state=row.state,
        started_at=row.started_at,
        ended_at=row.ended_at,
        counts=orjson.loads(row.counts_json),
        error=row.error,
        instance=row.instance_id,
    )
