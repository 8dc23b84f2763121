"""Requests that end without a decision, and approvals that are about to run out: what time and removals do.

The clock decides by itself (``ApprovalRequest.state_at``); this writes down what it decided, and tells whom it
concerns. Every function works in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Select, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.governance import approval_store, outbox
from skillyard.governance.audit import Action
from skillyard.governance.decision import ApprovalState
from skillyard.governance.identity import SYSTEM, Actor
from skillyard.governance.tables import ApprovalRequestRow
from skillyard.governance.webhook import WebhookEvent
from skillyard.ids import ApprovalId, SkillVersionId, WorkspaceId

_BATCH = 100


async def withdraw(
    session: AsyncSession,
    workspace: WorkspaceId,
    versions: Collection[SkillVersionId],
    *,
    by: Actor,
    reason: str,
    at: datetime,
) -> int:
    """Ends the requests that wait for something about versions that are there no more; returns how many."""
    row = ApprovalRequestRow
    query = select(row).where(
        row.workspace_id == workspace, row.state == ApprovalState.PENDING, row.skill_version_id.in_(versions)
    )
    waiting = (await session.scalars(query.order_by(row.id).with_for_update())).all()
    for one in waiting:
        await _end(session, one, ApprovalState.WITHDRAWN, Action.APPROVAL_WITHDRAWN, by=by, why=reason, at=at)
    return len(waiting)


async def expire(session: AsyncSession, *, open_for: timedelta, at: datetime) -> int:
    """Ends requests of every workspace that nobody decided in time, some at once; returns how many."""
    row = ApprovalRequestRow
    query = select(row).where(row.state == ApprovalState.PENDING, row.created_at <= at - open_for)
    late = (await session.scalars(_some(query))).all()
    for one in late:
        why = "Nobody decided in time."
        await _end(session, one, ApprovalState.EXPIRED, Action.APPROVAL_EXPIRED, by=SYSTEM, why=why, at=at)
    return len(late)


async def announce_expiring(session: AsyncSession, *, notice: timedelta, at: datetime) -> int:
    """Tells, once each, of approvals that run out within the notice; of every workspace, some at once."""
    row = ApprovalRequestRow
    query = select(row).where(
        row.state == ApprovalState.APPROVED,
        row.approved_until > at,
        row.approved_until <= at + notice,
        row.expiry_announced_at.is_(None),
    )
    ending = (await session.scalars(_some(query))).all()
    for one in ending:
        request = approval_store.value(one)
        event = WebhookEvent.APPROVAL_EXPIRING
        await outbox.announce(session, request.workspace, event, approval_store.describe(request), at=at)
    ids = [one.id for one in ending]
    await session.execute(update(row).where(row.id.in_(ids)).values(expiry_announced_at=at))
    return len(ending)


def _some(query: Select[ApprovalRequestRow]) -> Select[ApprovalRequestRow]:
    """A bounded number of rows that no other process has in hand, in one order for everybody."""
    row = ApprovalRequestRow
    return query.order_by(row.workspace_id, row.id).limit(_BATCH).with_for_update(skip_locked=True)


async def _end(
    session: AsyncSession,
    row: ApprovalRequestRow,
    state: ApprovalState,
    action: Action,
    *,
    by: Actor,
    why: str,
    at: datetime,
) -> None:
    workspace, approval = WorkspaceId(row.workspace_id), ApprovalId(row.id)
    given = {"state": state, "decided_at": at, "comment": why}
    if await approval_store.move(session, workspace, approval, out_of=ApprovalState.PENDING, **given):
        ended = await approval_store.get(session, workspace, approval)
        await approval_store.record(session, ended, by, action, at=at)
