"""Agents of the caller's workspace: added, trusted more or less on evidence, suspended."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from skillyard.api.auth import Admin, AdminPerson, AnyPerson
from skillyard.api.paging import Cursor, PageSize, key_of, page_of
from skillyard.api.schemas.agents import (
    AddAgentRequest,
    AgentView,
    EvidenceView,
    MaturityChangeView,
    ReasonRequest,
    SetMaturityRequest,
)
from skillyard.api.schemas.values import MAX_KEY, Page
from skillyard.api.state import TheRuntime
from skillyard.governance import maturity, people
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Maturity
from skillyard.ids import AgentId, PersonId
from skillyard.runtime.agents import EVIDENCE_DAYS, MAX_EVIDENCE_DAYS

router = APIRouter(prefix="/v1/agents", tags=["people"])

Key = Annotated[int, Path(ge=1, le=MAX_KEY)]
Days = Annotated[float, Query(gt=0, le=MAX_EVIDENCE_DAYS, description="How far back to count.")]


@router.get("")
async def list_agents(
    runtime: TheRuntime, person: AnyPerson, cursor: Cursor = None, limit: PageSize = 100
) -> Page[AgentView]:
    """Every agent of the workspace, suspended ones included, in the order they were added."""
    async with runtime.database.reading() as session:
        found = await people.agents(session, person.workspace, after=AgentId(key_of(cursor)), limit=limit + 1)
    return page_of(found, limit, AgentView.model_validate)


@router.post("", status_code=201)
async def add_agent(runtime: TheRuntime, admin: Admin, body: AddAgentRequest) -> AgentView:
    """A new agent, active, without a token: issue one next. An agent may add STUDENTs alone."""
    owner = None if body.owner is None else PersonId(body.owner)
    agent = await runtime.agents.add(body.name, owner=owner, maturity=Maturity[body.maturity], by=admin)
    return AgentView.model_validate(agent)


@router.get("/{agent_id}")
async def get_agent(runtime: TheRuntime, person: AnyPerson, agent_id: Key) -> AgentView:
    async with runtime.database.reading() as session:
        return AgentView.model_validate(await people.get_agent(session, person.workspace, AgentId(agent_id)))


@router.get("/{agent_id}/evidence")
async def evidence(runtime: TheRuntime, person: AnyPerson, agent_id: Key, days: Days = EVIDENCE_DAYS) -> EvidenceView:
    """What the records say of its calls: how many, how they ended, how long they took, what was refused."""
    return EvidenceView.of(await runtime.agents.evidence(person.workspace, AgentId(agent_id), days=days))


@router.put("/{agent_id}/maturity")
async def set_maturity(runtime: TheRuntime, admin: AdminPerson, agent_id: Key, body: SetMaturityRequest) -> AgentView:
    """Promote or demote, from the next call on. The evidence of the last 30 days is kept with it."""
    agent = await runtime.agents.change_maturity(
        AgentId(agent_id),
        Maturity[body.maturity],
        by=Administrator.of(admin),
        reason=body.reason,
        force=body.force,
    )
    return AgentView.model_validate(agent)


@router.get("/{agent_id}/maturity-changes")
async def maturity_changes(
    runtime: TheRuntime, person: AnyPerson, agent_id: Key, cursor: Cursor = None, limit: PageSize = 100
) -> Page[MaturityChangeView]:
    """Its promotions and demotions, newest first, each with the evidence as it was then."""
    before = None if cursor is None else key_of(cursor)
    async with runtime.database.reading() as session:
        found = await maturity.changes(session, person.workspace, AgentId(agent_id), before=before, limit=limit + 1)
    return page_of(found, limit, MaturityChangeView.of)


@router.post("/{agent_id}/suspend")
async def suspend_agent(runtime: TheRuntime, admin: Admin, agent_id: Key, body: ReasonRequest) -> AgentView:
    """No call of this agent is admitted any more, and those that run are stopped."""
    return AgentView.model_validate(await runtime.agents.suspend(AgentId(agent_id), by=admin, reason=body.reason))


@router.post("/{agent_id}/resume")
async def resume_agent(runtime: TheRuntime, admin: AdminPerson, agent_id: Key, body: ReasonRequest) -> AgentView:
    """End a suspension."""
    agent = await runtime.agents.resume(AgentId(agent_id), by=Administrator.of(admin), reason=body.reason)
    return AgentView.model_validate(agent)
