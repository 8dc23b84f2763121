"""Installed skills in the database: rows in, values out. Every query names its workspace.

Functions take the caller's session and change nothing outside it; the use cases open the transactions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import NotFoundError
from skillyard.governance.decision import SkillState
from skillyard.governance.identity import Actor, ActorKind
from skillyard.governance.report import Report
from skillyard.governance.report_json import report_from_json, report_to_json
from skillyard.ids import AgentId, LockDigest, PersonId, SkillId, SkillVersionId, WorkspaceId
from skillyard.runtime import version_marks
from skillyard.runtime.stored import locks_from_json, locks_to_json, skill_from_json, skill_to_json
from skillyard.runtime.tables import AgentPinRow, PointerMoveRow, SkillRow, SkillVersionRow
from skillyard.runtime.values import InstalledVersion, Pin, SkillRef, SkillSummary, VersionSummary
from skillyard.skills.lock import Lock, closure_digest
from skillyard.skills.skill import Skill
from skillyard.times import utcnow


async def find_skill(session: AsyncSession, workspace: WorkspaceId, ref: SkillRef) -> SkillRow | None:
    """The skill's row, whatever the state of its versions."""
    return await session.scalar(
        select(SkillRow).where(
            SkillRow.workspace_id == workspace, SkillRow.publisher == ref.publisher, SkillRow.name == ref.name
        )
    )


async def find_version(session: AsyncSession, workspace: WorkspaceId, ref: SkillRef) -> SkillVersionRow | None:
    """The named version's row, or the one that the pointer names; removed versions are found too."""
    skill = await find_skill(session, workspace, ref)
    if skill is None:
        return None
    query = select(SkillVersionRow).where(SkillVersionRow.skill_id == skill.id)
    if ref.version is not None:
        return await session.scalar(query.where(SkillVersionRow.version == ref.version))
    return await session.scalar(query.where(SkillVersionRow.id == skill.active_version_id))


async def need_version(session: AsyncSession, workspace: WorkspaceId, ref: SkillRef) -> SkillVersionRow:
    """As ``find_version``, but a version that is absent or removed raises ``NotFoundError``."""
    row = await find_version(session, workspace, ref)
    if row is None or row.state is SkillState.REMOVED:
        raise NotFoundError(f"{ref} is not installed")
    return row


async def add_version(
    session: AsyncSession,
    *,
    workspace: WorkspaceId,
    publisher: str,
    skill: Skill,
    locks: tuple[Lock, ...],
    report: Report,
    state: SkillState,
    origin: str,
    commit: str | None,
    actor: Actor,
) -> tuple[SkillRow, SkillVersionRow]:
    """A new row for a version that is not stored yet, and its skill's row, which is made where it is new."""
    parent = await find_skill(session, workspace, SkillRef(publisher, skill.name))
    if parent is None:
        parent = SkillRow(workspace_id=workspace, publisher=publisher, name=skill.name, created_at=utcnow())
        session.add(parent)
        await session.flush()
    row = SkillVersionRow(
        workspace_id=workspace,
        skill_id=parent.id,
        version=skill.version,
        bundle_digest=skill.bundle.digest,
        bundle_bytes=skill.bundle.size,
        lock_digest=closure_digest(locks),
        lock_json=locks_to_json(locks),
        report_json=report_to_json(report).decode(),
        skill_json=skill_to_json(skill),
        state=state,
        origin=origin,
        origin_commit=commit,
        installed_by_id=actor.id if actor.kind is ActorKind.PERSON else None,
        installed_at=utcnow(),
    )
    session.add(row)
    await session.flush()
    await version_marks.rewritten(session, workspace, SkillVersionId(row.id))
    return parent, row


async def revive(
    session: AsyncSession,
    row: SkillVersionRow,
    *,
    skill: Skill,
    locks: tuple[Lock, ...],
    report: Report,
    state: SkillState,
    origin: str,
    commit: str | None,
    actor: Actor,
) -> None:
    """Install a removed version again: its content is the same by digest, everything found out about it is of today."""
    row.skill_json = skill_to_json(skill)
    row.lock_json = locks_to_json(locks)
    row.lock_digest = closure_digest(locks)
    row.report_json = report_to_json(report).decode()
    row.state = state
    row.origin, row.origin_commit = origin, commit
    row.installed_by_id = actor.id if actor.kind is ActorKind.PERSON else None
    row.installed_at = utcnow()
    await session.flush()
    await version_marks.rewritten(session, WorkspaceId(row.workspace_id), SkillVersionId(row.id))


