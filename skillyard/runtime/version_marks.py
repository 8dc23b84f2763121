"""Small facts about installed versions, so that looking for changes reads no lock and no report.

A mark's revision is raised by everything that writes a version's row in a way that a decision can see (``store``); its
snapshot is the newest advisory data that the report of this revision was matched against with nothing new to say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import NotFoundError
from skillyard.governance.decision import SkillState
from skillyard.governance.rematch import advanced
from skillyard.ids import SkillVersionId, WorkspaceId
from skillyard.runtime.snapshots import Snapshot, SnapshotId, snapshots
from skillyard.runtime.tables import SkillRow, SkillVersionRow, VersionMarkRow
from skillyard.runtime.values import InstalledVersion

LIVE = tuple(state for state in SkillState if state is not SkillState.REMOVED)
_AT_ONCE = 500
"""Ids in one statement; databases limit its parameters."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A version that is not removed. Without a revision nothing is known of it, and it has to be read."""

    id: SkillVersionId
    state: SkillState
    revision: int | None
    snapshot: Snapshot | None


async def rewritten(session: AsyncSession, workspace: WorkspaceId, version: SkillVersionId) -> None:
    """The version's row was written: what was kept of it is out of date, and no data was matched against it yet."""
    row = VersionMarkRow
    raised = await session.execute(
        update(row)
        .where(row.skill_version_id == version)
        .values(revision=row.revision + 1, snapshot_id=None)
        .returning(row.revision)
        .execution_options(synchronize_session=False)
    )
    if raised.first() is None:
        session.add(row(skill_version_id=version, workspace_id=workspace, revision=1, snapshot_id=None))
        await session.flush()


async def live_marks(session: AsyncSession, workspace: WorkspaceId) -> tuple[Mark, ...]:
    """Every version of a workspace that is not removed, by id. Two queries that indexes answer (``version_marks``)."""
    versions = await session.execute(
        select(SkillVersionRow.id, SkillVersionRow.state)
        .where(SkillVersionRow.workspace_id == workspace, SkillVersionRow.state.in_(LIVE))
        .order_by(SkillVersionRow.id)
    )
    row = VersionMarkRow
    marks = {
        id_: (revision, snapshot)
        for id_, revision, snapshot in await session.execute(
            select(row.skill_version_id, row.revision, row.snapshot_id).where(row.workspace_id == workspace)
        )
    }
    wanted = {SnapshotId(snapshot) for _, snapshot in marks.values() if snapshot is not None}
    known: Mapping[SnapshotId, Snapshot] = await snapshots(session, wanted) if wanted else {}
    found = []
    for id_, state in versions:
        revision, snapshot = marks.get(id_, (None, None))
        found.append(
            Mark(SkillVersionId(id_), state, revision, None if snapshot is None else known.get(SnapshotId(snapshot)))
        )
    return tuple(found)


async def in_state(
    session: AsyncSession, workspace: WorkspaceId, state: SkillState, *, after: int, limit: int
) -> tuple[SkillVersionId, ...]:
    """Versions in a state by id, beginning behind ``after``."""
    row = SkillVersionRow
    found = select(row.id).where(row.workspace_id == workspace, row.state == state, row.id > after)
    return tuple(SkillVersionId(one) for one in await session.scalars(found.order_by(row.id).limit(limit)))


async def mark_of(session: AsyncSession, workspace: WorkspaceId, version: SkillVersionId) -> Mark:
    """The mark of one version that is there."""
    state = await session.scalar(
        select(SkillVersionRow.state).where(SkillVersionRow.workspace_id == workspace, SkillVersionRow.id == version)
    )
    if state is None:
        raise NotFoundError(f"there is no version {version}")
    row = VersionMarkRow
    found = (
        await session.execute(select(row.revision, row.snapshot_id).where(row.skill_version_id == version))
    ).one_or_none()
    if found is None:
        return Mark(version, state, None, None)
    revision, snapshot = found
    known = {} if snapshot is None else await snapshots(session, {SnapshotId(snapshot)})
    return Mark(version, state, revision, known.get(SnapshotId(snapshot)) if snapshot is not None else None)


def as_marked(stored: InstalledVersion, mark: Mark) -> InstalledVersion:
    """A version with the state its mark tells, and its report as of the data that it was last found to hold for."""
    report = stored.report
    if mark.snapshot is not None:
        report = advanced(report, stored.locks, mark.snapshot.data)
    return replace(stored, state=mark.state, report=report)


async def rows_of(
    session: AsyncSession, workspace: WorkspaceId, versions: Collection[SkillVersionId]
) -> tuple[tuple[SkillRow, SkillVersionRow], ...]:
    """The whole rows of some versions, by id."""
    wanted = sorted(versions)
    found: list[tuple[SkillRow, SkillVersionRow]] = []
    for begin in range(0, len(wanted), _AT_ONCE):
        rows = await session.execute(
            select(SkillRow, SkillVersionRow)
            .join(SkillVersionRow, SkillVersionRow.skill_id == SkillRow.id)
            .where(SkillRow.workspace_id == workspace, SkillVersionRow.id.in_(wanted[begin : begin + _AT_ONCE]))
            .order_by(SkillVersionRow.id)
        )
        found += [(skill, version) for skill, version in rows]
    return tuple(found)


async def pointers(session: AsyncSession, workspace: WorkspaceId) -> dict[tuple[str, str], SkillVersionId | None]:
    """Publisher and name of each skill → the version that its pointer names."""
    rows = await session.execute(
        select(SkillRow.publisher, SkillRow.name, SkillRow.active_version_id).where(SkillRow.workspace_id == workspace)
    )
    return {(publisher, name): None if active is None else SkillVersionId(active) for publisher, name, active in rows}
