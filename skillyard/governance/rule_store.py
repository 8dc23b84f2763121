"""Package rules as they are kept. Every change raises the rules epoch and is recorded, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import orjson
from sqlalchemy import Select, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import NotFoundError
from skillyard.governance import audit, epoch, people
from skillyard.governance.audit import Action, AuditRecord, JsonValue
from skillyard.governance.closure import Rules, compile_rules
from skillyard.governance.decision import ApprovalState, FirstUse, PackageRule, RuleState
from skillyard.governance.errors import AdminRoleError
from skillyard.governance.identity import Person, Role
from skillyard.governance.report import PackageRef
from skillyard.governance.requested import unpack
from skillyard.governance.rules import RuleDraft, parse_name, parse_specifier
from skillyard.governance.tables import ApprovalRequestRow, FirstUseRow, PackageRuleRow
from skillyard.ids import AgentId, ApprovalId, PersonId, RuleId, SkillId, WorkspaceId
from skillyard.skills.skill import Ecosystem


async def load_rules(session: AsyncSession, workspace: WorkspaceId) -> Rules:
    """All rules in force, first uses and waiting requests of a workspace, with the epoch they belong to."""
    rows = await session.scalars(_live(workspace))
    uses = await session.execute(
        select(FirstUseRow.agent_id, FirstUseRow.skill_id).where(FirstUseRow.workspace_id == workspace)
    )
    return compile_rules(
        workspace=workspace,
        epoch=await epoch.current(session),
        rules=[_value(row) for row in rows],
        first_uses=[FirstUse(AgentId(agent), SkillId(skill)) for agent, skill in uses],
        pending=await _pending(session, workspace),
    )


async def add_rule(
    session: AsyncSession, workspace: WorkspaceId, draft: RuleDraft, *, by: PersonId, at: datetime
) -> PackageRule:
    """An approval or a ban by an admin. A rule that says exactly the same is returned as it is, nothing is written.

    Raises ``AdminRoleError``, and ``NotFoundError`` for a person of another workspace.
    """
    person = await require_admin(session, workspace, by)
    same = [rule for rule in await _rules_of(session, workspace, draft.ecosystem, draft.name) if _says(rule, draft)]
    if same:
        return same[0]
    (rule,) = await write_rules(session, workspace, [draft], approval=None, by=by, at=at)
    action = Action.PACKAGE_BANNED if rule.state is RuleState.BANNED else Action.PACKAGE_APPROVED
    await _changed(session, AuditRecord(workspace, at, person.actor, action, _subject(rule), describe(rule)))
    return rule


async def unban(
    session: AsyncSession,
    workspace: WorkspaceId,
    ecosystem: Ecosystem,
    name: str,
    *,
    specifier: str | None = None,
    by: PersonId,
    at: datetime,
) -> tuple[PackageRule, ...]:
    """Lifts every ban of a package, or only the one written with this specifier, and returns what was lifted.

    Raises ``NotFoundError`` where there is no such ban, and ``RuleError`` for a name that cannot be one.
    """
    person = await require_admin(session, workspace, by)
    canonical = parse_name(ecosystem, name)
    wanted = None if specifier is None else parse_specifier(ecosystem, specifier)
    bans = tuple(
        rule
        for rule in await _rules_of(session, workspace, ecosystem, canonical)
        if rule.state is RuleState.BANNED and wanted in (None, rule.specifier)
    )
    if not bans:
        versions = f" with specifier {specifier}" if specifier else ""
        raise NotFoundError(f"{canonical} has no ban{versions} in this workspace")
    await _revoke(session, workspace, bans, by=person, at=at)
    return bans


async def revoke_rule(
    session: AsyncSession, workspace: WorkspaceId, rule: RuleId, *, by: PersonId, at: datetime
) -> PackageRule:
    """Ends one rule, of either kind. A rule that has ended already, or is another workspace's, is not found."""
    person = await require_admin(session, workspace, by)
    row = await session.scalar(_live(workspace).where(PackageRuleRow.id == rule))
    if row is None:
        raise NotFoundError(f"there is no rule {rule} in force")
    value = _value(row)
    await _revoke(session, workspace, (value,), by=person, at=at)
    return value


async def list_rules(
    session: AsyncSession,
    workspace: WorkspaceId,
    *,
    after: int = 0,
    limit: int = 100,
    state: RuleState | None = None,
    ecosystem: Ecosystem | None = None,
    name: str | None = None,
) -> tuple[PackageRule, ...]:
    """Rules that were not revoked, expired ones included, by id; ``after`` is the last id of the page before."""
    query = _live(workspace).where(PackageRuleRow.id > after)
    if state is not None:
        query = query.where(PackageRuleRow.state == state)
    if ecosystem is not None:
        query = query.where(PackageRuleRow.ecosystem == ecosystem)
    if name is not None:
        names = {parse_name(one, name) for one in ([ecosystem] if ecosystem else Ecosystem)}
        query = query.where(PackageRuleRow.name.in_(names))
    return tuple(_value(row) for row in await session.scalars(query.limit(limit)))


async def write_rules(
    session: AsyncSession,
    workspace: WorkspaceId,
    drafts: Iterable[RuleDraft],
    *,
    approval: ApprovalId | None,
    by: PersonId,
    at: datetime,
) -> tuple[PackageRule, ...]:
    """Stores rules and nothing else: the caller raises the epoch and records what it did."""
    rows = [_row(workspace, draft, approval, by, at) for draft in drafts]
    session.add_all(rows)
    await session.flush()
    return tuple(_value(row) for row in rows)


