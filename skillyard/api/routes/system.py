"""Whether the server is up, and who a token belongs to."""

from __future__ import annotations

from typing import assert_never

from fastapi import APIRouter

import skillyard
from skillyard.api.auth import Anyone
from skillyard.api.schemas.people import AgentView, IdentityView, PersonView
from skillyard.api.schemas.values import Health
from skillyard.governance.identity import AgentPrincipal, PersonPrincipal

public = APIRouter(tags=["system"])
router = APIRouter(tags=["system"])


@public.get("/health")
async def health() -> Health:
    """The server answers. Public; says nothing about what is installed."""
    return Health(status="ok", version=skillyard.__version__)


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
