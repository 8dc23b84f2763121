"""Persons, agents and tokens of the caller's workspace."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from skillyard.api.auth import Admin, AnyPerson
from skillyard.api.paging import Cursor, PageSize, cut, key_of
from skillyard.api.schemas.people import (
    AddAgentRequest,
    AddPersonRequest,
    AgentView,
    IssuedTokenView,
    IssueTokenRequest,
    PersonView,
    ReasonRequest,
    SetMaturityRequest,
    TokenView,
)
from skillyard.api.schemas.values import MAX_KEY, Page
from skillyard.api.state import TheRuntime
from skillyard.database import utcnow
from skillyard.governance import people, tokens
from skillyard.governance.decision import Agent, Maturity
from skillyard.governance.identity import Person, TokenId
from skillyard.ids import AgentId, PersonId

router = APIRouter(tags=["people"])

Key = Annotated[int, Path(ge=1, le=MAX_KEY)]


@router.get("/persons")
async def list_persons(
    runtime: TheRuntime, person: AnyPerson, cursor: Cursor = None, limit: PageSize = 100
) -> Page[PersonView]:
    """Everybody of the workspace, in the order they were added."""
    async with runtime.database.reading() as session:
        found = await people.persons(session, person.workspace, after=PersonId(key_of(cursor)), limit=limit + 1)
    page, last = cut(found, limit)
    items = tuple(PersonView.model_validate(item) for item in page)
    return Page(items=items, next_cursor=None if last is None else str(last.id))


@router.post("/persons", status_code=201)
async def add_person(runtime: TheRuntime, admin: Admin, body: AddPersonRequest) -> PersonView:
    """A new person, without a token: issue one next."""
    async with runtime.database.transaction() as session:
        person = await people.add_person(session, admin.workspace, body.name, body.role, by=admin.actor, at=utcnow())
    return PersonView.model_validate(person)


@router.get("/agents")
async def list_agents(
    runtime: TheRuntime, person: AnyPerson, cursor: Cursor = None, limit: PageSize = 100
) -> Page[AgentView]:
    """Every agent of the workspace, suspended ones included, in the order they were added."""
    async with runtime.database.reading() as session:
        found = await people.agents(session, person.workspace, after=AgentId(key_of(cursor)), limit=limit + 1)
    page, last = cut(found, limit)
    items = tuple(AgentView.model_validate(item) for item in page)
    return Page(items=items, next_cursor=None if last is None else str(last.id))


@router.post("/agents", status_code=201)
async def add_agent(runtime: TheRuntime, admin: Admin, body: AddAgentRequest) -> AgentView:
    """A new agent, active, without a token: issue one next."""
    async with runtime.database.transaction() as session:
        agent = await people.add_agent(
            session,
            admin.workspace,
            body.name,
            owner=admin.person.id if body.owner is None else PersonId(body.owner),
            maturity=Maturity[body.maturity],
            by=admin.actor,
            at=utcnow(),
        )
    return AgentView.model_validate(agent)


@router.get("/agents/{agent_id}")
async def get_agent(runtime: TheRuntime, person: AnyPerson, agent_id: Key) -> AgentView:
    async with runtime.database.reading() as session:
        return AgentView.model_validate(await people.get_agent(session, person.workspace, AgentId(agent_id)))


@router.put("/agents/{agent_id}/maturity")
async def set_maturity(runtime: TheRuntime, admin: Admin, agent_id: Key, body: SetMaturityRequest) -> AgentView:
    """Trust an agent more or less, from the next call on."""
    maturity = Maturity[body.maturity]
    async with runtime.database.transaction() as session:
        agent = await people.set_maturity(
            session, admin.workspace, AgentId(agent_id), maturity, by=admin.actor, at=utcnow()
        )
    return AgentView.model_validate(agent)


@router.post("/agents/{agent_id}/suspend")
async def suspend_agent(runtime: TheRuntime, admin: Admin, agent_id: Key, body: ReasonRequest) -> AgentView:
    """No call of this agent is admitted any more."""
    async with runtime.database.transaction() as session:
        agent = await people.suspend(
            session, admin.workspace, AgentId(agent_id), reason=body.reason, by=admin.actor, at=utcnow()
        )
    return AgentView.model_validate(agent)


@router.post("/agents/{agent_id}/resume")
async def resume_agent(runtime: TheRuntime, admin: Admin, agent_id: Key, body: ReasonRequest) -> AgentView:
    """End a suspension."""
    async with runtime.database.transaction() as session:
        agent = await people.resume(
            session, admin.workspace, AgentId(agent_id), reason=body.reason, by=admin.actor, at=utcnow()
        )
    return AgentView.model_validate(agent)


@router.get("/tokens")
async def list_tokens(
    runtime: TheRuntime, admin: Admin, cursor: Cursor = None, limit: PageSize = 100
) -> Page[TokenView]:
    """Every token of the workspace, expired and revoked ones included, without their texts."""
    async with runtime.database.reading() as session:
        found = await tokens.tokens(session, admin.workspace, after=TokenId(key_of(cursor)), limit=limit + 1)
    page, last = cut(found, limit)
    items = tuple(TokenView.model_validate(item) for item in page)
    return Page(items=items, next_cursor=None if last is None else str(last.id))


@router.post("/tokens", status_code=201)
async def issue_token(runtime: TheRuntime, admin: Admin, body: IssueTokenRequest) -> IssuedTokenView:
    """A new token. Its text is in this answer and nowhere else."""
    async with runtime.database.transaction() as session:
        if body.person is not None:
            holder: Person | Agent = await people.get_person(session, admin.workspace, PersonId(body.person))
        else:
            holder = await people.get_agent(session, admin.workspace, AgentId(body.agent or 0))
        token, text = await tokens.issue(
            session, holder, body.name, by=admin.actor, at=utcnow(), expires_at=body.expires_at
        )
    return IssuedTokenView(id=token, token=text)


@router.delete("/tokens/{token_id}", status_code=204)
async def revoke_token(runtime: TheRuntime, admin: Admin, token_id: Key) -> None:
    """End a token now."""
    async with runtime.database.transaction() as session:
        await tokens.revoke(session, admin.workspace, TokenId(token_id), by=admin.actor, at=utcnow())