async def move_pointer(session: AsyncSession, skill: SkillRow, to: SkillVersionId | None, actor: Actor) -> None:
    """Make the pointer name ``to`` and remember the move."""
    session.add(
        PointerMoveRow(
            workspace_id=skill.workspace_id,
            skill_id=skill.id,
            from_version_id=skill.active_version_id,
            to_version_id=to,
            at=utcnow(),
            actor_kind=actor.kind,
            actor_id=actor.id,
        )
    )
    skill.active_version_id = to
    await session.flush()


async def previous_version(session: AsyncSession, skill: SkillRow) -> SkillVersionRow | None:
    """The version that was active before the present one and is still installed: the newest such move decides."""
    moves = await session.scalars(
        select(PointerMoveRow.from_version_id)
        .where(PointerMoveRow.skill_id == skill.id, PointerMoveRow.from_version_id.is_not(None))
        .order_by(PointerMoveRow.id.desc())
        .limit(50)
    )
    for candidate in moves:
        row = await session.get(SkillVersionRow, candidate)
        if row is not None and row.id != skill.active_version_id and _callable(row.state):
            return row
    return None


def _callable(state: SkillState) -> bool:
    return state in (SkillState.ACTIVE, SkillState.HELD)


async def set_state(session: AsyncSession, version: SkillVersionId, state: SkillState) -> None:
    await session.execute(update(SkillVersionRow).where(SkillVersionRow.id == version).values(state=state))


async def state_of(session: AsyncSession, version: SkillVersionId, lock: LockDigest) -> SkillState | None:
    """The state of a version that still has this lock; ``None`` where it is removed or has another."""
    return await session.scalar(
        select(SkillVersionRow.state).where(
            SkillVersionRow.id == version,
            SkillVersionRow.lock_digest == lock,
            SkillVersionRow.state != SkillState.REMOVED,
        )
    )


async def set_report(session: AsyncSession, workspace: WorkspaceId, version: SkillVersionId, report: Report) -> None:
    text = report_to_json(report).decode()
    written = update(SkillVersionRow).where(SkillVersionRow.workspace_id == workspace, SkillVersionRow.id == version)
    await session.execute(written.values(report_json=text))
    await version_marks.rewritten(session, workspace, version)


@dataclass(frozen=True, slots=True)
class Reviewable:
    """A version whose state follows the approvals of its packages: ``held`` or ``active``."""

    id: SkillVersionId
    state: SkillState
    lock_digest: LockDigest


async def reviewable(session: AsyncSession, workspace: WorkspaceId) -> tuple[Reviewable, ...]:
    """Every version of a workspace that is held or active, without its content."""
    query = select(SkillVersionRow.id, SkillVersionRow.state, SkillVersionRow.lock_digest).where(
        SkillVersionRow.workspace_id == workspace,
        SkillVersionRow.state.in_((SkillState.HELD, SkillState.ACTIVE)),
    )
    rows = await session.execute(query)
    return tuple(Reviewable(SkillVersionId(id_), state, LockDigest(lock)) for id_, state, lock in rows)


async def locks_by_digest(
    session: AsyncSession, workspace: WorkspaceId, wanted: Collection[LockDigest]
) -> dict[LockDigest, tuple[Lock, ...]]:
    """The locks behind digests. Raises ``StoredValueError`` where one cannot be read."""
    query = select(SkillVersionRow.lock_digest, func.min(SkillVersionRow.lock_json)).where(
        SkillVersionRow.workspace_id == workspace, SkillVersionRow.lock_digest.in_(wanted)
    )
    rows = await session.execute(query.group_by(SkillVersionRow.lock_digest))
    return {LockDigest(digest): locks_from_json(text) for digest, text in rows}


