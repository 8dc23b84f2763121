"""Bundles that must not run because a marketplace said so, and what that does to versions that are installed.

A stop outlives the versions it stopped: what was removed is not installed again, and no quarantine is lifted, while the
marketplace that said it has not taken it back. A person here may be stricter than it, and nobody looser. Every function
works in the caller's transaction, which raises the rules epoch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.governance import approval_lapses, audit, outbox
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import SkillState
from skillyard.governance.identity import Actor
from skillyard.governance.webhook import WebhookEvent
from skillyard.ids import BundleDigest, SkillVersionId, WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.runtime import store
from skillyard.runtime.tables import BundleStopRow, SkillRow, SkillVersionRow
from skillyard.runtime.values import SkillRef

_AT_ONCE = 500
_STRENGTH = {SkillState.HELD: 0, SkillState.ACTIVE: 0, SkillState.QUARANTINED: 1, SkillState.REVOKED: 2}
_ACTIONS = {SkillState.QUARANTINED: Action.SKILL_QUARANTINED, SkillState.REVOKED: Action.SKILL_REVOKED}


@dataclass(frozen=True, slots=True)
class BundleStop:
    """Somebody's word that a bundle must not run. ``state`` is ``quarantined`` or ``revoked``."""

    source: str
    state: SkillState
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StoppedVersion:
    """An installed version that a stop took out of use."""

    workspace: WorkspaceId
    version: SkillVersionId
    ref: SkillRef
    state: SkillState
    reason: str


async def stop(
    session: AsyncSession,
    workspace: WorkspaceId | None,
    bundles: Collection[BundleDigest],
    *,
    source: str,
    key: str = "",
    state: SkillState,
    reason: str,
    by: Actor,
    at: datetime,
) -> tuple[StoppedVersion, ...]:
    """Note that these must not run, and take what is installed of them out of use; ``None`` means in all workspaces.

    ``key`` is what the source said it about, where it takes its words back one by one. Saying it again changes nothing
    but state and reason. Returns the versions whose state changed.
    """
    if state not in _ACTIONS:
        raise ValueError(f"a bundle is not stopped by {state.value}")
    said = BundleStopRow
    for some in _in_parts(bundles):
        again = and_(_said_in(workspace), said.source == source, said.key == key, said.bundle_digest.in_(some))
        await session.execute(delete(said).where(again))
    values = {"workspace_id": workspace, "source": source, "key": key, "state": state, "reason": reason, "at": at}
    if bundles:
        await session.execute(insert(said), [{"bundle_digest": bundle, **values} for bundle in sorted(set(bundles))])
    stopped = []
    for skill, row in await _weaker(session, workspace, bundles, state):
        one = StoppedVersion(
            WorkspaceId(row.workspace_id),
            SkillVersionId(row.id),
            SkillRef(skill.publisher, skill.name, row.version),
            state,
            reason,
        )
        await _take_out_of_use(session, one, bundle=row.bundle_digest, source=source, by=by, at=at)
        stopped.append(one)
    return tuple(stopped)


async def withdraw(
    session: AsyncSession, workspace: WorkspaceId | None, bundles: Collection[BundleDigest], *, source: str
) -> None:
    """Take back what a source said of these. Versions stay as they are: people look at them, and lift or install."""
    row = BundleStopRow
    for some in _in_parts(bundles):
        here = and_(_said_in(workspace), row.source == source, row.bundle_digest.in_(some))
        await session.execute(delete(row).where(here))


async def withdraw_word(session: AsyncSession, workspace: WorkspaceId, *, source: str, key: str) -> None:
    """Take back what a source said of a key, whichever bundles that was about; what it said of another key stands, also
    where it is about the same bundle."""
    row = BundleStopRow
    await session.execute(delete(row).where(_said_in(workspace), row.source == source, row.key == key))


