"""Persons and tokens of the caller's workspace."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from skillyard.api.auth import Admin, AdminPerson, AnyPerson
from skillyard.api.paging import Cursor, PageSize, key_of, page_of
from skillyard.api.schemas.people import (
    AddPersonRequest,
    IssuedTokenView,
    IssueTokenRequest,
    PersonView,
    TokenView,
)
from skillyard.api.schemas.values import MAX_KEY, Page
from skillyard.api.state import TheRuntime
from skillyard.governance import people, tokens
from skillyard.governance.administrators import Administrator, require_admin, require_person
from skillyard.governance.decision import Agent
from skillyard.governance.identity import Person, TokenId
from skillyard.ids import AgentId, PersonId
from skillyard.times import utcnow

router = APIRouter(prefix="/v1", tags=["people"])

Key = Annotated[int, Path(ge=1, le=MAX_KEY)]


@router.get("/persons")
async def list_persons(
    runtime: TheRuntime, person: AnyPerson, cursor: Cursor = None, limit: PageSize = 100
) -> Page[PersonView]:
    """Everybody of the workspace, in the order they were added."""
    async with runtime.database.reading() as session:
        found = await people.persons(session, person.workspace, after=PersonId(key_of(cursor)), limit=limit + 1)
    return page_of(found, limit, PersonView.model_validate)


@router.post("/persons", status_code=201)
async def add_person(runtime: TheRuntime, admin: AdminPerson, body: AddPersonRequest) -> PersonView:
    """A new person, without a token: issue one next."""
    async with runtime.database.transaction() as session:
        await require_person(session, Administrator.of(admin))
        person = await people.add_person(session, admin.workspace, body.name, body.role, by=admin.actor, at=utcnow())
    return PersonView.model_validate(person)


@router.get("/tokens")
async def list_tokens(
    runtime: TheRuntime, admin: Admin, cursor: Cursor = None, limit: PageSize = 100
) -> Page[TokenView]:
    """Every token of the workspace, expired and revoked ones included, without their texts."""
    async with runtime.database.reading() as session:
        found = await tokens.tokens(session, admin.workspace, after=TokenId(key_of(cursor)), limit=limit + 1)
    return page_of(found, limit, TokenView.model_validate)


@router.post("/tokens", status_code=201)
async def issue_token(runtime: TheRuntime, admin: AdminPerson, body: IssueTokenRequest) -> IssuedTokenView:
    """A new token. Its text is in this answer and nowhere else. With the scope `admin`, an agent may act as an admin
    as long as it is AUTONOMOUS and active and its owner an admin; deciding on approvals, changing maturities and
    giving tokens stay with persons."""
    async with runtime.database.transaction() as session:
        await require_person(session, Administrator.of(admin))
        if body.person is not None:
            holder: Person | Agent = await people.get_person(session, admin.workspace, PersonId(body.person))
        else:
            holder = await people.get_agent(session, admin.workspace, AgentId(body.agent or 0))
        token, text = await tokens.issue(
            session, holder, body.name, by=admin.actor, at=utcnow(), expires_at=body.expires_at, scopes=body.scopes
        )
    return IssuedTokenView(id=token, token=text)


@router.delete("/tokens/{token_id}", status_code=204)
async def revoke_token(runtime: TheRuntime, admin: Admin, token_id: Key) -> None:
    """End a token now."""
    async with runtime.database.transaction() as session:
        await require_admin(session, admin)
        await tokens.revoke(session, admin.workspace, TokenId(token_id), by=admin.actor, at=utcnow())
