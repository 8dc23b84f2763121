"""Changing package rules: an admin those of a workspace, an operator those of the whole instance.

Each function is one change in the caller's transaction. It raises the rules epoch and is recorded: in the chain of
whoever made it in full, and, if it is global, in the chain of every other workspace in short, because it binds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import NotFoundError
from skillyard.governance import audit, epoch, outbox, package_requests, people, rule_store
from skillyard.governance.administrators import Administrator, require_admin, require_operator
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import PackageRule, RuleScope, RuleState
from skillyard.governance.identity import SYSTEM
from skillyard.governance.rule_plan import RulePlan, says
from skillyard.governance.rules import RuleDraft, parse_name, parse_specifier
from skillyard.governance.tables import PackageRuleRow
from skillyard.ids import RuleId, WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.skills.skill import Ecosystem

_MOST_AT_ONCE = 500
"""Ids in one statement; databases limit its parameters."""


async def add_rule(
    session: AsyncSession,
    draft: RuleDraft,
    *,
    by: Administrator,
    at: datetime,
    scope: RuleScope = RuleScope.WORKSPACE,
) -> PackageRule:
    """An approval or a ban. A rule that says exactly the same is returned as it is, nothing is written.

    Requests for the package that an approval answers are granted with it. Raises ``AdminRoleError`` and its kin.
    """
    await require_scope(session, by, scope)
    owner = owner_of(by, scope)
    about = await rule_store.rules_of(session, owner, draft.ecosystem, draft.name)
    same = [rule for rule in about if rule.approval is None and says(rule, draft)]
    if same:
        return same[0]
    (rule,) = await rule_store.write_rules(session, owner, [draft], approval=None, by=by.person, at=at)
    action = Action.PACKAGE_BANNED if rule.state is RuleState.BANNED else Action.PACKAGE_APPROVED
    await _record(session, by, action, rule, at)
    await package_requests.settle(session, owner, (rule,), by=by, at=at)
    await _tell_others(session, by, scope, {"added": [rule_store.describe(rule)]}, at)
    await _announce_bans(session, by, scope, (rule,), at)
    await epoch.bump(session)
    return rule


async def unban(
    session: AsyncSession,
    ecosystem: Ecosystem,
    name: str,
    *,
    by: Administrator,
    at: datetime,
    specifier: str | None = None,
    scope: RuleScope = RuleScope.WORKSPACE,
) -> tuple[PackageRule, ...]:
    """Lifts every ban of a package in a scope, or only the one written with this specifier; returns what was lifted.

    Raises ``NotFoundError`` where there is no such ban, and ``RuleError`` for a name that cannot be one.
    """
    await require_scope(session, by, scope)
    canonical = parse_name(ecosystem, name)
    wanted = None if specifier is None else parse_specifier(ecosystem, specifier)
    bans = tuple(
        rule
        for rule in await rule_store.rules_of(session, owner_of(by, scope), ecosystem, canonical)
        if rule.state is RuleState.BANNED and wanted in (None, rule.specifier)
    )
    if not bans:
        versions = f" with specifier {specifier}" if specifier else ""
        where = "of the whole instance" if scope is RuleScope.GLOBAL else "of this workspace"
        raise NotFoundError(f"{canonical} has no ban{versions} {where}")
    await _end(session, bans, by=by, at=at, scope=scope)
    return bans


async def revoke_rule(session: AsyncSession, rule: RuleId, *, by: Administrator, at: datetime) -> PackageRule:
    """Ends one rule, of either kind and scope. One that has ended, or is another workspace's, is not found."""
    await require_scope(session, by, RuleScope.WORKSPACE)
    found = await rule_store.find(session, by.workspace, rule)
    if found is None:
        raise NotFoundError(f"there is no rule {rule} in force")
    await require_scope(session, by, found.scope)
    await _end(session, (found,), by=by, at=at, scope=found.scope)
    return found


