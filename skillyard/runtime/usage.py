"""What a workspace uses of what can be limited, counted in the database at the moment of asking."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select

from skillyard.database import Session
from skillyard.governance.decision import SkillState
from skillyard.governance.quotas import CallSpan
from skillyard.governance.tables import CallCountRow
from skillyard.ids import WorkspaceId
from skillyard.runtime.states import InvocationState
from skillyard.runtime.tables import InvocationFileRow, InvocationRow, SkillVersionRow


async def storage_in_use(session: Session, workspace: WorkspaceId) -> int:
    """Bytes of the bundles that installed versions name, each once, and of the files of calls that are kept.

    A bundle that other workspaces have too lies on disk once, and counts for each of them: what one of them pays for
    must not depend on what others have.
    """
    bundles = (
        select(SkillVersionRow.bundle_digest, SkillVersionRow.bundle_bytes)
        .where(SkillVersionRow.workspace_id == workspace, SkillVersionRow.state != SkillState.REMOVED)
        .distinct()
        .subquery()
    )
    files = select(func.sum(InvocationFileRow.size)).where(
        InvocationFileRow.workspace_id == workspace, InvocationFileRow.removed_at.is_(None)
    )
    return int(await session.scalar(select(func.sum(bundles.c.bundle_bytes))) or 0) + int(
        await session.scalar(files) or 0
    )


async def has_bundle(session: Session, workspace: WorkspaceId, digest: str) -> bool:
    """Whether an installed version of the workspace names this bundle already."""
    found = select(SkillVersionRow.id).where(
        SkillVersionRow.workspace_id == workspace,
        SkillVersionRow.bundle_digest == digest,
        SkillVersionRow.state != SkillState.REMOVED,
    )
    return await session.scalar(found.limit(1)) is not None


async def skills_in_use(session: Session, workspace: WorkspaceId) -> int:
    """Skills with a version that is not removed."""
    found = select(func.count(func.distinct(SkillVersionRow.skill_id))).where(
        SkillVersionRow.workspace_id == workspace, SkillVersionRow.state != SkillState.REMOVED
    )
    return int(await session.scalar(found) or 0)


async def open_calls(session: Session, workspace: WorkspaceId) -> int:
    """Calls that are admitted and have not ended, in all processes."""
    found = (
        select(func.count())
        .select_from(InvocationRow)
        .where(InvocationRow.workspace_id == workspace, InvocationRow.state == InvocationState.ACCEPTED)
    )
    return int(await session.scalar(found) or 0)


async def calls_recorded(session: Session, workspace: WorkspaceId, span: CallSpan, now: datetime) -> int:
    """Calls on record that were admitted in the minute or day that it is now."""
    since = span.start(span.number(now))
    found = (
        select(func.count())
        .select_from(InvocationRow)
        .where(InvocationRow.workspace_id == workspace, InvocationRow.started_at >= since)
    )
    return int(await session.scalar(found) or 0)


async def calls_counted(session: Session, workspace: WorkspaceId, span: CallSpan, now: datetime) -> int:
    """What the quota of this span goes by; where there is none, what is on record."""
    row = await session.get(CallCountRow, (workspace, span))
    if row is None:
        return await calls_recorded(session, workspace, span, now)
    return row.calls if row.number >= span.number(now) else 0
