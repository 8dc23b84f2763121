"""Invocations read back, and the ones marked lost that a dead process left open."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Update, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.database import tell
from skillyard.errors import NotFoundError
from skillyard.governance import audit
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.identity import SYSTEM, Actor, ActorKind
from skillyard.ids import AgentId, Epoch, InvocationId, SkillVersionId, WorkspaceId
from skillyard.runtime.states import InvocationState
from skillyard.runtime.tables import InvocationRow
from skillyard.sandbox.outcome import Usage
from skillyard.times import utcnow

_LOST = "the process that ran it is gone; what the skill did is unknown"


@dataclass(frozen=True, slots=True)
class InvocationSummary:
    """One call as it was recorded. Times are UTC; ``ended_at`` is ``None`` while the call runs."""

    id: InvocationId
    workspace: WorkspaceId
    caller: Actor
    skill_version: SkillVersionId
    entry: str
    epoch: Epoch
    state: InvocationState
    reason: str | None
    started_at: datetime
    ended_at: datetime | None
    cancel_requested_at: datetime | None
    """Set where another process than the one that runs it was asked to end it."""
    usage: Usage
    exit_code: int | None
    supervised: bool
    """Whether it is, or was, recorded in full."""
    instance: str
    """The process that runs it, or did."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the list, newest first: the next page begins behind this call."""

    started_at: datetime
    id: InvocationId


async def get_invocation(session: AsyncSession, workspace: WorkspaceId, invocation: InvocationId) -> InvocationSummary:
    query = select(InvocationRow).where(InvocationRow.workspace_id == workspace, InvocationRow.id == invocation)
    row = await session.scalar(query)
    if row is None:
        raise NotFoundError(f"invocation {invocation} does not exist")
    return _summary(row)


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls are listed; every field narrows."""

    supervised: bool = False
    live: bool = False
    agent: AgentId | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.supervised:
            found.append(InvocationRow.supervised.is_(True))
        if self.live:
            found.append(InvocationRow.state == InvocationState.ACCEPTED)
        if self.agent is not None:
            found.append(InvocationRow.agent_id == self.agent)
        return found


async def invocations(
    session: AsyncSession,
    workspace: WorkspaceId,
    *,
    limit: int,
    after: Cursor | None = None,
    wanted: CallFilter = CallFilter(),
) -> tuple[InvocationSummary, ...]:
    """A page of a workspace's calls, newest first."""
    query = select(InvocationRow).where(InvocationRow.workspace_id == workspace, *wanted.conditions())
    if after is not None:
        query = query.where(tuple_(InvocationRow.started_at, InvocationRow.id) < (after.started_at, after.id))
    newest = query.order_by(InvocationRow.started_at.desc(), InvocationRow.id.desc())
    return tuple(_summary(row) for row in await session.scalars(newest.limit(limit)))


async def ask_to_cancel(session: AsyncSession, invocation: InvocationId, by: str, reason: str | None = None) -> None:
    """Leave word for the process that runs the call; the first word stays."""
    asked = _asking(by, reason).where(InvocationRow.id == invocation)
    await session.execute(asked)
    await tell(session)


async def ask_to_cancel_all(
    session: AsyncSession, workspace: WorkspaceId, agent: AgentId, by: str, reason: str
) -> tuple[InvocationId, ...]:
    """As ``ask_to_cancel``, for every open call of an agent; those that were not asked about before."""
    asked = _asking(by, reason).where(InvocationRow.workspace_id == workspace, InvocationRow.agent_id == agent)
    await tell(session)
    return tuple(InvocationId(one) for one in await session.scalars(asked.returning(InvocationRow.id)))


def _asking(by: str, reason: str | None) -> Update:
    opened = InvocationRow.state == InvocationState.ACCEPTED, InvocationRow.cancel_requested_at.is_(None)
    values = {"cancel_requested_at": utcnow(), "cancel_requested_by": by, "cancel_reason": reason}
    return update(InvocationRow).where(*opened).values(values)


async def asked_to_cancel(session: AsyncSession, instance: str) -> tuple[tuple[InvocationId, str], ...]:
    """The open calls of an instance that somebody wants ended, and who, with the reason where there is one."""
    row = InvocationRow
    query = select(row.id, row.cancel_requested_by, row.cancel_reason).where(
        InvocationRow.instance_id == instance,
        InvocationRow.state == InvocationState.ACCEPTED,
        InvocationRow.cancel_requested_at.is_not(None),
    )
    found = await session.execute(query)
    return tuple((InvocationId(id_), because(by or "somebody", reason)) for id_, by, reason in found)


def because(by: str, reason: str | None) -> str:
    """As the record of a cancelled call says it: ``person 3: it loops``."""
    return by if reason is None else f"{by}: {reason}"


async def mark_lost(session: AsyncSession, instance_ids: Collection[str]) -> int:
    """Ends what dead instances left open, each with its audit record; returns how many calls that were.

    Only for instances whose lease nobody holds any more: a call of a living process would end twice.
    """
    opened = (
        select(InvocationRow.id, InvocationRow.workspace_id)
        .where(InvocationRow.instance_id.in_(instance_ids), InvocationRow.state == InvocationState.ACCEPTED)
        .order_by(InvocationRow.started_at)
    )
    found = (await session.execute(opened)).all()
    now = utcnow()
    for invocation, workspace in found:
        ended = update(InvocationRow).where(InvocationRow.id == invocation)
        await session.execute(ended.values(state=InvocationState.LOST, reason=_LOST, ended_at=now))
        subject = f"invocation/{invocation}"
        await audit.append(
            session,
            AuditRecord(WorkspaceId(workspace), now, SYSTEM, Action.INVOCATION_LOST, subject, {"reason": _LOST}),
        )
    return len(found)


def _summary(row: InvocationRow) -> InvocationSummary:
    return InvocationSummary(
        id=InvocationId(row.id),
        workspace=WorkspaceId(row.workspace_id),
        caller=_caller(row),
        skill_version=SkillVersionId(row.skill_version_id),
        entry=row.entry,
        epoch=Epoch(row.epoch),
        state=row.state,
        reason=row.reason,
        started_at=row.started_at,
        ended_at=row.ended_at,
        cancel_requested_at=row.cancel_requested_at,
        usage=Usage(row.wall_seconds, row.cpu_seconds, row.peak_memory_bytes),
        exit_code=row.exit_code,
        supervised=row.supervised,
        instance=row.instance_id,
    )


def _caller(row: InvocationRow) -> Actor:
    if row.agent_id is None:
        return Actor(ActorKind.PERSON, row.person_id)
    return Actor(ActorKind.AGENT, row.agent_id)


async def open_instances(session: AsyncSession) -> tuple[str, ...]:
    """The instances that admitted calls which have not ended yet."""
    query = select(InvocationRow.instance_id).where(InvocationRow.state == InvocationState.ACCEPTED).distinct()
    return tuple(await session.scalars(query))


async def open_calls(session: AsyncSession) -> dict[str, int]:
    """How many calls of each instance have not ended yet."""
    query = (
        select(InvocationRow.instance_id, func.count())
        .where(InvocationRow.state == InvocationState.ACCEPTED)
        .group_by(InvocationRow.instance_id)
    )
    return dict((await session.execute(query)).tuples().all())
