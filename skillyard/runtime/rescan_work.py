"""What a rescan has left to do, and what it did, in the database. Every function works in the caller's session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.governance.decision import SkillState
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.ids import LockDigest, SkillVersionId, WorkspaceId
from skillyard.runtime import version_marks
from skillyard.runtime.rescan_matching import Stored
from skillyard.runtime.snapshots import Snapshot
from skillyard.runtime.tables import SkillRow, SkillVersionRow, VersionMarkRow
from skillyard.runtime.values import SkillRef


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A version that was not matched against the data in force."""

    stored: Stored
    lock_json: str
    ref: SkillRef


async def unmatched(session: AsyncSession, snapshot: Snapshot, *, after: int, limit: int) -> tuple[Unmatched, ...]:
    """Versions of every workspace that are left to match, by id, beginning behind ``after``."""
    version, mark = SkillVersionRow, VersionMarkRow
    query = (
        select(
            *(version.id, version.workspace_id, version.version, version.lock_digest, version.lock_json),
            *(version.report_json, mark.revision, SkillRow.publisher, SkillRow.name),
        )
        .join(SkillRow, SkillRow.id == version.skill_id)
        .outerjoin(mark, mark.skill_version_id == version.id)
        .where(version.id > after, _left(snapshot))
        .order_by(version.id)
        .limit(limit)
    )
    return tuple(
        Unmatched(
            Stored(
                SkillVersionId(row.id),
                WorkspaceId(row.workspace_id),
                row.revision,
                LockDigest(row.lock_digest),
                row.report_json,
            ),
            row.lock_json,
            SkillRef(row.publisher, row.name, row.version),
        )
        for row in await session.execute(query)
    )


async def count_unmatched(session: AsyncSession, snapshot: Snapshot, *, most: int | None = None) -> int:
    """How many versions are left, counted up to ``most``."""
    left = (
        select(SkillVersionRow.id)
        .outerjoin(VersionMarkRow, VersionMarkRow.skill_version_id == SkillVersionRow.id)
        .where(_left(snapshot))
    )
    counted = (left if most is None else left.limit(most)).subquery()
    return (await session.execute(select(func.count()).select_from(counted))).scalar_one()


async def confirm(session: AsyncSession, found: Sequence[Stored], snapshot: Snapshot) -> None:
    """The data says nothing new of these versions. Those that were written since they were read are left to match."""
    marks = VersionMarkRow
    ids = [one.id for one in found]
    wanted = select(marks.skill_version_id, marks.revision).where(marks.skill_version_id.in_(ids))
    revisions = {row.skill_version_id: row.revision for row in await session.execute(wanted.with_for_update())}
    for one in found:
        if one.revision is None and one.id not in revisions:
            # Of a row that nothing of ours wrote: it gets the mark that it lacks.
            await version_marks.rewritten(session, one.workspace, one.id)
            revisions[one.id] = -1
    same = [one.id for one in found if revisions.get(one.id) in (one.revision, -1)]
    await confirm_ids(session, same, snapshot)


async def confirm_ids(session: AsyncSession, versions: Iterable[SkillVersionId], snapshot: Snapshot) -> None:
    """The reports of these versions, as this transaction sees them, say all that the data says."""
    marks = VersionMarkRow
    await session.execute(
        update(marks)
        .where(marks.skill_version_id.in_(list(versions)))
        .values(snapshot_id=snapshot.id)
        .execution_options(synchronize_session=False)
    )


async def ask_anew(session: AsyncSession, policy: ScanPolicy) -> None:
    """Leave those versions to match whose scanners were not asked what the policy asks of them: they are scanned again.

    Reads every report that is kept, so it is for the start of a process, which is when a policy changes.
    """
    report = SkillVersionRow.report_json
    told = report.like(f'%"asked":"{policy.asked}"%')
    lacking = ~told & report.like('%"asked":"sha256:%') if policy.asks_nothing else ~told
    versions = select(SkillVersionRow.id).where(SkillVersionRow.state.in_(version_marks.LIVE), lacking)
    await session.execute(
        update(VersionMarkRow)
        .where(VersionMarkRow.skill_version_id.in_(versions))
        .values(snapshot_id=None)
        .execution_options(synchronize_session=False)
    )


async def state_if_same(session: AsyncSession, stored: Stored) -> SkillState | None:
    """The version's state, where its row is as it was read and it is not removed."""
    version, mark = SkillVersionRow, VersionMarkRow
    row = (
        await session.execute(
            select(version.state, mark.revision)
            .outerjoin(mark, mark.skill_version_id == version.id)
            .where(
                version.workspace_id == stored.workspace,
                version.id == stored.id,
                version.lock_digest == stored.lock_digest,
                version.state.in_(version_marks.LIVE),
            )
        )
    ).one_or_none()
    return None if row is None or row.revision != stored.revision else row.state


async def workspaces(session: AsyncSession) -> tuple[WorkspaceId, ...]:
    """Those that have versions installed, or had."""
    return tuple(WorkspaceId(one) for one in await session.scalars(select(VersionMarkRow.workspace_id).distinct()))


def _left(snapshot: Snapshot) -> ColumnElement[bool]:
    matched = VersionMarkRow.snapshot_id
    return SkillVersionRow.state.in_(version_marks.LIVE) & or_(matched.is_(None), matched < snapshot.id)
