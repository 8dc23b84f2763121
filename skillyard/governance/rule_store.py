"""Package rules as they are kept. Every change raises the rules epoch and is recorded, in the caller's transaction."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Row, Select, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.governance import epoch
from skillyard.governance.closure import Rules, compile_rules, evaluated_ref
from skillyard.governance.decision import ApprovalState, FirstUse, PackageRule, RequestState, RuleScope, RuleState
from skillyard.governance.errors import RuleError
from skillyard.governance.report import PackageRef
from skillyard.governance.requested import unpack
from skillyard.governance.rules import RuleDraft, parse_name
from skillyard.governance.tables import ApprovalRequestRow, FirstUseRow, PackageRequestRow, PackageRuleRow
from skillyard.governance.waivers import store as waivers
from skillyard.ids import AgentId, ApprovalId, PackageRequestId, PersonId, RuleId, SkillId, WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.skills.lock import Lock
from skillyard.skills.skill import Ecosystem

_NO_HASHES: Final = "[]"
_MOST_IDS: Final = 500
"""Rules that are read by their ids; where more are wanted, all are read."""


async def load_rules(session: AsyncSession, workspace: WorkspaceId, *, like: Rules | None = None) -> Rules:
    """All rules that bind a workspace, its own and global ones, its first uses and waiting requests, with their epoch.

    Of many rules, reading and grouping them takes most of the time; ``like`` are rules of the workspace as they were
    read before, from which those that are in force still are taken. Give only what was *committed* then: a rule is
    never edited, but the id of one that was rolled back is given to another.
    """
    uses = await session.execute(
        select(FirstUseRow.agent_id, FirstUseRow.skill_id).where(FirstUseRow.workspace_id == workspace)
    )
    groups = like.by_name if like is not None and like.workspace == workspace else {}
    known = {rule.id for group in groups.values() for rule in group.rules}
    live = {RuleId(one) for one in await session.scalars(_live(workspace).with_only_columns(PackageRuleRow.id))}
    return compile_rules(
        workspace=workspace,
        epoch=await epoch.current(session),
        rules=await _read(session, workspace, live - known),
        like=groups,
        gone=known - live,
        first_uses=[FirstUse(AgentId(agent), SkillId(skill)) for agent, skill in uses],
        pending=await _pending(session, workspace),
        asked=await _asked(session, workspace),
        waivers=await waivers.not_revoked(session, workspace),
    )


async def rules_about(session: AsyncSession, workspace: WorkspaceId, locks: Iterable[Lock]) -> Rules:
    """The rules in force about the packages of these locks, and nothing else of ``load_rules``.

    For questions inside a transaction that writes: whoever has many rules would keep all others waiting meanwhile.
    """
    refs = {evaluated_ref(lock.ecosystem, package) for lock in locks for package in lock.all_packages}
    return await rules_named(session, workspace, {ref.name for ref in refs})


async def rules_named(session: AsyncSession, workspace: WorkspaceId, wanted: Collection[str]) -> Rules:
    """The rules in force about packages of these canonical names, and what waits for them."""
    names = sorted(wanted)
    rules: list[PackageRule] = []
    for begin in range(0, len(names), _MOST_IDS):
        some = names[begin : begin + _MOST_IDS]
        rows = await session.scalars(_live(workspace).where(PackageRuleRow.name.in_(some)))
        rules += [_value(row) for row in rows]
    return compile_rules(
        workspace=workspace,
        epoch=await epoch.current(session),
        rules=rules,
        pending=await _pending(session, workspace),
        asked=await _asked(session, workspace),
    )


async def list_rules(
    session: AsyncSession,
    workspace: WorkspaceId,
    *,
    after: int = 0,
    limit: int = 100,
    state: RuleState | None = None,
    ecosystem: Ecosystem | None = None,
    name: str | None = None,
    prefix: str | None = None,
    scope: RuleScope | None = None,
    approval: ApprovalId | None = None,
    expiring: tuple[datetime, datetime] | None = None,
) -> tuple[PackageRule, ...]:
    """Rules that bind a workspace and were not revoked, expired ones included, by id.

    ``after`` is the last id of the page before; ``expiring`` keeps those that end behind the first moment, and not
    behind the second. Raises ``RuleError`` for a name that cannot be one.
    """
    row, kinds = PackageRuleRow, [ecosystem] if ecosystem else list(Ecosystem)
    query = _live(workspace).where(row.id > after)
    if scope is not None:
        query = query.where(in_scope(None if scope is RuleScope.GLOBAL else workspace))
    if state is not None:
        query = query.where(row.state == state)
    if approval is not None:
        query = query.where(row.approval_id == approval)
    if ecosystem is not None:
        query = query.where(row.ecosystem == ecosystem)
    if name is not None:
        query = query.where(_named(kinds, name))
    if prefix is not None:
        query = query.where(or_(*(_begins(one, prefix) for one in kinds)))
    if expiring is not None:
        query = query.where(row.expires_at > expiring[0], row.expires_at <= expiring[1])
    return tuple(_value(one) for one in await session.scalars(query.limit(limit)))


def _named(kinds: list[Ecosystem], text: str) -> ColumnElement[bool]:
    """Of that name, in the ecosystems whose names it can be. Raises ``RuleError`` where it can be none's."""
    names: dict[Ecosystem, str] = {}
    for one in kinds:
        try:
            names[one] = parse_name(one, text)
        except RuleError:
            if one is kinds[-1] and not names:
                raise
    row = PackageRuleRow
    return or_(*(and_(row.ecosystem == one, row.name == name) for one, name in names.items()))


