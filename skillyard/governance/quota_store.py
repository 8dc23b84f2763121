"""Quotas as rows. Limits are read where they are decided on, and changed in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.governance.quotas import NO_QUOTAS, CallSpan, Quota, Quotas, require_room
from skillyard.governance.tables import AgentRow, CallCountRow, WorkspaceQuotaRow
from skillyard.ids import WorkspaceId


async def load(session: AsyncSession, workspace: WorkspaceId) -> Quotas:
    """What the workspace has of its own."""
    rows = await session.execute(
        select(WorkspaceQuotaRow.quota, WorkspaceQuotaRow.most).where(WorkspaceQuotaRow.workspace_id == workspace)
    )
    limits = {quota: most for quota, most in rows}  # noqa: C416 - rows are not pairs to ``dict``'s type
    return Quotas(limits) if limits else NO_QUOTAS


async def replace(
    session: AsyncSession, workspace: WorkspaceId, quotas: Quotas, *, counted: Mapping[CallSpan, int], at: datetime
) -> None:
    """Keep these and no others. ``counted`` is how many calls were admitted in the spans that ``at`` is in.

    The caller raises the epoch, which is what brings a change to admissions in every process.
    """
    await session.execute(delete(WorkspaceQuotaRow).where(WorkspaceQuotaRow.workspace_id == workspace))
    await session.execute(delete(CallCountRow).where(CallCountRow.workspace_id == workspace))
    session.add_all(
        WorkspaceQuotaRow(workspace_id=workspace, quota=quota, most=most, set_at=at)
        for quota, most in quotas.limits.items()
    )
    session.add_all(
        CallCountRow(workspace_id=workspace, span=span, number=span.number(at), calls=counted[span])
        for span in CallSpan
        if span.quota in quotas.limits
    )
    await session.flush()


async def agents_in_use(session: AsyncSession, workspace: WorkspaceId) -> int:
    """Suspended ones count: they can be resumed."""
    found = select(func.count()).select_from(AgentRow).where(AgentRow.workspace_id == workspace)
    return int(await session.scalar(found) or 0)


async def require_agent(session: AsyncSession, workspace: WorkspaceId) -> None:
    """Room for one agent more. Raises ``QuotaExceededError``."""
    quotas = await load(session, workspace)
    if quotas.of(Quota.AGENTS) is not None:
        require_room(quotas, Quota.AGENTS, used=await agents_in_use(session, workspace))
