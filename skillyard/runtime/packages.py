"""Package rules and requests for packages, joined to skills: what a change of them holds, lets go on, and stops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog

from skillyard.database import Database, Session
from skillyard.errors import SkillyardError
from skillyard.governance import package_requests, people, rule_changes, rule_store
from skillyard.governance.administrators import Administrator
from skillyard.governance.approval_terms import ApprovalTerms
from skillyard.governance.check import PackageAnswer, WantedPackage, check_package
from skillyard.governance.decision import Agent, Maturity, PackageRule, RuleScope
from skillyard.governance.identity import Person
from skillyard.governance.package_requests import Asked, PackageRequest
from skillyard.governance.rule_plan import ImportMode, RulePlan, plan_import
from skillyard.governance.rules import RuleDraft
from skillyard.ids import PackageRequestId, RuleId, WorkspaceId
from skillyard.runtime.enforce import Enforcer
from skillyard.runtime.follow import RuleFollower
from skillyard.runtime.rule_impact import Foresight, RuleImpact
from skillyard.runtime.views import Views
from skillyard.skills.skill import Ecosystem
from skillyard.times import utcnow

_log = structlog.get_logger("skillyard.packages")


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import changed, or would have. ``impact`` is there for a dry run."""

    plan: RulePlan
    added: tuple[PackageRule, ...]
    impact: RuleImpact | None


