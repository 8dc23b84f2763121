"""What a new advisory does to approvals: whoever approved a package did not know of it.

Exactly the rules end that approvals made for the affected versions; what else an approval allowed stays approved.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.governance import audit, rule_store
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import PackageRule, RuleState
from skillyard.governance.identity import SYSTEM
from skillyard.governance.report import PackageRef
from skillyard.governance.rules import canonical_name
from skillyard.governance.tables import PackageRuleRow
from skillyard.ids import WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.skills.skill import Ecosystem


async def void(
    session: AsyncSession, workspace: WorkspaceId, packages: Collection[PackageRef], *, reason: str, at: datetime
) -> tuple[PackageRule, ...]:
    """Ends the rules that approval requests of a workspace made for exactly these versions; returns them.

    An admin's own rule for a package, which names no request, is left: it may be meant for every version, and a report
    that blocks beats it. In the caller's transaction, which raises the epoch.
    """
    ended: list[PackageRule] = []
    for package in sorted(packages, key=str):
        row = PackageRuleRow
        exact = package.version if package.ecosystem is Ecosystem.NPM else f"=={package.version}"
        name = canonical_name(package.ecosystem, package.name)
        mine = select(row.id).where(
            row.workspace_id == workspace,
            row.ecosystem == package.ecosystem,
            row.name == name,
            row.approval_id.is_not(None),
            row.state == RuleState.APPROVED,
            row.revoked_at.is_(None),
            or_(row.specifier == exact, row.specifier == package.version),
        )
        about = await rule_store.rules_of(session, workspace, package.ecosystem, name)
        ids = set(await session.scalars(mine))
        await session.execute(
            update(row).where(row.id.in_(ids)).values(revoked_at=at).execution_options(synchronize_session=False)
        )
        for rule in about:
            if rule.id in ids:
                ended.append(rule)
                facts: dict[str, JsonValue] = {
                    **rule_store.describe(rule),
                    "approval": rule.approval,
                    "because": reason,
                }
                action = Action.PACKAGE_RULE_REVOKED
                await audit.append(session, AuditRecord(workspace, at, SYSTEM, action, rule_store.subject(rule), facts))
    return tuple(ended)
