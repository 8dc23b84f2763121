"""Asking for a package without a skill in it, and a second person's yes or no.

A yes writes one approval, which ends like any rule. What is banned stays banned: it cannot be asked for, and a request
that waits when the ban comes cannot be approved before it is lifted. Every function works in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import orjson
from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import ConflictError, NotFoundError
from skillyard.governance import audit, epoch, people, rule_store
from skillyard.governance.administrators import Administrator, require_person
from skillyard.governance.approval_terms import ApprovalTerms
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.check import PackageAnswer, WantedPackage, check_package
from skillyard.governance.decision import Agent, Maturity, PackageRule, RequestState, RuleScope, RuleState
from skillyard.governance.errors import (
    AlreadyDecidedError,
    BannedPackageError,
    RuleError,
    SecondPersonError,
)
from skillyard.governance.identity import SYSTEM, Actor, ActorKind, Person
from skillyard.governance.rules import draft_approval, parse_text
from skillyard.governance.standing import PackageState
from skillyard.governance.tables import PackageRequestRow
from skillyard.ids import AgentId, PackageRequestId, PersonId, RuleId, WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.skills.skill import Ecosystem

MOST_WAITING: Final = 1000
"""Requests that wait in one workspace."""


class TooManyRequestsError(ConflictError):
    """Too many requests for packages wait in this workspace; some have to be decided first."""

    code = "too_many_package_requests"


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """What was asked for, by whom, and what a person made of it.

    ``requesting_owner`` is the person it counts as: who asked, or the owner of the agent that asked. ``rule`` is the
    approval that answered it; ``second_person`` whether that came from somebody else than who asked.
    """

    id: PackageRequestId
    workspace: WorkspaceId
    package: WantedPackage
    reason: str
    requested_by_agent: AgentId | None
    requested_by_person: PersonId | None
    requesting_owner: PersonId
    state: RequestState
    rule: RuleId | None
    decided_by: PersonId | None
    decided_at: datetime | None
    second_person: bool | None
    comment: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """What asking came to: where the package stands, and the request, unless there is nothing to ask for."""

    answer: PackageAnswer
    request: PackageRequest | None
    created: bool


async def request(
    session: AsyncSession,
    wanted: WantedPackage,
    *,
    requester: Agent | Person,
    reason: str,
    at: datetime,
    terms: ApprovalTerms,
) -> Asked:
    """Asks for a package: finds the request that waits for it, or one that was denied of late, or makes one.

    None for what is banned, or approved already for agents like this one. Raises ``RuleError`` for a reason that is
    none, ``TooManyRequestsError``.
    """
    why = parse_text(reason, field="reason")
    workspace = requester.workspace
    answer = await standing(session, workspace, wanted, at)
    if answer.standing.state in (PackageState.BANNED, PackageState.APPROVED):
        return Asked(answer, None, created=False)
    found = await _latest(session, workspace, wanted)
    if found is not None and _answers(found, at, terms):
        return Asked(answer, _value(found), created=False)
    waiting = select(func.count()).where(*_waiting(workspace))
    if (await session.scalar(waiting) or 0) >= MOST_WAITING:
        raise TooManyRequestsError(f"{MOST_WAITING} requests for packages wait already; decide some of them first")
    row = _row(requester, wanted, why, at)
    session.add(row)
    await session.flush()
    value = _value(row)
    await _record(session, value, _actor(requester), Action.PACKAGE_REQUESTED, at=at, facts={"reason": why})
    return Asked(await standing(session, workspace, wanted, at), value, created=True)


async def approve(
    session: AsyncSession,
    request_id: PackageRequestId,
    *,
    by: Administrator,
    at: datetime,
    min_maturity: Maturity | None = None,
    specifier: str | None = None,
    expires_at: datetime | None = None,
    comment: str | None = None,
    terms: ApprovalTerms,
) -> PackageRequest:
    """Approves what was asked for, or with ``specifier`` other versions of it, for agents of ``min_maturity`` and above
    (default: the requesting agent's).

    Raises ``NotFoundError``, ``AdminRoleError``, ``SecondPersonError``, ``AlreadyDecidedError``,
    ``BannedPackageError``, and ``RuleError`` naming a field.
    """
    admin, asked = await _to_decide(session, request_id, by)
    alone = await _is_requester(session, asked, admin)
    if alone and terms.second_person:
        raise SecondPersonError(
            f"{admin.name} asked for it, or owns the agent that did; a second person has to approve"
        )
    wanted = asked.package
    if (await standing(session, by.workspace, wanted, at)).standing.state is PackageState.BANNED:
        raise BannedPackageError(f"{wanted.ref} is banned; lift the ban first, or deny the request")
    draft = draft_approval(
        ecosystem=wanted.ecosystem,
        name=wanted.name,
        specifier=_exactly(wanted) if specifier is None else specifier,
        min_maturity=await _agent_maturity(session, asked) if min_maturity is None else min_maturity,
        expires_at=expires_at,
        reason=f"package request {request_id}: {asked.reason}"[:2000],
        hashes=wanted.hashes,
        now=at,
    )
    (rule,) = await rule_store.write_rules(session, by.workspace, [draft], approval=None, by=admin.id, at=at)
    decided = await _decide(session, asked, RequestState.APPROVED, by=admin, at=at, comment=comment, rule=rule.id)
    decided = await _mark_second_person(session, decided, second=not alone)
    facts = {**rule_store.describe(rule), "second_person": not alone}
    await _record(session, decided, by.actor, Action.PACKAGE_REQUEST_GRANTED, at=at, facts=facts)
    await settle(session, by.workspace, (rule,), by=by, at=at)
    await epoch.bump(session)
    return decided


async def deny(
    session: AsyncSession,
    request_id: PackageRequestId,
    *,
    by: Administrator,
    at: datetime,
    comment: str | None = None,
) -> PackageRequest:
    """Says no. Needs the role admin and no second person. Raises as ``approve`` does."""
    admin, asked = await _to_decide(session, request_id, by)
    decided = await _decide(session, asked, RequestState.DENIED, by=admin, at=at, comment=comment)
    await _record(session, decided, by.actor, Action.PACKAGE_REQUEST_DENIED, at=at)
    return decided


async def settle(
    session: AsyncSession, owner: WorkspaceId | None, rules: Iterable[PackageRule], *, by: Administrator, at: datetime
) -> None:
    """Grants the waiting requests that approvals of a scope answer: those for the same package, and the same versions
    or fewer. The caller raises the epoch."""
    row = PackageRequestRow
    for rule in rules:
        if rule.state is not RuleState.APPROVED:
            continue
        query = select(row).where(row.state == RequestState.PENDING, row.name == rule.name)
        if owner is not None:
            query = query.where(row.workspace_id == owner)
        for found in await session.scalars(query.where(row.ecosystem == rule.ecosystem)):
            await _settle_one(session, _value(found), rule, by=by, at=at)


async def _settle_one(
    session: AsyncSession, asked: PackageRequest, rule: PackageRule, *, by: Administrator, at: datetime
) -> None:
    answer = await standing(session, asked.workspace, asked.package, at)
    if answer.standing.state is not PackageState.APPROVED:
        return
    own = asked.workspace == by.workspace
    admin = await people.get_person(session, by.workspace, by.person) if own else None
    comment = f"Answered by {'global ' if rule.scope is RuleScope.GLOBAL else ''}rule {rule.id}."
    decided = await _decide(session, asked, RequestState.APPROVED, by=admin, at=at, comment=comment, rule=rule.id)
    alone = admin is not None and await _is_requester(session, asked, admin)
    decided = await _mark_second_person(session, decided, second=not alone)
    facts: dict[str, JsonValue] = {"rule": rule.id, "second_person": not alone, **(by.facts if own else {})}
    actor = by.actor if own else SYSTEM
    await _record(session, decided, actor, Action.PACKAGE_REQUEST_GRANTED, at=at, facts=facts)


async def standing(session: AsyncSession, workspace: WorkspaceId, wanted: WantedPackage, at: datetime) -> PackageAnswer:
    """Where a package stands in a workspace, as of this transaction."""
    rules = await rule_store.rules_named(session, workspace, {wanted.name})
    return check_package(wanted, rules, at)


async def get(session: AsyncSession, workspace: WorkspaceId, request_id: PackageRequestId) -> PackageRequest:
    """One request. Another workspace's is not found."""
    query = _requests(workspace).where(PackageRequestRow.id == request_id)
    row = await session.scalar(query.execution_options(populate_existing=True))
    if row is None:
        raise NotFoundError(f"there is no package request {request_id}")
    return _value(row)


async def list_requests(
    session: AsyncSession,
    workspace: WorkspaceId,
    *,
    state: RequestState | None = None,
    agent: AgentId | None = None,
    after: int = 0,
    limit: int = 100,
) -> tuple[PackageRequest, ...]:
    """Requests by id, beginning behind ``after``; with ``agent`` those of one agent."""
    row = PackageRequestRow
    query = _requests(workspace).where(row.id > after)
    if state is not None:
        query = query.where(row.state == state)
    if agent is not None:
        query = query.where(row.requested_by_agent_id == agent)
    return tuple(_value(one) for one in await session.scalars(query.limit(limit)))


async def waiting(session: AsyncSession, workspace: WorkspaceId) -> int:
    """How many requests wait."""
    return await session.scalar(select(func.count()).where(*_waiting(workspace))) or 0


async def _to_decide(
    session: AsyncSession, request_id: PackageRequestId, by: Administrator
) -> tuple[Person, PackageRequest]:
    admin = await require_person(session, by)
    asked = await get(session, by.workspace, request_id)
    if asked.state is not RequestState.PENDING:
        raise AlreadyDecidedError(f"package request {request_id} is {asked.state} already")
    return admin, asked


async def _decide(
    session: AsyncSession,
    asked: PackageRequest,
    state: RequestState,
    *,
    by: Person | None,
    at: datetime,
    comment: str | None,
    rule: RuleId | None = None,
) -> PackageRequest:
    """Moves a waiting request to its decision; of two who try, the database lets one."""
    text = None if comment is None or not comment.strip() else parse_text(comment, field="comment")
    row = PackageRequestRow
    moved = await session.scalar(
        update(row)
        .where(row.workspace_id == asked.workspace, row.id == asked.id, row.state == RequestState.PENDING)
        .values(state=state, decided_by_id=None if by is None else by.id, decided_at=at, comment=text, rule_id=rule)
        .returning(row.id)
    )
    if moved is None:
        raise AlreadyDecidedError(f"package request {asked.id} was decided by somebody else just now")
    return await get(session, asked.workspace, asked.id)


async def _mark_second_person(session: AsyncSession, decided: PackageRequest, *, second: bool) -> PackageRequest:
    row = PackageRequestRow
    where = row.workspace_id == decided.workspace, row.id == decided.id
    await session.execute(update(row).where(*where).values(second_person=second))
    return replace(decided, second_person=second)


async def _is_requester(session: AsyncSession, asked: PackageRequest, person: Person) -> bool:
    """Whether approving would be approving one's own: an agent's request counts as its owner's, then and now."""
    owners = {asked.requesting_owner}
    if asked.requested_by_agent is not None:
        owners.add((await people.get_agent(session, asked.workspace, asked.requested_by_agent)).owner)
    return person.id in owners


async def _agent_maturity(session: AsyncSession, asked: PackageRequest) -> Maturity:
    if asked.requested_by_agent is None:
        raise RuleError("a person asked, so the approval has to say for which maturity it is", field="min_maturity")
    agent = await people.get_agent(session, asked.workspace, asked.requested_by_agent)
    return max(agent.maturity, Maturity.INTERN)  # A STUDENT uses no package, whatever is approved.


async def _latest(session: AsyncSession, workspace: WorkspaceId, wanted: WantedPackage) -> PackageRequestRow | None:
    row = PackageRequestRow
    same = row.ecosystem == wanted.ecosystem, row.name == wanted.name, row.version == wanted.version
    query = select(row).where(row.workspace_id == workspace, *same).order_by(row.id.desc()).limit(1)
    return await session.scalar(query)


def _answers(latest: PackageRequestRow, at: datetime, terms: ApprovalTerms) -> bool:
    if latest.state is RequestState.PENDING:
        return True
    decided = latest.decided_at
    return latest.state is RequestState.DENIED and decided is not None and decided > at - terms.denial_stands


def _waiting(workspace: WorkspaceId) -> tuple[ColumnElement[bool], ...]:
    return PackageRequestRow.workspace_id == workspace, PackageRequestRow.state == RequestState.PENDING


def _exactly(wanted: WantedPackage) -> str:
    return f"=={wanted.version}" if wanted.version and wanted.ecosystem is Ecosystem.PYPI else wanted.version


def _requests(workspace: WorkspaceId) -> Select[PackageRequestRow]:
    query = select(PackageRequestRow).where(PackageRequestRow.workspace_id == workspace)
    return query.order_by(PackageRequestRow.id)


def _actor(requester: Agent | Person) -> Actor:
    return requester.actor if isinstance(requester, Person) else Actor(ActorKind.AGENT, requester.id)


async def _record(
    session: AsyncSession,
    value: PackageRequest,
    actor: Actor,
    action: Action,
    *,
    at: datetime,
    facts: dict[str, JsonValue] | None = None,
) -> None:
    payload: dict[str, JsonValue] = {
        "request": value.id,
        "version": value.package.version,
        "hashes": sorted(value.package.hashes),
        "comment": value.comment,
        **(facts or {}),
    }
    subject = f"{value.package.ecosystem.value}/{value.package.name}"
    await audit.append(session, AuditRecord(value.workspace, at, actor, action, subject, payload))


def _row(requester: Agent | Person, wanted: WantedPackage, reason: str, at: datetime) -> PackageRequestRow:
    is_agent = isinstance(requester, Agent)
    return PackageRequestRow(
        workspace_id=requester.workspace,
        ecosystem=wanted.ecosystem,
        name=wanted.name,
        version=wanted.version,
        hashes=orjson.dumps(sorted(wanted.hashes)).decode(),
        reason=reason,
        requested_by_agent_id=requester.id if is_agent else None,
        requested_by_person_id=None if is_agent else requester.id,
        requesting_owner_id=requester.owner if isinstance(requester, Agent) else requester.id,
        state=RequestState.PENDING,
        created_at=at,
    )


def _value(row: PackageRequestRow) -> PackageRequest:
    agent, person, decider, rule = row.requested_by_agent_id, row.requested_by_person_id, row.decided_by_id, row.rule_id
    return PackageRequest(
        id=PackageRequestId(row.id),
        workspace=WorkspaceId(row.workspace_id),
        package=WantedPackage(row.ecosystem, row.name, row.version, frozenset(orjson.loads(row.hashes))),
        reason=row.reason,
        requested_by_agent=None if agent is None else AgentId(agent),
        requested_by_person=None if person is None else PersonId(person),
        requesting_owner=PersonId(row.requesting_owner_id),
        state=row.state,
        rule=None if rule is None else RuleId(rule),
        decided_by=None if decider is None else PersonId(decider),
        decided_at=row.decided_at,
        second_person=row.second_person,
        comment=row.comment,
        created_at=row.created_at,
    )