async def forget_source(session: AsyncSession, workspace: WorkspaceId, *, source: str) -> int:
    """Nobody is there any more who could take back what a source said; how many stops that were."""
    row = BundleStopRow
    here = and_(_said_in(workspace), row.source == source)
    said = await session.scalar(select(func.count()).select_from(row).where(here))
    await session.execute(delete(row).where(here))
    return said or 0


async def standing(session: AsyncSession, workspace: WorkspaceId, bundle: str) -> BundleStop | None:
    """The strictest stop that counts for a bundle in a workspace."""
    row = BundleStopRow
    rows = await session.scalars(
        select(row).where(row.bundle_digest == bundle, or_(row.workspace_id.is_(None), row.workspace_id == workspace))
    )
    found = [BundleStop(one.source, one.state, one.reason, one.at) for one in rows]
    return max(found, key=lambda one: (_STRENGTH[one.state], one.at), default=None)


def _said_in(workspace: WorkspaceId | None) -> ColumnElement[bool]:
    row = BundleStopRow
    return row.workspace_id.is_(None) if workspace is None else row.workspace_id == workspace


async def reasons(session: AsyncSession, workspace: WorkspaceId) -> Mapping[SkillVersionId, str]:
    """Why installed versions of a workspace that are out of use are so, where a marketplace says so: the strictest
    word of each."""
    row, version = BundleStopRow, SkillVersionRow
    query = (
        select(version.id, row.reason, row.state, row.at)
        .join(row, row.bundle_digest == version.bundle_digest)
        .where(
            version.workspace_id == workspace,
            version.state.in_(_ACTIONS),
            or_(row.workspace_id.is_(None), row.workspace_id == workspace),
        )
    )
    rows = sorted(await session.execute(query), key=lambda one: (_STRENGTH[one.state], one.at))
    return {SkillVersionId(one.id): one.reason for one in rows}


async def _weaker(
    session: AsyncSession, workspace: WorkspaceId | None, bundles: Collection[BundleDigest], state: SkillState
) -> list[tuple[SkillRow, SkillVersionRow]]:
    """Installed versions of these bundles that may do more than ``state`` lets them."""
    weaker = [one for one, strength in _STRENGTH.items() if strength < _STRENGTH[state]]
    found: list[tuple[SkillRow, SkillVersionRow]] = []
    for some in _in_parts(bundles):
        query = (
            select(SkillRow, SkillVersionRow)
            .join(SkillVersionRow, SkillVersionRow.skill_id == SkillRow.id)
            .where(SkillVersionRow.bundle_digest.in_(some), SkillVersionRow.state.in_(weaker))
            .order_by(SkillVersionRow.workspace_id, SkillVersionRow.id)
        )
        if workspace is not None:
            query = query.where(SkillVersionRow.workspace_id == workspace)
        found += [(skill, row) for skill, row in await session.execute(query)]
    return found


async def _take_out_of_use(
    session: AsyncSession, one: StoppedVersion, *, bundle: str, source: str, by: Actor, at: datetime
) -> None:
    await store.set_state(session, one.version, one.state)
    why = f"Withdrawn: the version was {one.state.value} by a marketplace. {one.reason}"
    await approval_lapses.withdraw(session, one.workspace, [one.version], by=by, reason=why, at=at)
    facts: dict[str, JsonValue] = {"version": one.version, "bundle": bundle, "source": source, "reasons": [one.reason]}
    await audit.append(session, AuditRecord(one.workspace, at, by, _ACTIONS[one.state], str(one.ref), facts))
    told: dict[str, JsonValue] = {
        "workspace": one.workspace,
        "skill": str(one.ref),
        "version": one.version,
        "state": one.state.value,
        "source": source,
        "reason": one.reason,
        "findings": [],
        "findings_in_all": 0,
        "ended_rules": [],
    }
    await outbox.announce(session, one.workspace, WebhookEvent.SKILL_QUARANTINED, told, at=at)


def _in_parts(bundles: Collection[BundleDigest]) -> Sequence[Sequence[BundleDigest]]:
    every = sorted(set(bundles))
    return [every[begin : begin + _AT_ONCE] for begin in range(0, len(every), _AT_ONCE)]
