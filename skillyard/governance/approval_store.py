"""Approval requests as they are kept: rows and values, reading, moving from one state to another, recording."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import NotFoundError
from skillyard.governance import audit, outbox
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import Agent, ApprovalState
from skillyard.governance.identity import Actor, ActorKind, Person
from skillyard.governance.policy import SubjectSkill
from skillyard.governance.requested import ApprovalRequest, pack, unpack
from skillyard.governance.tables import ApprovalRequestRow
from skillyard.governance.webhook import WebhookEvent
from skillyard.ids import AgentId, ApprovalId, LockDigest, PersonId, SkillId, SkillVersionId, WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.skills.skill import Ecosystem


@dataclass(frozen=True, slots=True)
class Filter:
    """Which requests of a queue are wanted; ``None`` leaves a question open. ``state`` is by the clock."""

    state: ApprovalState | None = None
    agent: AgentId | None = None
    skill: SkillId | None = None
    version: SkillVersionId | None = None
    packages: tuple[tuple[Ecosystem, str], ...] = ()
    """Canonical names, of which a request asks for at least one; none leaves the question open."""
    asked_before: datetime | None = None


async def get(session: AsyncSession, workspace: WorkspaceId, approval: ApprovalId) -> ApprovalRequest:
    """One request. Another workspace's is not found."""
    return value(await row_of(session, workspace, approval))


async def row_of(
    session: AsyncSession, workspace: WorkspaceId, approval: ApprovalId, *, lock: bool = False
) -> ApprovalRequestRow:
    """The row, read anew; with ``lock`` nobody else changes it before this transaction ends."""
    query = select(ApprovalRequestRow).where(
        ApprovalRequestRow.workspace_id == workspace, ApprovalRequestRow.id == approval
    )
    if lock:
        query = query.with_for_update()
    row = await session.scalar(query.execution_options(populate_existing=True))
    if row is None:
        raise NotFoundError(f"there is no approval request {approval}")
    return row


async def list_requests(
    session: AsyncSession,
    workspace: WorkspaceId,
    *,
    state: ApprovalState | None = None,
    wanted: Filter | None = None,
    now: datetime | None = None,
    open_for: timedelta | None = None,
    after: int = 0,
    limit: int = 100,
) -> tuple[ApprovalRequest, ...]:
    """Requests by id, the longest waiting first; ``after`` is the last id of the page before.

    With ``now`` and ``open_for`` a state is meant by the clock, without them as it is stored.
    """
    given = wanted or Filter(state=state)
    row = ApprovalRequestRow
    query = select(row).where(row.workspace_id == workspace, row.id > after)
    if given.state is not None:
        query = query.where(_in_state(given.state, now, open_for))
    if given.agent is not None:
        query = query.where(row.requested_by_agent_id == given.agent)
    if given.skill is not None:
        query = query.where(row.skill_id == given.skill)
    if given.version is not None:
        query = query.where(row.skill_version_id == given.version)
    if given.packages:
        # As ``pack`` writes them: the ecosystem and the name begin each package's list.
        begins = [orjson.dumps([ecosystem.value, name]).decode()[:-1] + "," for ecosystem, name in given.packages]
        query = query.where(or_(*(row.packages.contains(begin, autoescape=True) for begin in begins)))
    if given.asked_before is not None:
        query = query.where(row.created_at <= given.asked_before)
    return tuple(value(one) for one in await session.scalars(query.order_by(row.id).limit(limit)))


async def states(
    session: AsyncSession, approvals: tuple[ApprovalId, ...]
) -> dict[ApprovalId, tuple[WorkspaceId, ApprovalState]]:
    """The stored states of requests of several workspaces, for who waits for them; ids that are gone are left out."""
    query = select(ApprovalRequestRow.id, ApprovalRequestRow.workspace_id, ApprovalRequestRow.state)
    rows = await session.execute(query.where(ApprovalRequestRow.id.in_(approvals)))
    return {ApprovalId(id_): (WorkspaceId(workspace), state) for id_, workspace, state in rows}


async def latest(
    session: AsyncSession, requester: Agent | Person, workspace: WorkspaceId, version: SkillVersionId
) -> ApprovalRequestRow | None:
    """The last request of an asker about a skill version. Parts of it that were approved before the rest are not."""
    row = ApprovalRequestRow
    asker = row.requested_by_agent_id if isinstance(requester, Agent) else row.requested_by_person_id
    query = select(row).where(
        row.workspace_id == workspace,
        asker == requester.id,
        row.skill_version_id == version,
        row.split_from_id.is_(None),
    )
    newest = query.order_by(row.id.desc()).limit(1)
    return await session.scalar(newest.execution_options(populate_existing=True))


async def move(
    session: AsyncSession, workspace: WorkspaceId, approval: ApprovalId, *, out_of: ApprovalState, **values: Any
) -> bool:
    """Changes a request that is still in a state; of two who try, the database lets one."""
    moved = await session.scalar(
        update(ApprovalRequestRow)
        .where(
            ApprovalRequestRow.workspace_id == workspace,
            ApprovalRequestRow.id == approval,
            ApprovalRequestRow.state == out_of,
        )
        .values(**values)
        .returning(ApprovalRequestRow.id)
        .execution_options(synchronize_session=False)
    )
    return moved is not None


