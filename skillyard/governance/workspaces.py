"""Workspaces as operators manage them: added with a first admin, suspended, resumed. Nothing deletes one.

Every change is recorded twice: in the chain of the workspace, for its own admins, and in that of the operator's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import ConflictError, InputError, NotFoundError
from skillyard.governance import audit, epoch, people, tokens
from skillyard.governance.administrators import Administrator, require_operator
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.errors import WorkspaceSuspendedError
from skillyard.governance.identity import Person, Role, Workspace, WorkspaceState
from skillyard.governance.tables import WorkspaceRow
from skillyard.ids import WorkspaceId
from skillyard.json_value import JsonValue


@dataclass(frozen=True, slots=True)
class Founded:
    """A new workspace with its first admin. ``token`` is that admin's, shown this once and kept nowhere."""

    workspace: Workspace
    admin: Person
    token: str


async def get(session: AsyncSession, workspace: WorkspaceId) -> Workspace:
    """Raises ``NotFoundError``."""
    row = await session.get(WorkspaceRow, workspace)
    if row is None:
        raise NotFoundError(f"workspace {workspace} does not exist")
    return _value(row)


async def state_of(session: AsyncSession, workspace: WorkspaceId) -> WorkspaceState | None:
    """``None`` where there is no such workspace."""
    return await session.scalar(select(WorkspaceRow.state).where(WorkspaceRow.id == workspace))


async def page(session: AsyncSession, *, after: int = 0, limit: int) -> tuple[Workspace, ...]:
    """All of the instance in the order they were added, beginning behind ``after``."""
    rows = await session.scalars(
        select(WorkspaceRow).where(WorkspaceRow.id > after).order_by(WorkspaceRow.id).limit(limit)
    )
    return tuple(_value(row) for row in rows)


async def add(session: AsyncSession, name: str, *, admin: str, by: Administrator, at: datetime) -> Founded:
    """A new tenant with its first admin and that person's token. A taken name raises ``ConflictError``."""
    await require_instance_operator(session, by)
    workspace = await people.create_workspace(session, name, by=by.actor, at=at)
    person = await people.add_person(session, workspace.id, admin, Role.ADMIN, by=by.actor, at=at)
    _, text = await tokens.issue(session, person, "first-admin", by=by.actor, at=at)
    facts: dict[str, JsonValue] = {"name": name}
    record = AuditRecord(by.workspace, at, by.actor, Action.WORKSPACE_CREATED, f"workspace/{workspace.id}", facts)
    await audit.append(session, record)
    return Founded(workspace, person, text)


async def suspend(
    session: AsyncSession, workspace: WorkspaceId, *, reason: str, by: Administrator, at: datetime
) -> Workspace:
    """From the commit on no call of the workspace is admitted. Suspending a suspended one changes nothing.

    Raises ``ConflictError`` for the operator's own: nobody may be left who could resume it.
    """
    await require_instance_operator(session, by)
    if workspace == by.workspace:
        raise ConflictError("an operator cannot suspend their own workspace: nobody might be left to resume it")
    return await _set_state(session, workspace, WorkspaceState.SUSPENDED, reason=reason, by=by, at=at)


async def resume(
    session: AsyncSession, workspace: WorkspaceId, *, reason: str, by: Administrator, at: datetime
) -> Workspace:
    """Ends a suspension. Resuming an active workspace changes nothing."""
    await require_instance_operator(session, by)
    return await _set_state(session, workspace, WorkspaceState.ACTIVE, reason=reason, by=by, at=at)


async def require_instance_operator(session: AsyncSession, by: Administrator) -> None:
    """Workspaces and their quotas are for operators whose own workspace is not suspended.

    So that of two operators of two workspaces who suspend each other's, one stays who can resume.
    """
    await require_operator(session, by)
    if await state_of(session, by.workspace) is not WorkspaceState.ACTIVE:
        raise WorkspaceSuspendedError("this workspace is suspended; an operator of another one can resume it")


async def record_both(
    session: AsyncSession,
    workspace: WorkspaceId,
    action: Action,
    facts: dict[str, JsonValue],
    *,
    by: Administrator,
    at: datetime,
) -> None:
    """What an operator did to a workspace, in its chain and in the operator's own."""
    for chain in sorted({workspace, by.workspace}):
        await audit.append(session, AuditRecord(chain, at, by.actor, action, f"workspace/{workspace}", facts))


async def _set_state(
    session: AsyncSession,
    workspace: WorkspaceId,
    state: WorkspaceState,
    *,
    reason: str,
    by: Administrator,
    at: datetime,
) -> Workspace:
    if not reason.strip() or len(reason) > 1000:
        raise InputError("a reason of 1 to 1000 characters is needed", field="reason")
    before = await get(session, workspace)
    if before.state is state:
        return before
    await session.execute(update(WorkspaceRow).where(WorkspaceRow.id == workspace).values(state=state))
    action = Action.WORKSPACE_SUSPENDED if state is WorkspaceState.SUSPENDED else Action.WORKSPACE_RESUMED
    await record_both(session, workspace, action, {"reason": reason}, by=by, at=at)
    await epoch.bump(session)
    return replace(before, state=state)


def _value(row: WorkspaceRow) -> Workspace:
    return Workspace(WorkspaceId(row.id), row.name, row.state)