async def newest_versions(
    session: AsyncSession, workspace: WorkspaceId, ref: SkillRef, *, limit: int
) -> tuple[SkillVersionRow, ...]:
    """The versions of one skill that were installed last, the newest first; those that were removed since included."""
    skill = await find_skill(session, workspace, ref)
    if skill is None:
        return ()
    rows = await session.scalars(
        select(SkillVersionRow)
        .where(SkillVersionRow.skill_id == skill.id)
        .order_by(SkillVersionRow.installed_at.desc(), SkillVersionRow.id.desc())
        .limit(limit)
    )
    return tuple(rows)


async def versions_of(session: AsyncSession, skill: SkillRow) -> tuple[SkillVersionRow, ...]:
    """The versions of one skill that are not removed."""
    rows = await session.scalars(
        select(SkillVersionRow)
        .where(SkillVersionRow.skill_id == skill.id, SkillVersionRow.state != SkillState.REMOVED)
        .order_by(SkillVersionRow.id)
    )
    return tuple(rows)


async def live_versions(
    session: AsyncSession, workspace: WorkspaceId | None = None
) -> tuple[tuple[SkillRow, SkillVersionRow], ...]:
    """Every version that is not removed, with its skill; of one workspace, or of all."""
    query = (
        select(SkillRow, SkillVersionRow)
        .join(SkillVersionRow, SkillVersionRow.skill_id == SkillRow.id)
        .where(SkillVersionRow.state != SkillState.REMOVED)
        .order_by(SkillRow.id, SkillVersionRow.id)
    )
    if workspace is not None:
        query = query.where(SkillRow.workspace_id == workspace)
    return tuple((skill, version) for skill, version in await session.execute(query))


@dataclass(frozen=True, slots=True)
class LiveReferences:
    """What versions that are not removed refer to, over all workspaces."""

    bundles: frozenset[str]
    locks: frozenset[str]


async def live_references(session: AsyncSession) -> LiveReferences:
    """Digests alone: quick, however large the locks are."""
    live = SkillVersionRow.state != SkillState.REMOVED
    bundles = await session.scalars(select(SkillVersionRow.bundle_digest).where(live).distinct())
    locks = await session.scalars(select(SkillVersionRow.lock_digest).where(live).distinct())
    return LiveReferences(frozenset(bundles), frozenset(locks))


async def locks_of_anybody(session: AsyncSession, wanted: Collection[str]) -> dict[str, tuple[Lock, ...]]:
    """The locks behind digests, whatever workspace they are of. Raises ``StoredValueError``."""
    found: dict[str, tuple[Lock, ...]] = {}
    for digest in wanted:
        text = await session.scalar(
            select(SkillVersionRow.lock_json).where(SkillVersionRow.lock_digest == digest).limit(1)
        )
        if text is not None:
            found[digest] = locks_from_json(text)
    return found


async def summaries(
    session: AsyncSession, workspace: WorkspaceId, *, after: int, limit: int
) -> tuple[SkillSummary, ...]:
    """Skills with a version that is not removed, in the order of their ids, beginning behind ``after``."""
    skills = (
        await session.scalars(
            select(SkillRow)
            .where(
                SkillRow.workspace_id == workspace,
                SkillRow.id > after,
                select(SkillVersionRow.id)
                .where(SkillVersionRow.skill_id == SkillRow.id, SkillVersionRow.state != SkillState.REMOVED)
                .exists(),
            )
            .order_by(SkillRow.id)
            .limit(limit)
        )
    ).all()
    rows = await session.scalars(
        select(SkillVersionRow)
        .where(
            SkillVersionRow.skill_id.in_([skill.id for skill in skills]), SkillVersionRow.state != SkillState.REMOVED
        )
        .order_by(SkillVersionRow.id)
    )
    by_skill: dict[int, list[SkillVersionRow]] = {}
    for row in rows:
        by_skill.setdefault(row.skill_id, []).append(row)
    return tuple(_summary(skill, by_skill[skill.id]) for skill in skills)


