"""Whether the server is up, and who a token belongs to."""

from __future__ import annotations

from typing import assert_never

from fastapi import APIRouter

import skillyard
from skillyard.api.auth import Anyone, AnyPerson
from skillyard.api.schemas.agents import AgentView
from skillyard.api.schemas.people import IdentityView, PersonView
from skillyard.api.schemas.system import PoolStatusView, StatusView
from skillyard.api.schemas.values import Health
from skillyard.api.state import TheRuntime
from skillyard.governance.identity import AgentPrincipal, PersonPrincipal, Role

public = APIRouter(tags=["system"])
router = APIRouter(tags=["system"])


@public.get("/health")
async def health() -> Health:
    """The server answers. Public; says nothing about what is installed."""
    return Health(status="ok", version=skillyard.__version__)


@router.get("/status")
async def status(person: AnyPerson, runtime: TheRuntime) -> StatusView:
    """The pool of sandboxes: what it holds now, and what happened since the server started."""
    everywhere = runtime.pool.status() if person.person.role is Role.OPERATOR else None
    return StatusView(
        workspace=PoolStatusView.model_validate(runtime.pool.status(person.workspace)),
        instance=None if everywhere is None else PoolStatusView.model_validate(everywhere),
    )


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
