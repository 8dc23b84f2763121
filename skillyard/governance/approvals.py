"""Approval requests: what a Hold asks for, and a second person's yes or no to the whole lock at once.

A request shows only what is new against what is already approved. Approving it writes one rule a package, for that
exact version and those artefacts, all carrying the request's id: expiry and revocation end exactly those. Every
function works in the caller's transaction; every query names the workspace.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Select, Update, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import ConflictError, NotFoundError
from skillyard.governance import audit, epoch, people, rule_store
from skillyard.governance.audit import Action, AuditRecord, JsonValue
from skillyard.governance.closure import evaluate_closure
from skillyard.governance.decision import Agent, ApprovalState, Hold, Maturity
from skillyard.governance.errors import (
    AlreadyDecidedError,
    BannedPackageError,
    LockChangedError,
    RuleError,
    SecondPersonError,
)
from skillyard.governance.identity import SYSTEM, Actor, ActorKind, Person
from skillyard.governance.policy import SubjectSkill
from skillyard.governance.requested import ApprovalRequest, RequestedPackage, pack, requested_packages, unpack
from skillyard.governance.rules import RuleDraft, draft_approval, parse_expiry, parse_text
from skillyard.governance.tables import ApprovalRequestRow, FirstUseRow
from skillyard.ids import AgentId, ApprovalId, LockDigest, PersonId, SkillId, SkillVersionId, WorkspaceId
from skillyard.skills.lock import Lock, closure_digest
from skillyard.skills.skill import Ecosystem

DENIAL_STANDS: Final = timedelta(days=1)
"""How long a denial answers the same question: an agent that keeps calling does not fill the queue again."""


async def request(
    session: AsyncSession,
    hold: Hold,
    *,
    requester: Agent | Person,
    skill: SubjectSkill,
    version: SkillVersionId,
    locks: tuple[Lock, ...],
    at: datetime,
) -> ApprovalRequest:
    """The request that asks for what a Hold lacks: the one that waits, one denied of late, or a new one.

    One waits for a requester and skill version at most. Where what is lacking outgrew it, or the lock is another, it is
    closed and replaced, so that nobody approves more than they were shown.
    """
    if requester.workspace != skill.workspace:
        raise NotFoundError(f"{skill} is not installed")
    packages = requested_packages(locks, hold.packages)
    _require_something(hold, packages)
    digest = closure_digest(locks)
    latest = await _latest(session, requester, skill.workspace, version)
    if latest is not None and _answers(latest, digest, packages, first_use=hold.first_use, at=at):
        return _value(latest)
    try:
        async with session.begin_nested():
            if latest is not None and latest.state is ApprovalState.PENDING:
                await _replace(session, latest, at)
            row = _row(requester, skill, version, at)
            row.lock_digest, row.packages, row.first_use = digest, pack(packages), hold.first_use
            session.add(row)
    except IntegrityError:
        # Another transaction asked first: the unique index over waiting requests let only one of them in.
        waiting = await _latest(session, requester, skill.workspace, version)
        if waiting is None:
            raise
        return _value(waiting)
    value = _value(row)
    await _record(session, value, _actor(requester), Action.APPROVAL_REQUESTED, at=at)
    return value


async def approve(
    session: AsyncSession,
    workspace: WorkspaceId,
    approval: ApprovalId,
    *,
    by: PersonId,
    locks: tuple[Lock, ...],
    at: datetime,
    min_maturity: Maturity | None = None,
    comment: str | None = None,
    expires_at: datetime | None = None,
    require_second_person: bool = True,
) -> ApprovalRequest:
    """Approves all that a request shows, for agents of ``min_maturity`` and above (default: the requesting agent's).

    ``locks`` are those of the skill version now. Raises ``NotFoundError``, ``AdminRoleError``, ``SecondPersonError``,
    ``AlreadyDecidedError``, ``LockChangedError``, ``BannedPackageError``, and ``RuleError`` naming a field.
    """
    admin = await rule_store.require_admin(session, workspace, by)
    asked = await get(session, workspace, approval)
    _require_pending(asked)
    alone = await _is_requester(session, asked, admin)
    if alone and require_second_person:
        raise SecondPersonError(
            f"{admin.name} asked for it, or owns the agent that did; a second person has to approve"
        )
    if closure_digest(locks) != asked.lock_digest:
        raise LockChangedError(f"the lock of {asked.skill} changed after request {approval} was made; ask again")
    await _refuse_banned(session, workspace, locks, at)
    minimum = min_maturity if min_maturity is not None else await _agent_maturity(session, asked)
    expiry = parse_expiry(expires_at, now=at)
    drafts = [_draft(package, minimum, expiry, at) for package in asked.packages]
    decided = await _decide(session, asked, ApprovalState.APPROVED, by=admin, comment=comment, at=at)
    rules = await rule_store.write_rules(session, workspace, drafts, approval=approval, by=by, at=at)
    if asked.first_use:
        await _record_first_use(session, asked, at)
    await epoch.bump(session)
    facts: dict[str, JsonValue] = {
        "rules": [rule.id for rule in rules],
        "min_maturity": minimum.name,
        "expires_at": expiry.isoformat() if expiry else None,
        "second_person": not alone,
    }
    await _record(session, decided, admin.actor, Action.APPROVAL_GRANTED, at=at, facts=facts)
    return decided


async def deny(
    session: AsyncSession,
    workspace: WorkspaceId,
    approval: ApprovalId,
    *,
    by: PersonId,
    at: datetime,
    comment: str | None = None,
) -> ApprovalRequest:
    """Says no. Needs the role admin and no second person. Raises as ``approve`` does."""
    admin = await rule_store.require_admin(session, workspace, by)
    asked = await get(session, workspace, approval)
    _require_pending(asked)
    decided = await _decide(session, asked, ApprovalState.DENIED, by=admin, comment=comment, at=at)
    await _record(session, decided, admin.actor, Action.APPROVAL_DENIED, at=at)
    return decided


async def revoke(
    session: AsyncSession, workspace: WorkspaceId, approval: ApprovalId, *, by: PersonId, reason: str, at: datetime
) -> ApprovalRequest:
    """Takes an approval back: ends exactly the rules it made, and the first use it permitted.

    Raises ``ConflictError`` for a request that is not approved (any more), else as ``deny``.
    """
    admin = await rule_store.require_admin(session, workspace, by)
    why = parse_text(reason, field="reason")
    moved = await session.scalar(
        _move(workspace, approval, ApprovalState.APPROVED)
        .values(state=ApprovalState.REVOKED)
        .returning(ApprovalRequestRow.id)
    )
    asked = await get(session, workspace, approval)
    if moved is None:
        raise ConflictError(f"request {approval} is {asked.state}; only an approved one can be revoked")
    ended = await rule_store.revoke_approval_rules(session, workspace, approval, at=at)
    await session.execute(
        delete(FirstUseRow).where(FirstUseRow.workspace_id == workspace, FirstUseRow.approval_id == approval)
    )
    await epoch.bump(session)
    await _record(session, asked, admin.actor, Action.APPROVAL_REVOKED, at=at, facts={"rules": ended, "reason": why})
    return asked


async def get(session: AsyncSession, workspace: WorkspaceId, approval: ApprovalId) -> ApprovalRequest:
    """One request. Another workspace's is not found."""
    query = _requests(workspace).where(ApprovalRequestRow.id == approval)
    row = await session.scalar(query.execution_options(populate_existing=True))
    if row is None:
        raise NotFoundError(f"there is no approval request {approval}")
    return _value(row)


async def list_requests(
    session: AsyncSession,
    workspace: WorkspaceId,
    *,
    state: ApprovalState | None = None,
    after: int = 0,
    limit: int = 100,
) -> tuple[ApprovalRequest, ...]:
    """Requests by id, the longest waiting first; ``after`` is the last id of the page before."""
    query = _requests(workspace).where(ApprovalRequestRow.id > after)
    if state is not None:
        query = query.where(ApprovalRequestRow.state == state)
    return tuple(_value(row) for row in await session.scalars(query.limit(limit)))


async def _latest(
    session: AsyncSession, requester: Agent | Person, workspace: WorkspaceId, version: SkillVersionId
) -> ApprovalRequestRow | None:
    column = (
        ApprovalRequestRow.requested_by_agent_id
        if isinstance(requester, Agent)
        else ApprovalRequestRow.requested_by_person_id
    )
    query = select(ApprovalRequestRow).where(
        ApprovalRequestRow.workspace_id == workspace,
        column == requester.id,
        ApprovalRequestRow.skill_version_id == version,
    )
    newest = query.order_by(ApprovalRequestRow.id.desc()).limit(1)
    return await session.scalar(newest.execution_options(populate_existing=True))


def _answers(
    row: ApprovalRequestRow,
    digest: LockDigest,
    packages: tuple[RequestedPackage, ...],
    *,
    first_use: bool,
    at: datetime,
) -> bool:
    """Whether a request already asks, or was denied of late, for all that is lacking now."""
    open_or_denied = row.state is ApprovalState.PENDING or (
        row.state is ApprovalState.DENIED
        and row.decided_by_id is not None
        and row.decided_at is not None
        and at < row.decided_at + DENIAL_STANDS
    )
    covered = row.lock_digest == digest and set(packages) <= set(unpack(row.packages))
    return open_or_denied and covered and (row.first_use or not first_use)


async def _replace(session: AsyncSession, row: ApprovalRequestRow, at: datetime) -> None:
    """Closes a waiting request that asks for less than is lacking now, with nobody's decision on it."""
    row.state, row.decided_at, row.comment = ApprovalState.DENIED, at, "Replaced: what it asked for has changed."
    await session.flush()
    await _record(session, _value(row), SYSTEM, Action.APPROVAL_DENIED, at=at, facts={"replaced": True})


def _require_something(hold: Hold, packages: tuple[RequestedPackage, ...]) -> None:
    if len(packages) != len(set(hold.packages)):
        raise LockChangedError("the packages to approve are not those of the lock; decide again")
    if not packages and not hold.first_use:
        raise RuleError("there is nothing to approve", field="packages")


def _require_pending(asked: ApprovalRequest) -> None:
    if asked.state is not ApprovalState.PENDING:
        raise AlreadyDecidedError(f"request {asked.id} is {asked.state} already")


async def _is_requester(session: AsyncSession, asked: ApprovalRequest, person: Person) -> bool:
    """Whether approving would be approving one's own: an agent's request counts as its owner's, then and now."""
    owners = {asked.requesting_owner}
    if asked.requested_by_agent is not None:
        owners.add((await people.get_agent(session, asked.workspace, asked.requested_by_agent)).owner)
    return person.id in owners


async def _agent_maturity(session: AsyncSession, asked: ApprovalRequest) -> Maturity:
    if asked.requested_by_agent is None:
        raise RuleError("a person asked, so the approval has to say for which maturity it is", field="min_maturity")
    agent = await people.get_agent(session, asked.workspace, asked.requested_by_agent)
    return max(agent.maturity, Maturity.INTERN)  # A STUDENT uses no package, whatever is approved.


async def _refuse_banned(session: AsyncSession, workspace: WorkspaceId, locks: tuple[Lock, ...], at: datetime) -> None:
    standing = evaluate_closure(locks, await rule_store.load_rules(session, workspace), at)
    if standing.banned:
        named = ", ".join(str(item.package) for item in standing.banned)
        raise BannedPackageError(f"the lock holds what is banned: {named}; lift the ban first, or deny the request")


def _draft(package: RequestedPackage, minimum: Maturity, expires_at: datetime | None, at: datetime) -> RuleDraft:
    exact = f"=={package.version}" if package.ecosystem is Ecosystem.PYPI else package.version
    if not package.hashes:
        raise RuleError(f"{package.ref} names no artefact to bind the approval to", field="hashes")
    return draft_approval(
        ecosystem=package.ecosystem,
        name=package.name,
        specifier=exact,
        min_maturity=minimum,
        expires_at=expires_at,
        hashes=package.hashes,
        now=at,
    )


async def _decide(
    session: AsyncSession,
    asked: ApprovalRequest,
    state: ApprovalState,
    *,
    by: Person,
    comment: str | None,
    at: datetime,
) -> ApprovalRequest:
    """Moves a waiting request to its decision; of two who try, the database lets one."""
    text = None if comment is None or not comment.strip() else parse_text(comment, field="comment")
    moved = await session.scalar(
        _move(asked.workspace, asked.id, ApprovalState.PENDING)
        .values(state=state, decided_by_id=by.id, decided_at=at, comment=text)
        .returning(ApprovalRequestRow.id)
    )
    if moved is None:
        raise AlreadyDecidedError(f"request {asked.id} was decided by somebody else just now")
    return await get(session, asked.workspace, asked.id)


async def _record_first_use(session: AsyncSession, asked: ApprovalRequest, at: datetime) -> None:
    if asked.requested_by_agent is None:
        return
    key = (asked.workspace, asked.requested_by_agent, asked.skill_id)
    if await session.get(FirstUseRow, key) is None:
        session.add(
            FirstUseRow(
                workspace_id=asked.workspace,
                agent_id=asked.requested_by_agent,
                skill_id=asked.skill_id,
                approval_id=asked.id,
                created_at=at,
            )
        )
        await session.flush()


async def _record(
    session: AsyncSession,
    value: ApprovalRequest,
    actor: Actor,
    action: Action,
    *,
    at: datetime,
    facts: dict[str, JsonValue] | None = None,
) -> None:
    payload: dict[str, JsonValue] = {
        "skill": value.skill,
        "lock": value.lock_digest,
        "packages": [str(package.ref) for package in value.packages],
        "first_use": value.first_use,
        "comment": value.comment,
        **(facts or {}),
    }
    await audit.append(session, AuditRecord(value.workspace, at, actor, action, f"approval/{value.id}", payload))


def _requests(workspace: WorkspaceId) -> Select[ApprovalRequestRow]:
    query = select(ApprovalRequestRow).where(ApprovalRequestRow.workspace_id == workspace)
    return query.order_by(ApprovalRequestRow.id)


def _move(workspace: WorkspaceId, approval: ApprovalId, state: ApprovalState) -> Update:
    return update(ApprovalRequestRow).where(
        ApprovalRequestRow.workspace_id == workspace,
        ApprovalRequestRow.id == approval,
        ApprovalRequestRow.state == state,
    )


def _actor(requester: Agent | Person) -> Actor:
    return requester.actor if isinstance(requester, Person) else Actor(ActorKind.AGENT, requester.id)


def _row(requester: Agent | Person, skill: SubjectSkill, version: SkillVersionId, at: datetime) -> ApprovalRequestRow:
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


def _value(row: ApprovalRequestRow) -> ApprovalRequest:
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
    )
