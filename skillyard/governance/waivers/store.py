"""Waivers as they are kept. Giving and revoking one raises the rules epoch and is recorded, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Row, Select, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import NotFoundError
from skillyard.governance import audit, epoch, people
from skillyard.governance.administrators import Administrator, require_admin
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.identity import Person
from skillyard.governance.report import PackageRef
from skillyard.governance.tables import PersonRow
from skillyard.governance.waivers.tables import WaiverRow
from skillyard.governance.waivers.waiver import Waiver, WaiverDraft
from skillyard.ids import PersonId, WaiverId, WorkspaceId
from skillyard.json_value import JsonValue


async def add(
    session: AsyncSession, draft: WaiverDraft, *, by: Administrator, at: datetime, owner: str | None = None
) -> Waiver:
    """A waiver of the workspace. ``owner`` is the name of the person who answers for it: whoever adds it, by default.

    Raises ``AdminRoleError``, and ``NotFoundError`` for an owner whom the workspace does not have.
    """
    admin = await require_admin(session, by)
    answers = admin if owner is None else await people.person_by_name(session, by.workspace, owner)
    row = WaiverRow(
        workspace_id=by.workspace,
        ecosystem=None if draft.package is None else draft.package.ecosystem,
        name=None if draft.package is None else draft.package.name,
        version=None if draft.package is None else draft.package.version,
        advisory=draft.advisory,
        rule=draft.rule,
        file_sha256=draft.file_sha256,
        reason=draft.reason,
        owner_id=answers.id,
        created_by_id=admin.id,
        created_at=at,
        expires_at=draft.expires_at,
    )
    session.add(row)
    await session.flush()
    waiver = _value(row, answers)
    await _changed(session, by, Action.WAIVER_ADDED, waiver, at)
    return waiver


async def revoke(session: AsyncSession, waiver: WaiverId, *, by: Administrator, at: datetime) -> Waiver:
    """End a waiver now. Raises ``NotFoundError`` where the workspace has none of that id, or it was revoked before."""
    admin = await require_admin(session, by)
    ended = update(WaiverRow).where(
        WaiverRow.id == waiver, WaiverRow.workspace_id == by.workspace, WaiverRow.revoked_at.is_(None)
    )
    changed = await session.execute(
        ended.values(revoked_at=at, revoked_by_id=admin.id).returning(WaiverRow.id),
        execution_options={"synchronize_session": False},
    )
    if changed.first() is None:
        raise NotFoundError(f"there is no waiver {waiver} that could be revoked")
    (found,) = _values(await session.execute(_of(by.workspace).where(WaiverRow.id == waiver)))
    await _changed(session, by, Action.WAIVER_REVOKED, found, at)
    return found


async def not_revoked(session: AsyncSession, workspace: WorkspaceId) -> tuple[Waiver, ...]:
    """Every waiver of a workspace that was not revoked; whether it has run out is for whoever knows the time."""
    return _values(await session.execute(_of(workspace).where(WaiverRow.revoked_at.is_(None))))


async def of_workspaces(session: AsyncSession) -> Mapping[WorkspaceId, tuple[Waiver, ...]]:
    """``not_revoked`` of every workspace that has any."""
    query = _all().where(WaiverRow.revoked_at.is_(None))
    found: dict[WorkspaceId, list[Waiver]] = {}
    for waiver in _values(await session.execute(query)):
        found.setdefault(waiver.workspace, []).append(waiver)
    return {workspace: tuple(waivers) for workspace, waivers in found.items()}


async def list_waivers(
    session: AsyncSession, workspace: WorkspaceId, *, after: int, limit: int, ended: bool, now: datetime
) -> tuple[Waiver, ...]:
    """Waivers in the order they were given, beginning behind ``after``; those that ended too, if ``ended``."""
    query = _of(workspace).where(WaiverRow.id > after)
    if not ended:
        query = query.where(WaiverRow.revoked_at.is_(None), WaiverRow.expires_at > now)
    return _values(await session.execute(query.limit(limit)))


def _of(workspace: WorkspaceId) -> Select[WaiverRow, PersonRow]:
    return _all().where(WaiverRow.workspace_id == workspace)


def _all() -> Select[WaiverRow, PersonRow]:
    owned = select(WaiverRow, PersonRow).join(PersonRow, PersonRow.id == WaiverRow.owner_id)
    return owned.order_by(WaiverRow.id)


def _values(rows: Iterable[Row[WaiverRow, PersonRow]]) -> tuple[Waiver, ...]:
    return tuple(_value(row, people.person_value(owner)) for row, owner in rows)


def _value(row: WaiverRow, owner: Person) -> Waiver:
    package = None
    if row.ecosystem is not None and row.name is not None and row.version is not None:
        package = PackageRef(row.ecosystem, row.name, row.version)
    return Waiver(
        id=WaiverId(row.id),
        workspace=WorkspaceId(row.workspace_id),
        package=package,
        advisory=row.advisory,
        rule=row.rule,
        file_sha256=row.file_sha256,
        reason=row.reason,
        owner=PersonId(row.owner_id),
        owner_name=owner.name,
        expires_at=row.expires_at,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )


async def _changed(session: AsyncSession, by: Administrator, action: Action, waiver: Waiver, at: datetime) -> None:
    facts: dict[str, JsonValue] = {
        "about": waiver.about,
        "reason": waiver.reason,
        "owner": waiver.owner,
        "expires_at": waiver.expires_at.isoformat(),
        **by.facts,
    }
    record = AuditRecord(by.workspace, at, by.actor, action, f"waiver/{waiver.id}", facts)
    await audit.append(session, record)
    await epoch.bump(session)
