"""How the sync of the caller's workspace stands, and what an admin does about it: run, pause, retry, reconnect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query

from skillyard.api.auth import Admin, Anyone
from skillyard.api.paging import Cursor, PageSize, key_of, page_of
from skillyard.api.routes.sync_views import advisory_job, channel_view, job_view, remote_status, run_view, upload_view
from skillyard.api.schemas.sync import (
    ChangeJobRequest,
    ChannelView,
    JobView,
    PeriodsView,
    RatingsStatusView,
    RetriedView,
    RunView,
    SyncConfigView,
    SyncStatusView,
    TriggerRequest,
    UploadFigureView,
    UploadView,
)
from skillyard.api.schemas.values import MAX_KEY, Page
from skillyard.api.state import TheMarketplace, TheRuntime
from skillyard.governance.administrators import Administrator
from skillyard.governance.identity import PersonPrincipal, Role
from skillyard.marketplace_sync.jobs.orders import JobEdit
from skillyard.marketplace_sync.jobs.values import Job
from skillyard.marketplace_sync.marketplace import Marketplace
from skillyard.marketplace_sync.remotes.remotes import RemoteEdit
from skillyard.marketplace_sync.upwards.values import UploadId, UploadKind, UploadState

router = APIRouter(prefix="/v1/admin/sync", tags=["sync"])

Name = Annotated[str, Path(min_length=1, max_length=64)]
NamedRemote = Annotated[str | None, Query(max_length=64, description="Of this remote alone.")]


@router.get("/status")
async def sync_status(market: TheMarketplace, runtime: TheRuntime, admin: Admin) -> SyncStatusView:
    """Every remote: how far its mirror is, what failed, what waits, its channel and its jobs."""
    standings = await market.watch.standings(admin.workspace)
    jobs = await _jobs(market, admin)
    return SyncStatusView(
        running=market.jobs.running,
        remotes=tuple(remote_status(one, market.watch.channel(one), jobs) for one in standings),
        advisories=await advisory_job(runtime.settings),
    )


@router.post("/trigger", status_code=202)
async def trigger(market: TheMarketplace, admin: Admin, body: TriggerRequest) -> RunView:
    """Run a job now. The answer is the run, which goes on; a 409 says that one is under way."""
    return run_view(await market.orders.run_now(body.remote, body.job, by=admin), body.remote)


@router.get("/config")
async def sync_config(market: TheMarketplace, runtime: TheRuntime, admin: Admin) -> SyncConfigView:
    """The periods that the settings say, and each job with its own."""
    settings = PeriodsView.model_validate(runtime.settings)
    return SyncConfigView(settings=settings, jobs=tuple(await _jobs(market, admin)))


@router.put("/config")
async def change_job(market: TheMarketplace, admin: Admin, body: ChangeJobRequest) -> JobView:
    """Pause a job, resume it, or give it a period of its own."""
    edit = JobEdit(paused=body.paused, seconds=body.seconds, default=body.default)
    await market.orders.change(body.remote, body.job, edit, by=admin)
    (found,) = [job for job in await _jobs(market, admin) if (job.remote, job.job) == (body.remote, body.job)]
    return found


@router.get("/runs")
async def sync_runs(
    *,
    market: TheMarketplace,
    admin: Admin,
    principal: Anyone,
    remote: NamedRemote = None,
    job: Annotated[Job | None, Query(description="Of this job alone.")] = None,
    cursor: Cursor = None,
    limit: PageSize = 100,
) -> Page[RunView]:
    """What was run, the newest first: with what it counted, or why it failed; the instance's own says that to
    operators alone."""
    tells = isinstance(principal, PersonPrincipal) and principal.person.role is Role.OPERATOR
    found = await market.orders.runs(admin.workspace, remote=remote, job=job, before=key_of(cursor), limit=limit + 1)
    return page_of(found, limit, lambda one: run_view(*one, tells=tells), key=lambda one: one[0].id)


# Uploads


@router.get("/ratings/status")
async def ratings_status(market: TheMarketplace, admin: Admin) -> RatingsStatusView:
    """Ratings on their way to each remote, and when all that was due was last sent."""
    standings = await market.watch.standings(admin.workspace)
    figures = await market.watch.ratings(admin.workspace)
    return RatingsStatusView(
        ratings=tuple(
            UploadFigureView(
                remote=one.name,
                kind=UploadKind.RATING,
                waiting=figures.get((one.id, UploadState.WAITING), 0),
                conflict=figures.get((one.id, UploadState.CONFLICT), 0),
                dead=figures.get((one.id, UploadState.DEAD), 0),
            )
            for one in standings
        ),
        sent_at={one.name: one.sent_at for one in standings},
    )


@router.get("/uploads")
async def list_uploads(
    *,
    market: TheMarketplace,
    admin: Admin,
    remote: NamedRemote = None,
    state: Annotated[UploadState | None, Query(description="In this state alone.")] = None,
    kind: Annotated[UploadKind | None, Query(description="Of this kind alone.")] = None,
    cursor: Cursor = None,
    limit: PageSize = 100,
) -> Page[UploadView]:
    """What went up to remotes and what is to, in the order it was put there; `state=dead` is what failed for good."""
    found = await market.uploads.list(
        admin.workspace, remote=remote, kind=kind, state=state, after=key_of(cursor), limit=limit + 1
    )
    return page_of(found, limit, lambda one: upload_view(*one), key=lambda one: one[0].id)


@router.post("/uploads/retry", status_code=202)
async def retry_uploads(market: TheMarketplace, admin: Admin, remote: NamedRemote = None) -> RetriedView:
    """Try again whatever failed for good."""
    return RetriedView(retried=await market.uploads.retry_all(remote=remote, by=admin))


@router.post("/uploads/{upload_id}/retry", status_code=202)
async def retry_upload(
    market: TheMarketplace, admin: Admin, upload_id: Annotated[int, Path(ge=1, le=MAX_KEY)]
) -> RetriedView:
    """Try one again."""
    revived = await market.uploads.retry(UploadId(upload_id), by=admin)
    return RetriedView(retried=(revived.id,))


# Live channels


@router.get("/live")
async def live_status(market: TheMarketplace, admin: Admin) -> Page[ChannelView]:
    """The live channel to each remote, of the process that answers."""
    return Page(items=tuple(await _channels(market, admin)), next_cursor=None)


@router.post("/live/{name}/reconnect", status_code=202)
async def reconnect_live(market: TheMarketplace, admin: Admin, name: Name) -> ChannelView:
    """Open it anew in every process within a second, also where it rests after failures."""
    await market.orders.reconnect(name, by=admin)
    return await _channel(market, admin, name)


@router.post("/live/{name}/disable")
async def disable_live(market: TheMarketplace, admin: Admin, name: Name) -> ChannelView:
    """Keep no channel; the remote is polled."""
    await market.remotes.change(admin.workspace, name, RemoteEdit(live=False), by=admin)
    return await _channel(market, admin, name)


@router.post("/live/{name}/enable")
async def enable_live(market: TheMarketplace, admin: Admin, name: Name) -> ChannelView:
    """Keep a channel."""
    await market.remotes.change(admin.workspace, name, RemoteEdit(live=True), by=admin)
    return await _channel(market, admin, name)


async def _jobs(market: Marketplace, admin: Administrator) -> Sequence[JobView]:
    return [job_view(one) for one in await market.orders.table(admin.workspace)]


async def _channels(market: Marketplace, admin: Administrator) -> Sequence[ChannelView]:
    return [channel_view(one, market.watch.channel(one)) for one in await market.watch.standings(admin.workspace)]


async def _channel(market: Marketplace, admin: Administrator, remote: str) -> ChannelView:
    (found,) = [one for one in await _channels(market, admin) if one.remote == remote]
    return found
