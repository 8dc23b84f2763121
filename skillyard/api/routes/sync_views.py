"""How the sync stands, as clients read it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from skillyard.api.schemas.sync import (
    AdvisoryJobView,
    ChannelView,
    JobView,
    QueueView,
    RemoteStatusView,
    RunView,
    UploadView,
)
from skillyard.governance.advisories.attempts import Attempt, AttemptState, read_attempts
from skillyard.governance.advisories.index import index_path
from skillyard.marketplace_sync.jobs.orders import JobTable
from skillyard.marketplace_sync.jobs.values import Run
from skillyard.marketplace_sync.live.client import Channel
from skillyard.marketplace_sync.metrics.values import Standing
from skillyard.marketplace_sync.upwards.values import Upload, UploadState
from skillyard.settings import Settings


def run_view(run: Run, remote: str | None, *, tells: bool = True) -> RunView:
    """``remote`` is the name of the run's remote; ``None`` for the instance's own job. Why that one failed is left out
    unless it ``tells``: it may name addresses inside."""
    return RunView(
        id=run.id,
        job=run.key.job,
        remote=remote,
        trigger=run.trigger,
        state=run.state,
        started_at=run.started_at,
        ended_at=run.ended_at,
        counts=dict(run.counts),
        error=run.error if tells or run.workspace is not None else None,
    )


def job_view(row: JobTable) -> JobView:
    return JobView(
        job=row.job,
        remote=row.remote,
        paused=row.paused,
        period=row.period,
        own_period=row.own_period,
        next_at=row.next_at,
        running=row.running,
        last=None if row.last is None else run_view(row.last, row.remote),
    )


def channel_view(one: Standing, channel: Channel | None) -> ChannelView:
    if channel is None:
        return ChannelView(remote=one.name, wanted=one.channel_wanted, state=None)
    return ChannelView(
        remote=one.name,
        wanted=one.channel_wanted,
        state=channel.state,
        since=channel.since,
        failures=channel.failures,
        head=channel.head,
        next_at=channel.next_at,
        error=channel.error,
    )


def remote_status(one: Standing, channel: Channel | None, jobs: Sequence[JobView]) -> RemoteStatusView:
    """The head is the newest of what was believed and what the channel said."""
    told = None if channel is None else channel.head
    head = max((known for known in (one.head_seq, told) if known is not None), default=None)
    return RemoteStatusView(
        name=one.name,
        kind=one.kind,
        state=one.state,
        seq=one.seq,
        head=head,
        lag=None if head is None else max(0, head - one.seq),
        skills=one.skills,
        categories=one.categories,
        tried_at=one.tried_at,
        succeeded_at=one.succeeded_at,
        failures=one.failures,
        error=one.error,
        set_aside=one.set_aside,
        uploads=QueueView(
            waiting=one.uploads.get(UploadState.WAITING, 0),
            conflict=one.uploads.get(UploadState.CONFLICT, 0),
            dead=one.uploads.get(UploadState.DEAD, 0),
        ),
        open_conflicts=one.conflicts,
        channel=channel_view(one, channel),
        jobs=tuple(job for job in jobs if job.remote == one.name),
    )


async def advisory_job(settings: Settings) -> AdvisoryJobView:
    """From what is noted beside the index. Raises ``AdvisoryIndexError`` where that cannot be read."""
    attempts = await asyncio.to_thread(read_attempts, index_path(settings.home))
    period = timedelta(hours=settings.advisories_update_hours)
    return AdvisoryJobView(
        period=period.total_seconds() or None,
        last_at=max((one.at for one in attempts), default=None),
        succeeded_at=_all_succeeded(attempts),
        failing=tuple(one.source for one in attempts if one.state is AttemptState.FAILED),
        next_at=min((one.at + period for one in attempts), default=None) if period else None,
    )


def _all_succeeded(attempts: Sequence[Attempt]) -> datetime | None:
    """When every source was last read; ``None`` where one never was."""
    times = [one.succeeded_at for one in attempts]
    known = [time for time in times if time is not None]
    return min(known) if known and len(known) == len(times) else None


def upload_view(upload: Upload, remote: str) -> UploadView:
    """``remote`` is the name of its remote."""
    return UploadView(
        id=upload.id,
        remote=remote,
        kind=upload.kind,
        key=upload.key,
        state=upload.state,
        attempts=upload.attempts,
        next_at=upload.next_at,
        error=upload.error,
        created_by=upload.created_by,
        created_at=upload.created_at,
        ended_at=upload.ended_at,
        dropped=upload.dropped,
    )
