"""Workspaces, persons and agents. Every change raises the rules epoch and is recorded, in the caller's transaction."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.database import Base
from skillyard.errors import ConflictError, InputError, NotFoundError
from skillyard.governance import audit, epoch, operators, quota_store
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import Agent, AgentState, Maturity
from skillyard.governance.identity import Actor, Person, Role, Workspace
from skillyard.governance.tables import AgentRow, PersonRow, WorkspaceRow
from skillyard.ids import AgentId, PersonId, WorkspaceId
from skillyard.json_value import JsonValue

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,62}[A-Za-z0-9])?", re.ASCII)


def require_name(name: str) -> str:
    """Names are 1 to 64 ASCII letters, digits and ``._@+-``, beginning and ending with a letter or digit.

    ASCII, so that two names that look alike are alike: approvals are decided on who somebody is.
    """
    if not _NAME.fullmatch(name):
        raise InputError("1 to 64 ASCII letters, digits and ._@+-, with a letter or digit at both ends", field="name")
    return name


async def create_workspace(session: AsyncSession, name: str, *, by: Actor, at: datetime) -> Workspace:
    """A new tenant, and the first record of its audit chain. A taken name raises ``ConflictError``."""
    row = WorkspaceRow(name=require_name(name), created_at=at)
    await _insert(session, row, f"a workspace named {name} exists already")
    workspace = WorkspaceId(row.id)
    subject = f"workspace/{workspace}"
    await audit.open_chain(session, AuditRecord(workspace, at, by, Action.WORKSPACE_CREATED, subject, {"name": name}))
    await epoch.bump(session)
    return Workspace(workspace, name)


async def workspace_by_name(session: AsyncSession, name: str) -> Workspace:
    row = await session.scalar(select(WorkspaceRow).where(WorkspaceRow.name == name))
    if row is None:
        raise NotFoundError(f"no workspace is named {name}")
    return Workspace(WorkspaceId(row.id), row.name)


async def workspaces(session: AsyncSession) -> tuple[Workspace, ...]:
    rows = await session.scalars(select(WorkspaceRow).order_by(WorkspaceRow.id))
    return tuple(Workspace(WorkspaceId(row.id), row.name) for row in rows)


async def add_person(
    session: AsyncSession, workspace: WorkspaceId, name: str, role: Role, *, by: Actor, at: datetime
) -> Person:
    """A new member. A taken name raises ``ConflictError``; an operator is added by an operator alone."""
    await operators.require_to_touch(session, role, by=by)
    await _require_workspace(session, workspace)
    row = PersonRow(workspace_id=workspace, name=require_name(name), role=role, created_at=at)
    await _insert(session, row, f"a person named {name} exists already")
    payload: dict[str, JsonValue] = {"name": name, "role": role.value}
    await _changed(session, AuditRecord(workspace, at, by, Action.PERSON_ADDED, f"person/{row.id}", payload))
    return person_value(row)


async def get_person(session: AsyncSession, workspace: WorkspaceId, person: PersonId) -> Person:
    return await _one_person(session, workspace, PersonRow.id == person, f"person {person}")


async def person_by_name(session: AsyncSession, workspace: WorkspaceId, name: str) -> Person:
    return await _one_person(session, workspace, PersonRow.name == name, f"person {name}")


async def persons(
    session: AsyncSession, workspace: WorkspaceId, *, after: int = 0, limit: int | None = None
) -> tuple[Person, ...]:
    """Everybody of a workspace in the order they were added, beginning behind ``after``; ``limit`` at most."""
    found = PersonRow.workspace_id == workspace, PersonRow.id > after
    rows = await session.scalars(select(PersonRow).where(*found).order_by(PersonRow.id).limit(limit))
    return tuple(person_value(row) for row in rows)


async def persons_by_id(
    session: AsyncSession, workspace: WorkspaceId, wanted: Collection[PersonId]
) -> dict[PersonId, Person]:
    """Those of these persons that the workspace has."""
    rows = await session.scalars(select(PersonRow).where(PersonRow.workspace_id == workspace, PersonRow.id.in_(wanted)))
    return {PersonId(row.id): person_value(row) for row in rows}


async def administrators(session: AsyncSession, workspace: WorkspaceId) -> tuple[Person, ...]:
    """Everybody who has the role for it, in the order they were added."""
    roles = [role for role in Role if role.administers]
    found = PersonRow.workspace_id == workspace, PersonRow.role.in_(roles)
    rows = await session.scalars(select(PersonRow).where(*found).order_by(PersonRow.id))
    return tuple(person_value(row) for row in rows)


async def add_agent(
    session: AsyncSession,
    workspace: WorkspaceId,
    name: str,
    *,
    owner: PersonId,
    maturity: Maturity,
    by: Actor,
    at: datetime,
) -> Agent:
    """A new caller, active. Its owner is a person of the same workspace; a taken name raises ``ConflictError``.

    Raises ``QuotaExceededError`` where the workspace may have no more.
    """
    await get_person(session, workspace, owner)
    await quota_store.require_agent(session, workspace)
    row = AgentRow(
        workspace_id=workspace,
        name=require_name(name),
        owner_id=owner,
        maturity=maturity,
        state=AgentState.ACTIVE,
        created_at=at,
    )
    await _insert(session, row, f"an agent named {name} exists already")
    payload: dict[str, JsonValue] = {"name": name, "owner": owner, "maturity": maturity.name}
    await _changed(session, AuditRecord(workspace, at, by, Action.AGENT_ADDED, f"agent/{row.id}", payload))
    return agent_value(row)


async def get_agent(session: AsyncSession, workspace: WorkspaceId, agent: AgentId) -> Agent:
    return await _one_agent(session, workspace, AgentRow.id == agent, f"agent {agent}")


async def agent_by_name(session: AsyncSession, workspace: WorkspaceId, name: str) -> Agent:
    return await _one_agent(session, workspace, AgentRow.name == name, f"agent {name}")


async def agents(
    session: AsyncSession, workspace: WorkspaceId, *, after: int = 0, limit: int | None = None
) -> tuple[Agent, ...]:
    """Every agent, suspended ones included, in the order they were added, beginning behind ``after``."""
    found = AgentRow.workspace_id == workspace, AgentRow.id > after
    rows = await session.scalars(select(AgentRow).where(*found).order_by(AgentRow.id).limit(limit))
    return tuple(agent_value(row) for row in rows)


async def suspend(
    session: AsyncSession,
    workspace: WorkspaceId,
    agent: AgentId,
    *,
    reason: str,
    by: Actor,
    at: datetime,
    facts: Mapping[str, JsonValue] = MappingProxyType({}),
) -> Agent:
    """Stops an agent from being admitted. Suspending a suspended agent changes and records nothing."""
    return await _set_state(session, workspace, agent, AgentState.SUSPENDED, reason=reason, by=by, at=at, facts=facts)


async def resume(
    session: AsyncSession, workspace: WorkspaceId, agent: AgentId, *, reason: str, by: Actor, at: datetime
) -> Agent:
    """Ends a suspension. Resuming an active agent changes and records nothing."""
    return await _set_state(session, workspace, agent, AgentState.ACTIVE, reason=reason, by=by, at=at)


async def _set_state(
    session: AsyncSession,
    workspace: WorkspaceId,
    agent: AgentId,
    state: AgentState,
    *,
    reason: str,
    by: Actor,
    at: datetime,
    facts: Mapping[str, JsonValue] = MappingProxyType({}),
) -> Agent:
    if not reason.strip() or len(reason) > 1000:
        raise InputError("a reason of 1 to 1000 characters is needed", field="reason")
    before = await get_agent(session, workspace, agent)
    if before.state is state:
        return before
    await _update_agent(session, workspace, agent, state=state)
    action = Action.AGENT_SUSPENDED if state is AgentState.SUSPENDED else Action.AGENT_RESUMED
    await _changed(session, AuditRecord(workspace, at, by, action, f"agent/{agent}", {"reason": reason, **facts}))
    return replace(before, state=state)


async def _require_workspace(session: AsyncSession, workspace: WorkspaceId) -> None:
    if await session.get(WorkspaceRow, workspace) is None:
        raise NotFoundError(f"workspace {workspace} does not exist")


async def _one_person(session: AsyncSession, workspace: WorkspaceId, which: ColumnElement[bool], named: str) -> Person:
    row = await session.scalar(select(PersonRow).where(PersonRow.workspace_id == workspace, which))
    if row is None:
        raise NotFoundError(f"{named} does not exist")
    return person_value(row)


async def _one_agent(session: AsyncSession, workspace: WorkspaceId, which: ColumnElement[bool], named: str) -> Agent:
    row = await session.scalar(select(AgentRow).where(AgentRow.workspace_id == workspace, which))
    if row is None:
        raise NotFoundError(f"{named} does not exist")
    return agent_value(row)


def person_value(row: PersonRow) -> Person:
    return Person(PersonId(row.id), WorkspaceId(row.workspace_id), row.name, row.role)


def agent_value(row: AgentRow) -> Agent:
    workspace, owner = WorkspaceId(row.workspace_id), PersonId(row.owner_id)
    return Agent(AgentId(row.id), workspace, row.name, owner, row.maturity, row.state)


async def _update_agent(session: AsyncSession, workspace: WorkspaceId, agent: AgentId, **values: AgentState) -> None:
    found = AgentRow.workspace_id == workspace, AgentRow.id == agent
    await session.execute(update(AgentRow).where(*found).values(**values))


async def _changed(session: AsyncSession, record: AuditRecord) -> None:
    await audit.append(session, record)
    await epoch.bump(session)


async def _insert(session: AsyncSession, row: Base, conflict: str) -> None:
    # The references were checked before, so what an integrity error is left to say is that the name is taken.
    try:
        async with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise ConflictError(conflict) from error