async def carry_out(
    session: AsyncSession, plan: RulePlan, *, by: Administrator, at: datetime, scope: RuleScope, source: str
) -> tuple[PackageRule, ...]:
    """Adds and ends what a plan says, all of it or, when something raises, nothing; returns what was added.

    The plan has to be made in this very transaction. ``source`` names the file, for the record.
    """
    await require_scope(session, by, scope)
    if plan.empty:
        return ()
    owner = owner_of(by, scope)
    await _revoke(session, plan.ended, at)
    added = await rule_store.write_rules(session, owner, plan.added, approval=None, by=by.person, at=at)
    for rule in plan.ended:
        await _record(session, by, Action.PACKAGE_RULE_REVOKED, rule, at)
    for rule in added:
        action = Action.PACKAGE_BANNED if rule.state is RuleState.BANNED else Action.PACKAGE_APPROVED
        await _record(session, by, action, rule, at)
    counts: dict[str, JsonValue] = {"added": len(added), "ended": len(plan.ended), "kept": plan.kept}
    how: dict[str, JsonValue] = {"scope": scope.value, "mode": plan.mode.value, "source": source}
    facts = {**how, **counts, **by.facts}
    subject = f"rules/{scope.value}"
    await audit.append(session, AuditRecord(by.workspace, at, by.actor, Action.PACKAGE_RULES_IMPORTED, subject, facts))
    await package_requests.settle(session, owner, added, by=by, at=at)
    await _tell_others(session, by, scope, counts, at)
    await _announce_bans(session, by, scope, added, at)
    await epoch.bump(session)
    return added


def owner_of(by: Administrator, scope: RuleScope) -> WorkspaceId | None:
    """Whose rules somebody changes in a scope: a workspace's, or nobody's in particular."""
    return by.workspace if scope is RuleScope.WORKSPACE else None


async def require_scope(session: AsyncSession, by: Administrator, scope: RuleScope) -> None:
    """Whether somebody may change the rules of a scope. Raises ``AdminRoleError`` and ``OperatorRoleError``."""
    await (require_operator if scope is RuleScope.GLOBAL else require_admin)(session, by)


async def _end(
    session: AsyncSession, rules: tuple[PackageRule, ...], *, by: Administrator, at: datetime, scope: RuleScope
) -> None:
    await _revoke(session, rules, at)
    for rule in rules:
        await _record(session, by, Action.PACKAGE_RULE_REVOKED, rule, at)
    await _tell_others(session, by, scope, {"ended": [rule_store.describe(rule) for rule in rules]}, at)
    await epoch.bump(session)


async def _revoke(session: AsyncSession, rules: tuple[PackageRule, ...], at: datetime) -> None:
    ids = [rule.id for rule in rules]
    for begin in range(0, len(ids), _MOST_AT_ONCE):
        some = ids[begin : begin + _MOST_AT_ONCE]
        await session.execute(update(PackageRuleRow).where(PackageRuleRow.id.in_(some)).values(revoked_at=at))


async def _record(session: AsyncSession, by: Administrator, action: Action, rule: PackageRule, at: datetime) -> None:
    facts = {**rule_store.describe(rule), **by.facts}
    record = AuditRecord(by.workspace, at, by.actor, action, rule_store.subject(rule), facts)
    await audit.append(session, record)


async def _announce_bans(
    session: AsyncSession, by: Administrator, scope: RuleScope, added: tuple[PackageRule, ...], at: datetime
) -> None:
    """One message for all bans of a change, to the webhooks of every workspace that they bind."""
    bans = [rule for rule in added if rule.state is RuleState.BANNED]
    if not bans:
        return
    bound = [one.id for one in await people.workspaces(session)] if scope is RuleScope.GLOBAL else [by.workspace]
    for workspace in bound:
        await outbox.announce_bans(session, workspace, bans, at=at)


async def _tell_others(
    session: AsyncSession, by: Administrator, scope: RuleScope, facts: Mapping[str, JsonValue], at: datetime
) -> None:
    """Who changed a global rule is for the chain of their own workspace; the others learn what was changed."""
    if scope is not RuleScope.GLOBAL:
        return
    for workspace in await people.workspaces(session):
        if workspace.id != by.workspace:
            record = AuditRecord(workspace.id, at, SYSTEM, Action.GLOBAL_RULES_CHANGED, "rules/global", facts)
            await audit.append(session, record)