def _begins(ecosystem: Ecosystem, prefix: str) -> ColumnElement[bool]:
    # Not LIKE, which on SQLite takes `A` for `a`; npm's names differ by that.
    start = re.sub(r"[-_.]+", "-", prefix.lower()) if ecosystem is Ecosystem.PYPI else prefix
    return and_(PackageRuleRow.ecosystem == ecosystem, func.substr(PackageRuleRow.name, 1, len(start)) == start)


async def write_rules(
    session: AsyncSession,
    workspace: WorkspaceId | None,
    drafts: Iterable[RuleDraft],
    *,
    approval: ApprovalId | None,
    by: PersonId,
    at: datetime,
) -> tuple[PackageRule, ...]:
    """Stores rules, global ones for no workspace, and nothing else: the caller raises the epoch and records it."""
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


def describe(rule: PackageRule) -> dict[str, JsonValue]:
    """A rule as the audit log keeps it."""
    return {
        "rule": rule.id,
        "scope": rule.scope.value,
        "specifier": rule.specifier,
        "state": rule.state.value,
        "min_maturity": rule.min_maturity.name if rule.min_maturity is not None else None,
        "expires_at": rule.expires_at.isoformat() if rule.expires_at is not None else None,
        "reason": rule.reason,
        "hashes": sorted(rule.hashes),
    }


async def _read(session: AsyncSession, workspace: WorkspaceId, wanted: set[RuleId]) -> list[PackageRule]:
    """The rules of these ids that are in force. Columns and not objects: a session keeps track of every object."""
    if not wanted:
        return []
    query = _live(workspace).with_only_columns(*PackageRuleRow.__table__.columns)
    if len(wanted) <= _MOST_IDS:
        query = query.where(PackageRuleRow.id.in_(wanted))
    return [_value(row) for row in await session.execute(query) if row.id in wanted]


async def rules_of(
    session: AsyncSession, workspace: WorkspaceId | None, ecosystem: Ecosystem, name: str
) -> tuple[PackageRule, ...]:
    """Rules in force about one package that a workspace has of its own; of ``None``: global ones."""
    query = _unrevoked(in_scope(workspace)).where(PackageRuleRow.ecosystem == ecosystem, PackageRuleRow.name == name)
    return tuple(_value(row) for row in await session.scalars(query))


async def all_of(session: AsyncSession, workspace: WorkspaceId | None) -> tuple[PackageRule, ...]:
    """Every rule that a workspace has of its own, or every global one, by id; expired ones included."""
    query = _unrevoked(in_scope(workspace)).with_only_columns(*PackageRuleRow.__table__.columns)
    return tuple(_value(row) for row in await session.execute(query))


async def find(session: AsyncSession, workspace: WorkspaceId, rule: RuleId) -> PackageRule | None:
    """A rule that binds the workspace and was not revoked."""
    row = await session.scalar(_live(workspace).where(PackageRuleRow.id == rule))
    return None if row is None else _value(row)


async def _pending(session: AsyncSession, workspace: WorkspaceId) -> dict[PackageRef, ApprovalId]:
    query = select(ApprovalRequestRow.id, ApprovalRequestRow.packages).where(
        ApprovalRequestRow.workspace_id == workspace, ApprovalRequestRow.state == ApprovalState.PENDING
    )
    waiting: dict[PackageRef, ApprovalId] = {}
    for request, packages in await session.execute(query.order_by(ApprovalRequestRow.id)):
        for package in unpack(packages):
            waiting.setdefault(package.ref, ApprovalId(request))
    return waiting


async def _asked(session: AsyncSession, workspace: WorkspaceId) -> dict[PackageRef, PackageRequestId]:
    row = PackageRequestRow
    query = select(row.id, row.ecosystem, row.name, row.version).where(
        row.workspace_id == workspace, row.state == RequestState.PENDING
    )
    found = await session.execute(query)
    return {PackageRef(ecosystem, name, version): PackageRequestId(id_) for id_, ecosystem, name, version in found}


def _live(workspace: WorkspaceId) -> Select[PackageRuleRow]:
    """What binds a workspace and was not revoked."""
    return _unrevoked(or_(in_scope(workspace), in_scope(None)))


def _unrevoked(where: ColumnElement[bool]) -> Select[PackageRuleRow]:
    return select(PackageRuleRow).where(where, PackageRuleRow.revoked_at.is_(None)).order_by(PackageRuleRow.id)


def in_scope(workspace: WorkspaceId | None) -> ColumnElement[bool]:
    """Rules that a workspace has of its own; of ``None``: global ones."""
    return PackageRuleRow.workspace_id == workspace if workspace else PackageRuleRow.workspace_id.is_(None)


def _row(
    workspace: WorkspaceId | None, draft: RuleDraft, approval: ApprovalId | None, by: PersonId, at: datetime
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


def _value(row: PackageRuleRow | Row[Any]) -> PackageRule:
    return PackageRule(
        id=RuleId(row.id),
        ecosystem=row.ecosystem,
        name=row.name,
        specifier=row.specifier,
        state=row.state,
        min_maturity=row.min_maturity,
        expires_at=row.expires_at,
        reason=row.reason,
        hashes=frozenset(orjson.loads(row.hashes)) if row.hashes != _NO_HASHES else frozenset(),
        approval=None if row.approval_id is None else ApprovalId(row.approval_id),
        scope=RuleScope.GLOBAL if row.workspace_id is None else RuleScope.WORKSPACE,
    )


def subject(rule: PackageRule) -> str:
    """What an audit record about a rule is about."""
    return f"{rule.ecosystem.value}/{rule.name}"
