"""What machines ask: whether the sync goes on, and its figures."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from skillyard.api.auth import Scraper, principal_of
from skillyard.api.schemas.sync import SyncHealthView, TroubleView
from skillyard.api.state import TheMarketplace
from skillyard.governance.identity import PersonPrincipal
from skillyard.marketplace_sync.metrics.health import HealthState, SyncHealth

public = APIRouter(tags=["sync"])


@public.get("/health/sync", response_model=SyncHealthView, responses={503: {"model": SyncHealthView}})
async def sync_health(request: Request, market: TheMarketplace) -> Response:
    """Whether remotes are followed: 200 where that is so, also where something is degraded; 503 where none is.

    Public. Strangers are told the codes of the reasons; a person also what is wrong with their workspace's remotes.
    """
    found = await market.watch.health()
    person = principal_of(request.scope)
    view = SyncHealthView(
        status=found.state,
        reasons=tuple(sorted({trouble.code for trouble in found.troubles})),
        troubles=_told(found, person) if isinstance(person, PersonPrincipal) else None,
    )
    status = 503 if found.state is HealthState.UNHEALTHY else 200
    return JSONResponse(view.model_dump(mode="json", exclude_none=True), status)


@public.get("/metrics", dependencies=[Scraper], response_class=Response)
async def metrics(request: Request, market: TheMarketplace) -> Response:
    """Figures for Prometheus. Fails where the database cannot be read: no figure is an old one."""
    text, content_type = await market.watch.scrape(request.headers.get("accept", ""))
    return Response(text, media_type=content_type)


def _told(health: SyncHealth, person: PersonPrincipal) -> tuple[TroubleView, ...]:
    """Operators do not see into workspaces either."""
    return tuple(
        TroubleView(code=one.code, message=one.message, remote=one.remote_name)
        for one in health.troubles
        if one.workspace in (None, person.workspace)
    )
