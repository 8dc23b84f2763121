"""Whether the server is up, and who a token belongs to."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import assert_never

from fastapi import APIRouter

import skillyard
from skillyard.api.auth import Anyone, AnyPerson
from skillyard.api.schemas.advisories import AdvisoryHealthView
from skillyard.api.schemas.agents import AgentView
from skillyard.api.schemas.people import IdentityView, PersonView
from skillyard.api.schemas.system import PoolStatusView, StatusView
from skillyard.api.schemas.values import Health
from skillyard.api.state import Advisories, TheRuntime
from skillyard.governance.advisories.attempts import AttemptState, read_attempts
from skillyard.governance.advisories.index import IndexFile, index_path
from skillyard.governance.errors import AdvisoryIndexError
from skillyard.governance.identity import AgentPrincipal, PersonPrincipal, Role
from skillyard.settings import Settings
from skillyard.times import utcnow

public = APIRouter(tags=["system"])
router = APIRouter(prefix="/v1", tags=["system"])


@public.get("/health")
async def health() -> Health:
    """The server answers. Public; says nothing about what is installed."""
    return Health(status="ok", version=skillyard.__version__)


@router.get("/status")
async def status(person: AnyPerson, runtime: TheRuntime, index: Advisories) -> StatusView:
    """The pool of sandboxes, what happened in it since the server started, and whether the advisories can be used."""
    everywhere = runtime.pool.status() if person.person.role is Role.OPERATOR else None
    return StatusView(
        workspace=PoolStatusView.model_validate(runtime.pool.status(person.workspace)),
        instance=None if everywhere is None else PoolStatusView.model_validate(everywhere),
        advisories=await asyncio.to_thread(_advisories, index, runtime.settings),
    )


def _advisories(index: IndexFile, settings: Settings) -> AdvisoryHealthView:
    try:
        attempts = read_attempts(index_path(settings.home))
        datasets = index.current().status().datasets
    except AdvisoryIndexError:
        return AdvisoryHealthView(state="unreadable", failing=())
    oldest = utcnow() - timedelta(days=settings.advisories_max_age_days)
    stale = any(one.is_base and one.data_date < oldest for one in datasets)
    failing = tuple(one.source for one in attempts if one.state is AttemptState.FAILED)
    return AdvisoryHealthView(state="stale" if stale else "fresh", failing=failing)


@router.get("/me")
async def me(principal: Anyone) -> IdentityView:
    """Whose token this is."""
    match principal:
        case PersonPrincipal(person=person):
            view = PersonView.model_validate(person)
            return IdentityView(kind="person", workspace=person.workspace, person=view)
        case AgentPrincipal(agent=agent):
            return IdentityView(kind="agent", workspace=agent.workspace, agent=AgentView.model_validate(agent))
        case _:
            assert_never(principal)