async def record(
    session: AsyncSession,
    request: ApprovalRequest,
    actor: Actor,
    action: Action,
    *,
    at: datetime,
    facts: dict[str, JsonValue] | None = None,
) -> None:
    """The audit record of what happened to a request, and the messages to the webhooks that want to know."""
    payload: dict[str, JsonValue] = {
        "skill": request.skill,
        "lock": request.lock_digest,
        "packages": [str(package.ref) for package in request.packages],
        "first_use": request.first_use,
        "comment": request.comment,
        **(facts or {}),
    }
    about = AuditRecord(request.workspace, at, actor, action, f"approval/{request.id}", payload)
    await audit.append(session, about)
    event = WebhookEvent.APPROVAL_REQUESTED if action is Action.APPROVAL_REQUESTED else WebhookEvent.APPROVAL_DECIDED
    await outbox.announce(session, request.workspace, event, describe(request), at=at)


def describe(request: ApprovalRequest) -> dict[str, JsonValue]:
    """A request as messages tell of it: enough to know whether to look, and where."""
    named = [str(package.ref) for package in request.packages[: outbox.NAMED]]
    return {
        "workspace": request.workspace,
        "approval": request.id,
        "state": request.state.value,
        "skill": request.skill,
        "packages": named,
        "packages_in_all": len(request.packages),
        "first_use": request.first_use,
        "requested_by_agent": request.requested_by_agent,
        "requested_by_person": request.requested_by_person,
        "requesting_owner": request.requesting_owner,
        "decided_by": request.decided_by,
        "comment": request.comment,
        "min_maturity": None if request.min_maturity is None else request.min_maturity.name,
        "approved_until": None if request.approved_until is None else request.approved_until.isoformat(),
        "second_person": request.second_person,
    }


def actor_of(requester: Agent | Person) -> Actor:
    return requester.actor if isinstance(requester, Person) else Actor(ActorKind.AGENT, requester.id)


def new_row(
    requester: Agent | Person, skill: SubjectSkill, version: SkillVersionId, at: datetime
) -> ApprovalRequestRow:
    """A waiting request by an asker, as yet about nothing."""
    is_agent = isinstance(requester, Agent)
    return ApprovalRequestRow(
        workspace_id=skill.workspace,
        skill_id=skill.id,
        skill_version_id=version,
        skill=str(skill),
        requested_by_agent_id=requester.id if is_agent else None,
        requested_by_person_id=None if is_agent else requester.id,
        requesting_owner_id=requester.owner if isinstance(requester, Agent) else requester.id,
        state=ApprovalState.PENDING,
        created_at=at,
    )


def part_row(request: ApprovalRequest) -> ApprovalRequestRow:
    """A row for a part of a request, by the same asker and about the same version; its packages are still to be set."""
    return ApprovalRequestRow(
        workspace_id=request.workspace,
        skill_id=request.skill_id,
        skill_version_id=request.skill_version_id,
        skill=request.skill,
        lock_digest=request.lock_digest,
        requested_by_agent_id=request.requested_by_agent,
        requested_by_person_id=request.requested_by_person,
        requesting_owner_id=request.requesting_owner,
        packages=pack(()),
        first_use=False,
        created_at=request.created_at,
        split_from_id=request.id,
    )


def value(row: ApprovalRequestRow) -> ApprovalRequest:
    agent, person, decider = row.requested_by_agent_id, row.requested_by_person_id, row.decided_by_id
    return ApprovalRequest(
        id=ApprovalId(row.id),
        workspace=WorkspaceId(row.workspace_id),
        skill_id=SkillId(row.skill_id),
        skill_version_id=SkillVersionId(row.skill_version_id),
        skill=row.skill,
        lock_digest=LockDigest(row.lock_digest),
        requested_by_agent=None if agent is None else AgentId(agent),
        requested_by_person=None if person is None else PersonId(person),
        requesting_owner=PersonId(row.requesting_owner_id),
        packages=unpack(row.packages),
        first_use=row.first_use,
        state=row.state,
        decided_by=None if decider is None else PersonId(decider),
        decided_at=row.decided_at,
        comment=row.comment,
        created_at=row.created_at,
        min_maturity=row.min_maturity,
        approved_until=row.approved_until,
        second_person=row.second_person,
        split_from=None if row.split_from_id is None else ApprovalId(row.split_from_id),
    )


def _in_state(state: ApprovalState, now: datetime | None, open_for: timedelta | None) -> ColumnElement[bool]:
    row = ApprovalRequestRow
    if now is None or open_for is None:
        return row.state == state
    unanswered = and_(row.state == ApprovalState.PENDING, row.created_at <= now - open_for)
    # Of NULL no comparison is true: an approval without an end has not run out.
    run_out = and_(row.state == ApprovalState.APPROVED, row.approved_until <= now)
    match state:
        case ApprovalState.PENDING:
            return and_(row.state == state, row.created_at > now - open_for)
        case ApprovalState.APPROVED:
            return and_(row.state == state, or_(row.approved_until.is_(None), row.approved_until > now))
        case ApprovalState.EXPIRED:
            return or_(row.state == state, unanswered, run_out)
        case _:
            return row.state == state