async def revoke_approval_rules(
    session: AsyncSession, workspace: WorkspaceId, approval: ApprovalId, *, at: datetime
) -> tuple[RuleId, ...]:
    """Ends exactly the rules that an approval made and that are still in force. The caller raises the epoch."""
    ended = await session.scalars(
        update(PackageRuleRow)
        .where(
            PackageRuleRow.workspace_id == workspace,
            PackageRuleRow.approval_id == approval,
            PackageRuleRow.revoked_at.is_(None),
        )
        .values(revoked_at=at)
        .returning(PackageRuleRow.id)
    )
    return tuple(RuleId(one) for one in sorted(ended))


async def require_admin(session: AsyncSession, workspace: WorkspaceId, person: PersonId) -> Person:
    """The person, read in this very transaction, so that a role that was taken away counts at once."""
    found = await people.get_person(session, workspace, person)
    if found.role is not Role.ADMIN:
        raise AdminRoleError(f"{found.name} has the role {found.role}; this needs the role admin")
    return found


def describe(rule: PackageRule) -> dict[str, JsonValue]:
    """A rule as the audit log keeps it."""
    return {
        "rule": rule.id,
        "specifier": rule.specifier,
        "state": rule.state.value,
        "min_maturity": rule.min_maturity.name if rule.min_maturity is not None else None,
        "expires_at": rule.expires_at.isoformat() if rule.expires_at is not None else None,
        "reason": rule.reason,
        "hashes": sorted(rule.hashes),
    }


async def _revoke(
    session: AsyncSession, workspace: WorkspaceId, rules: tuple[PackageRule, ...], *, by: Person, at: datetime
) -> None:
    ids = [rule.id for rule in rules]
    await session.execute(
        update(PackageRuleRow)
        .where(PackageRuleRow.workspace_id == workspace, PackageRuleRow.id.in_(ids))
        .values(revoked_at=at)
    )
    for rule in rules:
        record = AuditRecord(workspace, at, by.actor, Action.PACKAGE_RULE_REVOKED, _subject(rule), describe(rule))
        await audit.append(session, record)
    await epoch.bump(session)


async def _changed(session: AsyncSession, record: AuditRecord) -> None:
    await audit.append(session, record)
    await epoch.bump(session)


async def _rules_of(
    session: AsyncSession, workspace: WorkspaceId, ecosystem: Ecosystem, name: str
) -> tuple[PackageRule, ...]:
    query = _live(workspace).where(PackageRuleRow.ecosystem == ecosystem, PackageRuleRow.name == name)
    return tuple(_value(row) for row in await session.scalars(query))


async def _pending(session: AsyncSession, workspace: WorkspaceId) -> dict[PackageRef, ApprovalId]:
    query = select(ApprovalRequestRow.id, ApprovalRequestRow.packages).where(
        ApprovalRequestRow.workspace_id == workspace, ApprovalRequestRow.state == ApprovalState.PENDING
    )
    waiting: dict[PackageRef, ApprovalId] = {}
    for request, packages in await session.execute(query.order_by(ApprovalRequestRow.id)):
        for package in unpack(packages):
            waiting.setdefault(package.ref, ApprovalId(request))
    return waiting


def _live(workspace: WorkspaceId) -> Select[PackageRuleRow]:
    return (
        select(PackageRuleRow)
        .where(PackageRuleRow.workspace_id == workspace, PackageRuleRow.revoked_at.is_(None))
        .order_by(PackageRuleRow.id)
    )


def _says(rule: PackageRule, draft: RuleDraft) -> bool:
    """Whether a rule that no approval made says exactly what the draft says."""
    kept = (rule.specifier, rule.state, rule.min_maturity, rule.expires_at, rule.reason, rule.hashes, rule.approval)
    return kept == (
        *(draft.specifier, draft.state, draft.min_maturity, draft.expires_at, draft.reason, draft.hashes),
        None,
    )


def _row(
    workspace: WorkspaceId, draft: RuleDraft, approval: ApprovalId | None, by: PersonId, at: datetime
) -> PackageRuleRow:
    return PackageRuleRow(
        workspace_id=workspace,
        ecosystem=draft.ecosystem,
        name=draft.name,
        specifier=draft.specifier,
        state=draft.state,
        min_maturity=draft.min_maturity,
        expires_at=draft.expires_at,
        reason=draft.reason,
        hashes=orjson.dumps(sorted(draft.hashes)).decode(),
        approval_id=approval,
        created_by_id=by,
        created_at=at,
        revoked_at=None,
    )


def _value(row: PackageRuleRow) -> PackageRule:
    return PackageRule(
        id=RuleId(row.id),
        ecosystem=row.ecosystem,
        name=row.name,
        specifier=row.specifier,
        state=row.state,
        min_maturity=row.min_maturity,
        expires_at=row.expires_at,
        reason=row.reason,
        hashes=frozenset(orjson.loads(row.hashes)),
        approval=None if row.approval_id is None else ApprovalId(row.approval_id),
    )


def _subject(rule: PackageRule) -> str:
    return f"{rule.ecosystem.value}/{rule.name}"
