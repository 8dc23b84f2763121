"""Approval requests: what a Hold asks for, and a second person's yes or no to the whole lock, or parts of it.

A request shows only what is new against what is already approved. Approving it writes one rule a package, for that
exact version and those artefacts, all carrying the request's id: expiry and revocation end exactly those. Every
function works in the caller's transaction; every query names the workspace.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import ConflictError, NotFoundError
from skillyard.governance import approval_store, epoch, people, rule_store
from skillyard.governance.administrators import Administrator, require_admin
from skillyard.governance.approval_store import get, list_requests
from skillyard.governance.approval_terms import ApprovalTerms
from skillyard.governance.audit import Action
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
from skillyard.governance.requested import (
    ApprovalRequest,
    RequestedPackage,
    chosen_packages,
    pack,
    requested_packages,
    unpack,
)
from skillyard.governance.rules import RuleDraft, draft_approval, parse_expiry, parse_text
from skillyard.governance.tables import ApprovalRequestRow, FirstUseRow
from skillyard.ids import ApprovalId, LockDigest, PersonId, SkillVersionId, WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.skills.lock import Lock, closure_digest
from skillyard.skills.skill import Ecosystem

__all__ = ["approve", "deny", "get", "list_requests", "request", "revoke"]

_USUAL = ApprovalTerms()


async def request(
    session: AsyncSession,
    hold: Hold,
    *,
    requester: Agent | Person,
    skill: SubjectSkill,
    version: SkillVersionId,
    locks: tuple[Lock, ...],
    at: datetime,
    terms: ApprovalTerms = _USUAL,
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
    latest = await approval_store.latest(session, requester, skill.workspace, version)
    if latest is not None and _answers(latest, digest, packages, first_use=hold.first_use, at=at, terms=terms):
        return approval_store.value(latest)
    try:
        async with session.begin_nested():
            if latest is not None and latest.state is ApprovalState.PENDING:
                await _replace(session, latest, at, terms)
            row = approval_store.new_row(requester, skill, version, at)
            row.lock_digest, row.packages, row.first_use = digest, pack(packages), hold.first_use
            session.add(row)
    except IntegrityError:
        # Another transaction asked first: the unique index over waiting requests let only one of them in.
        waiting = await approval_store.latest(session, requester, skill.workspace, version)
        if waiting is None:
            raise
        return approval_store.value(waiting)
    value = approval_store.value(row)
    await approval_store.record(session, value, approval_store.actor_of(requester), Action.APPROVAL_REQUESTED, at=at)
    return value


async def approve(
    session: AsyncSession,
    workspace: WorkspaceId,
    approval: ApprovalId,
    *,
    by: PersonId,
    locks: tuple[Lock, ...],
    at: datetime,
    only: Collection[str] | None = None,
    min_maturity: Maturity | None = None,
    comment: str | None = None,
    expires_at: datetime | None = None,
    terms: ApprovalTerms = _USUAL,
) -> ApprovalRequest:
    """Approves all that a request shows, for agents of ``min_maturity`` and above (default: the requesting agent's).

    ``only`` names some of its packages: those are approved in a request of their own, which is returned, and the
    request goes on waiting for the rest, a first use included. ``locks`` are those of the skill version now. Raises
    ``NotFoundError``, ``AdminRoleError``, ``SecondPersonError``, ``AlreadyDecidedError``, ``LockChangedError``,
    ``BannedPackageError``, and ``RuleError`` naming a field.
    """
    admin = await _require_admin(session, workspace, by)
    # Before anything is looked at: a ban that is being committed is seen below, and one that comes later waits for us.
    await epoch.bump(session)
    asked = await _waiting(session, workspace, approval, at, terms)
    alone = await _is_requester(session, asked, admin)
    if alone and terms.second_person:
        raise SecondPersonError(
            f"{admin.name} asked for it, or owns the agent that did; a second person has to approve"
        )
    if closure_digest(locks) != asked.lock_digest:
        raise LockChangedError(f"the lock of {asked.skill} changed after request {approval} was made; ask again")
    await _refuse_banned(session, workspace, locks, at)
    chosen = asked.packages if only is None else chosen_packages(asked.packages, only)
    minimum = min_maturity if min_maturity is not None else await _agent_maturity(session, asked)
    expiry = parse_expiry(expires_at, now=at)
    if expiry is not None and not chosen:
        raise RuleError("a first use does not run out; revoke the approval instead", field="expires_at")
    drafts = [_draft(package, minimum, expiry, at) for package in chosen]
    given: dict[str, object] = {
        "state": ApprovalState.APPROVED,
        "decided_by_id": by,
        "decided_at": at,
        "comment": _comment(comment),
        "min_maturity": minimum,
        "approved_until": expiry,
        "second_person": not alone,
    }
    # Who names packages has not said anything about a first use.
    if only is None or (len(chosen) == len(asked.packages) and not asked.first_use):
        decided = await _decide(session, asked, given)
    else:
        decided = await _split(session, asked, chosen, given)
    rules = await rule_store.write_rules(session, workspace, drafts, approval=decided.id, by=by, at=at)
    if decided.first_use:
        await _record_first_use(session, decided, at)
    facts: dict[str, JsonValue] = {
        "rules": [rule.id for rule in rules],
        "min_maturity": minimum.name,
        "expires_at": expiry.isoformat() if expiry else None,
        "second_person": not alone,
        "part_of": decided.split_from,
    }
    await approval_store.record(session, decided, admin.actor, Action.APPROVAL_GRANTED, at=at, facts=facts)
    return decided


async def deny(
    session: AsyncSession,
    workspace: WorkspaceId,
    approval: ApprovalId,
    *,
    by: PersonId,
    at: datetime,
    comment: str | None = None,
    terms: ApprovalTerms = _USUAL,
) -> ApprovalRequest:
    """Says no. Needs the role admin and no second person. Raises as ``approve`` does."""
    admin = await _require_admin(session, workspace, by)
    asked = await _waiting(session, workspace, approval, at, terms)
    given = {"state": ApprovalState.DENIED, "decided_by_id": by, "decided_at": at, "comment": _comment(comment)}
    decided = await _decide(session, asked, given)
    await approval_store.record(session, decided, admin.actor, Action.APPROVAL_DENIED, at=at)
    return decided


async def revoke(
    session: AsyncSession, workspace: WorkspaceId, approval: ApprovalId, *, by: PersonId, reason: str, at: datetime
) -> ApprovalRequest:
    """Takes an approval back: ends exactly the rules it made, and the first use it permitted.

    Raises ``ConflictError`` for a request that is not approved (any more), else as ``deny``.
    """
    admin = await _require_admin(session, workspace, by)
    why = parse_text(reason, field="reason")
    await epoch.bump(session)
    moved = await approval_store.move(
        session, workspace, approval, out_of=ApprovalState.APPROVED, state=ApprovalState.REVOKED
    )
    asked = await approval_store.get(session, workspace, approval)
    if not moved:
        raise ConflictError(f"request {approval} is {asked.state}; only an approved one can be revoked")
    ended = await rule_store.revoke_approval_rules(session, workspace, approval, at=at)
    await session.execute(
        delete(FirstUseRow).where(FirstUseRow.workspace_id == workspace, FirstUseRow.approval_id == approval)
    )
    facts: dict[str, JsonValue] = {"rules": ended, "reason": why}
    await approval_store.record(session, asked, admin.actor, Action.APPROVAL_REVOKED, at=at, facts=facts)
    return asked


async def _require_admin(session: AsyncSession, workspace: WorkspaceId, by: PersonId) -> Person:
    """Requests are for persons to decide: an agent with an admin's scope is none."""
    return await require_admin(session, Administrator(workspace, by, Actor(ActorKind.PERSON, by)))


def _answers(
    row: ApprovalRequestRow,
    digest: LockDigest,
    packages: tuple[RequestedPackage, ...],
    *,
    first_use: bool,
    at: datetime,
    terms: ApprovalTerms,
) -> bool:
    """Whether a request already asks, or was denied of late, for all that is lacking now."""
    pending = row.state is ApprovalState.PENDING and at < row.created_at + terms.open_for
    denied = (
        row.state is ApprovalState.DENIED and row.decided_at is not None and at < row.decided_at + terms.denial_stands
    )
    covered = row.lock_digest == digest and set(packages) <= set(unpack(row.packages))
    return (pending or denied) and covered and (row.first_use or not first_use)


async def _replace(session: AsyncSession, row: ApprovalRequestRow, at: datetime, terms: ApprovalTerms) -> None:
    """Closes a waiting request that asks for less than is lacking now, or that nobody answered in time."""
    expired = at >= row.created_at + terms.open_for
    row.state = ApprovalState.EXPIRED if expired else ApprovalState.WITHDRAWN
    row.decided_at = at
    row.comment = "Nobody decided in time." if expired else "Replaced: what it asked for has changed."
    await session.flush()
    action = Action.APPROVAL_EXPIRED if expired else Action.APPROVAL_WITHDRAWN
    await approval_store.record(
        session, approval_store.value(row), SYSTEM, action, at=at, facts={"replaced": not expired}
    )


def _require_something(hold: Hold, packages: tuple[RequestedPackage, ...]) -> None:
    if len(packages) != len(set(hold.packages)):
        raise LockChangedError("the packages to approve are not those of the lock; decide again")
    if not packages and not hold.first_use:
        raise RuleError("there is nothing to approve", field="packages")


async def _waiting(
    session: AsyncSession, workspace: WorkspaceId, approval: ApprovalId, at: datetime, terms: ApprovalTerms
) -> ApprovalRequest:
    """The request, which is to be decided now, and by nobody else before this transaction ends."""
    asked = approval_store.value(await approval_store.row_of(session, workspace, approval, lock=True))
    state = asked.state_at(at, open_for=terms.open_for)
    if state is not ApprovalState.PENDING:
        raise AlreadyDecidedError(f"request {asked.id} is {state} already")
    return asked


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
    standing = evaluate_closure(locks, await rule_store.rules_about(session, workspace, locks), at)
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


def _comment(text: str | None) -> str | None:
    return None if text is None or not text.strip() else parse_text(text, field="comment")


async def _decide(session: AsyncSession, asked: ApprovalRequest, given: dict[str, object]) -> ApprovalRequest:
    """Moves a waiting request to its decision; of two who try, the database lets one."""
    if not await approval_store.move(session, asked.workspace, asked.id, out_of=ApprovalState.PENDING, **given):
        raise AlreadyDecidedError(f"request {asked.id} was decided by somebody else just now")
    return await approval_store.get(session, asked.workspace, asked.id)


async def _split(
    session: AsyncSession, asked: ApprovalRequest, chosen: tuple[RequestedPackage, ...], given: dict[str, object]
) -> ApprovalRequest:
    """Some packages of a request as an approved request of their own; the rest goes on waiting."""
    rest = pack(package for package in asked.packages if package not in chosen)
    if not await approval_store.move(session, asked.workspace, asked.id, out_of=ApprovalState.PENDING, packages=rest):
        raise AlreadyDecidedError(f"request {asked.id} was decided by somebody else just now")
    row = approval_store.part_row(asked)
    row.packages = pack(chosen)
    for name, value in given.items():
        setattr(row, name, value)
    session.add(row)
    await session.flush()
    return approval_store.value(row)


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
