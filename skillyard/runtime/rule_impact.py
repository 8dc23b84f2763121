"""Before a change of rules: which installed versions it would be decided differently for, and which agents use them.

The real decision, made twice: under the rules as they are, and as they would be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from skillyard.governance.closure import Rules, compile_rules
from skillyard.governance.decision import Agent, Allow, Decision, Hold, Maturity, PackageRule, Reason, RuleScope
from skillyard.governance.policy import Policy, Ruling, rule
from skillyard.governance.rule_plan import RulePlan
from skillyard.ids import AgentId, RuleId, WorkspaceId
from skillyard.runtime.decide import subject_of
from skillyard.runtime.values import InstalledVersion
from skillyard.runtime.views import View, Views


@dataclass(frozen=True, slots=True)
class ChangedDecision:
    """What an agent of one maturity would get of a version: ``allow``, ``hold`` or ``deny``, before and after."""

    skill: str
    version: str
    maturity: Maturity
    before: str
    after: str
    reasons: tuple[Reason, ...]
    """Those of the decision after."""


@dataclass(frozen=True, slots=True)
class AffectedAgent:
    """An agent of a maturity that a decision changes for."""

    id: AgentId
    name: str
    maturity: Maturity


@dataclass(frozen=True, slots=True)
class RuleImpact:
    """What a change would do. Of other workspaces an operator learns how much, and not what."""

    decisions: tuple[ChangedDecision, ...]
    agents: tuple[AffectedAgent, ...]
    other_workspaces: int
    other_versions: int
    other_agents: int


class Foresight:
    """Decides under the policy in force; changes nothing."""

    def __init__(self, *, views: Views, policy: Policy) -> None:
        self._views = views
        self._policy = policy

    async def impact(
        self, plan: RulePlan, scope: RuleScope, workspace: WorkspaceId, others: Iterable[WorkspaceId], now: datetime
    ) -> RuleImpact:
        """Of a plan for one scope: in full in a workspace, in numbers in others."""
        decisions, agents = await self._in(workspace, plan, scope, now)
        changed = [await self._in(other, plan, scope, now) for other in others]
        touched = [(found, some) for found, some in changed if found]
        return RuleImpact(
            decisions=decisions,
            agents=agents,
            other_workspaces=len(touched),
            other_versions=sum(len({(one.skill, one.version) for one in found}) for found, _ in touched),
            other_agents=sum(len(some) for _, some in touched),
        )

    async def _in(
        self, workspace: WorkspaceId, plan: RulePlan, scope: RuleScope, now: datetime
    ) -> tuple[tuple[ChangedDecision, ...], tuple[AffectedAgent, ...]]:
        view = await self._views.current(workspace)
        decisions = await asyncio.to_thread(_changed, view, rules_after(view.rules, plan, scope), self._policy, now)
        maturities = {one.maturity for one in decisions}
        agents = sorted((one for one in view.agents.values() if one.maturity in maturities), key=_id)
        return decisions, tuple(AffectedAgent(one.id, one.name, one.maturity) for one in agents)


def rules_after(rules: Rules, plan: RulePlan, scope: RuleScope) -> Rules:
    """The rules as a plan would leave them. What it adds has no id yet, and gets numbers below zero."""
    added = [
        PackageRule(
            id=RuleId(-place),
            ecosystem=draft.ecosystem,
            name=draft.name,
            specifier=draft.specifier,
            state=draft.state,
            min_maturity=draft.min_maturity,
            expires_at=draft.expires_at,
            reason=draft.reason,
            hashes=draft.hashes,
            scope=scope,
        )
        for place, draft in enumerate(plan.added, start=1)
    ]
    return compile_rules(
        workspace=rules.workspace,
        epoch=rules.epoch,
        rules=added,
        like=rules.by_name,
        gone={one.id for one in plan.ended},
        first_uses=rules.first_uses,
        pending=rules.pending,
        asked=rules.asked,
        waivers=rules.waivers,
    )


def _changed(view: View, after: Rules, policy: Policy, now: datetime) -> tuple[ChangedDecision, ...]:
    found: list[ChangedDecision] = []
    for version in sorted(view.versions.values(), key=_name):
        old, new = (_ruling(version, rules, policy, now) for rules in (view.rules, after))
        if not old.inactive:
            found += _differences(version, old, new)
    return tuple(found)


def _ruling(version: InstalledVersion, rules: Rules, policy: Policy, now: datetime) -> Ruling:
    return rule(subject_of(version), version.locks, version.report, rules, now, policy)


def _differences(version: InstalledVersion, old: Ruling, new: Ruling) -> Sequence[ChangedDecision]:
    return [
        ChangedDecision(
            skill=f"{version.publisher}/{version.name}",
            version=version.version,
            maturity=maturity,
            before=_kind(before),
            after=_kind(after),
            reasons=after.reasons,
        )
        for maturity, before, after in zip(Maturity, old.by_maturity, new.by_maturity, strict=True)
        if _kind(before) != _kind(after)
    ]


def _kind(decision: Decision) -> str:
    return "allow" if isinstance(decision, Allow) else "hold" if isinstance(decision, Hold) else "deny"


def _id(agent: Agent) -> int:
    return agent.id


def _name(version: InstalledVersion) -> tuple[str, str]:
    return str(version.ref), version.version