class Packages:
    """Each change is one transaction, and what has to follow from it in this process."""

    def __init__(
        self,
        *,
        database: Database,
        views: Views,
        follower: RuleFollower,
        enforcer: Enforcer,
        foresight: Foresight,
        terms: ApprovalTerms,
    ) -> None:
        self._database = database
        self._views = views
        self._follower = follower
        self._enforcer = enforcer
        self._foresight = foresight
        self._terms = terms

    async def add(self, draft: RuleDraft, *, by: Administrator, scope: RuleScope = RuleScope.WORKSPACE) -> PackageRule:
        """An approval or a ban of packages. A ban stops running sandboxes that hold them, after it is committed."""
        async with self._database.transaction() as session:
            rule = await rule_changes.add_rule(session, draft, by=by, at=utcnow(), scope=scope)
            await self._follow(session, by.workspace, scope)
        await self._act(by.workspace, scope)
        return rule

    async def revoke(self, rule: RuleId, *, by: Administrator) -> PackageRule:
        """End one rule, of either kind and scope; versions that an approval covered go back to ``held``."""
        async with self._database.transaction() as session:
            revoked = await rule_changes.revoke_rule(session, rule, by=by, at=utcnow())
            await self._follow(session, by.workspace, revoked.scope)
        await self._act(by.workspace, revoked.scope)
        return revoked

    async def unban(
        self,
        ecosystem: Ecosystem,
        name: str,
        *,
        by: Administrator,
        specifier: str | None = None,
        scope: RuleScope = RuleScope.WORKSPACE,
    ) -> tuple[PackageRule, ...]:
        """Lift bans; versions that lack nothing else become active again."""
        async with self._database.transaction() as session:
            lifted = await rule_changes.unban(
                session, ecosystem, name, specifier=specifier, by=by, at=utcnow(), scope=scope
            )
            await self._follow(session, by.workspace, scope)
        await self._act(by.workspace, scope)
        return lifted

    async def take_in(
        self,
        drafts: Iterable[RuleDraft],
        *,
        by: Administrator,
        mode: ImportMode,
        source: str,
        scope: RuleScope = RuleScope.WORKSPACE,
        dry_run: bool = False,
    ) -> Imported:
        """Bring the rules of a scope to what a file says, whole or not at all; see ``rule_plan``.

        A dry run changes nothing, and tells which installed skills and agents the change would affect. Both need the
        same role.
        """
        wanted, at = tuple(drafts), utcnow()
        if dry_run:
            return await self._foresee(wanted, by=by, mode=mode, scope=scope, at=at)
        async with self._database.transaction() as session:
            existing = await rule_store.all_of(session, rule_changes.owner_of(by, scope))
            plan = plan_import(existing, wanted, mode=mode, now=at)
            added = await rule_changes.carry_out(session, plan, by=by, at=at, scope=scope, source=source)
            if not plan.empty:
                await self._follow(session, by.workspace, scope)
        if not plan.empty:
            await self._act(by.workspace, scope)
        return Imported(plan, added, None)

    async def _foresee(
        self, wanted: tuple[RuleDraft, ...], *, by: Administrator, mode: ImportMode, scope: RuleScope, at: datetime
    ) -> Imported:
        async with self._database.reading() as session:
            await rule_changes.require_scope(session, by, scope)
            existing = await rule_store.all_of(session, rule_changes.owner_of(by, scope))
            everyone = [one.id for one in await people.workspaces(session)] if scope is RuleScope.GLOBAL else []
        plan = plan_import(existing, wanted, mode=mode, now=at)
        others = [one for one in everyone if one != by.workspace]
        return Imported(plan, (), await self._foresight.impact(plan, scope, by.workspace, others, at))

    async def request(self, wanted: WantedPackage, *, requester: Agent | Person, reason: str) -> Asked:
        """Ask for a package: what is banned stays banned, what is approved needs no request."""
        async with self._database.transaction() as session:
            return await package_requests.request(
                session, wanted, requester=requester, reason=reason, at=utcnow(), terms=self._terms
            )

    async def approve_request(
        self,
        request: PackageRequestId,
        *,
        by: Administrator,
        min_maturity: Maturity | None = None,
        specifier: str | None = None,
        expires_at: datetime | None = None,
        comment: str | None = None,
    ) -> PackageRequest:
        """Approve what was asked for; see ``package_requests.approve``."""
        async with self._database.transaction() as session:
            decided = await package_requests.approve(
                session,
                request,
                by=by,
                at=utcnow(),
                min_maturity=min_maturity,
                specifier=specifier,
                expires_at=expires_at,
                comment=comment,
                terms=self._terms,
            )
            await self._follow(session, by.workspace, RuleScope.WORKSPACE)
        return decided

    async def deny_request(
        self, request: PackageRequestId, *, by: Administrator, comment: str | None = None
    ) -> PackageRequest:
        """Say no."""
        async with self._database.transaction() as session:
            return await package_requests.deny(session, request, by=by, at=utcnow(), comment=comment)

    async def check(self, workspace: WorkspaceId, wanted: Iterable[WantedPackage]) -> tuple[PackageAnswer, ...]:
        """Where packages stand in a workspace now."""
        now, asked = utcnow(), tuple(wanted)
        async with self._database.reading() as session:
            rules = await rule_store.rules_named(session, workspace, {one.name for one in asked})
        return tuple(check_package(one, rules, now) for one in asked)

    async def _follow(self, session: Session, workspace: WorkspaceId, scope: RuleScope) -> None:
        # A global rule binds every workspace at the commit; the states of their versions follow behind it, one
        # transaction each, so that nobody waits for all of them.
        if scope is RuleScope.WORKSPACE:
            await self._follower.follow(session, workspace)

    async def _act(self, workspace: WorkspaceId, scope: RuleScope) -> None:
        """Stop what is forbidden now, in this process; others see the epoch. Everything is tried before it raises."""
        if scope is RuleScope.WORKSPACE:
            await self._enforcer.enforce(workspace)
            return
        seen = [view.workspace for view in self._views.seen]
        done = await asyncio.gather(*(self._enforcer.enforce(one) for one in seen), return_exceptions=True)
        failures = [one for one in done if one is not None]
        await self._follow_everywhere()
        if failures:
            raise failures[0]

    async def _follow_everywhere(self) -> None:
        async with self._database.reading() as session:
            workspaces = [one.id for one in await people.workspaces(session)]
        for workspace in workspaces:
            try:
                async with self._database.transaction() as session:
                    await self._follower.follow(session, workspace)
            except SkillyardError as error:
                # Decisions are made from the rules; what lags behind is what listings say of the version.
                _log.error("following_rules_failed", workspace=workspace, error=str(error))