def _summary(skill: SkillRow, rows: Iterable[SkillVersionRow]) -> SkillSummary:
    versions = tuple(rows)
    shown = next((row for row in versions if row.id == skill.active_version_id), versions[-1])
    parsed = skill_from_json(shown.skill_json)
    return SkillSummary(
        id=SkillId(skill.id),
        publisher=skill.publisher,
        name=skill.name,
        description=parsed.description,
        kind=parsed.kind.value,
        active_version=next((row.version for row in versions if row.id == skill.active_version_id), None),
        versions=tuple(
            VersionSummary(
                id=SkillVersionId(row.id),
                version=row.version,
                state=row.state,
                verdict=report_from_json(row.report_json.encode()).verdict.name,
                bundle_digest=row.bundle_digest,
                lock_digest=row.lock_digest,
                installed_at=row.installed_at,
            )
            for row in versions
        ),
    )


def installed(skill: SkillRow, row: SkillVersionRow) -> InstalledVersion:
    """The row as a value, everything parsed; raises ``StoredValueError`` or ``GovernanceError`` where it cannot be."""
    return InstalledVersion(
        id=SkillVersionId(row.id),
        skill_id=SkillId(skill.id),
        workspace=WorkspaceId(row.workspace_id),
        publisher=skill.publisher,
        name=skill.name,
        version=row.version,
        state=row.state,
        skill=skill_from_json(row.skill_json),
        locks=locks_from_json(row.lock_json),
        lock_digest=LockDigest(row.lock_digest),
        report=report_from_json(row.report_json.encode()),
        origin=row.origin,
        commit=row.origin_commit,
        installed_at=row.installed_at,
    )


async def pins(session: AsyncSession, workspace: WorkspaceId) -> dict[tuple[AgentId, str, str], SkillVersionId]:
    """Every pin of a workspace: agent, publisher and name of the skill → the version."""
    query = select(AgentPinRow.agent_id, SkillRow.publisher, SkillRow.name, AgentPinRow.skill_version_id).join(
        SkillRow, SkillRow.id == AgentPinRow.skill_id
    )
    rows = await session.execute(query.where(AgentPinRow.workspace_id == workspace))
    return {(AgentId(agent), publisher, name): SkillVersionId(version) for agent, publisher, name, version in rows}


async def pins_of(session: AsyncSession, workspace: WorkspaceId, agent: AgentId) -> tuple[Pin, ...]:
    """What one agent is pinned to, in the order of the skills' names."""
    query = (
        select(SkillRow.publisher, SkillRow.name, SkillVersionRow.version, AgentPinRow.pinned_at)
        .join(SkillRow, SkillRow.id == AgentPinRow.skill_id)
        .join(SkillVersionRow, SkillVersionRow.id == AgentPinRow.skill_version_id)
        .where(AgentPinRow.workspace_id == workspace, AgentPinRow.agent_id == agent)
        .order_by(SkillRow.publisher, SkillRow.name)
    )
    rows = await session.execute(query)
    return tuple(Pin(agent, SkillRef(publisher, name, version), at) for publisher, name, version, at in rows)


async def pinned_to(session: AsyncSession, versions: Collection[SkillVersionId]) -> tuple[tuple[AgentId, int], ...]:
    """Agents that are pinned to one of these versions, each with the skill's key."""
    rows = await session.execute(
        select(AgentPinRow.agent_id, AgentPinRow.skill_id)
        .where(AgentPinRow.skill_version_id.in_(versions))
        .order_by(AgentPinRow.agent_id)
    )
    return tuple((AgentId(agent), skill) for agent, skill in rows)


async def set_pin(
    session: AsyncSession, agent: AgentId, skill: SkillRow, version: SkillVersionId, by: PersonId
) -> AgentPinRow:
    """Pin, in the place of an earlier pin of this agent to this skill."""
    await remove_pin(session, agent, SkillId(skill.id))
    row = AgentPinRow(
        agent_id=agent,
        skill_id=skill.id,
        workspace_id=skill.workspace_id,
        skill_version_id=version,
        pinned_by_id=by,
        pinned_at=utcnow(),
    )
    session.add(row)
    await session.flush()
    return row


async def remove_pin(session: AsyncSession, agent: AgentId, skill: SkillId) -> bool:
    """Whether there was one."""
    gone = await session.execute(
        delete(AgentPinRow)
        .where(AgentPinRow.agent_id == agent, AgentPinRow.skill_id == skill)
        .returning(AgentPinRow.agent_id)
    )
    return gone.first() is not None
