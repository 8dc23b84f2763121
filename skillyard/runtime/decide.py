"""From a view to a decision: the pure policy, with everything but the agent worked out once for each view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from skillyard.governance.decision import Allow, Decision, Deny, Maturity, Reason
from skillyard.governance.policy import Policy, Ruling, SubjectSkill, rule
from skillyard.ids import AgentId
from skillyard.runtime.errors import DecisionRefusedError
from skillyard.runtime.values import InstalledVersion
from skillyard.runtime.views import View
from skillyard.skills.skill import SkillKind
from skillyard.times import utcnow

_SUSPENDED = (Reason("workspace_suspended", "the workspace is suspended; an operator of the instance can resume it"),)


class Decider:
    """Decides under one policy. Rulings are kept in the view they were made from, and vanish with it."""

    def __init__(self, *, policy: Policy, clock: Callable[[], datetime] = utcnow) -> None:
        self.policy = policy
        self._clock = clock

    def decide(self, view: View, agent: AgentId, version: InstalledVersion) -> Decision:
        """What this agent gets now, as far as this view knows."""
        if view.suspended:
            return Deny(_SUSPENDED)
        now = self._clock()
        return self._ruling(view, version, now).decide(view.agents.get(agent), now)

    def allowed_at_all(self, view: View, version: InstalledVersion) -> Allow:
        """The Allow that the most mature agent would get: what a check of a version may use, and nobody else.

        Raises ``DecisionRefusedError`` where not even that agent may call it, or only after an approval.
        """
        if view.suspended:
            raise DecisionRefusedError(_SUSPENDED, held=False)
        now = self._clock()
        ruling = self._ruling(view, version, now)
        if ruling.inactive:
            raise DecisionRefusedError(ruling.inactive, held=False)
        decision = ruling.by_maturity[Maturity.AUTONOMOUS]
        if not isinstance(decision, Allow):
            raise DecisionRefusedError(decision.reasons, held=not isinstance(decision, Deny))
        return decision

    def _ruling(self, view: View, version: InstalledVersion, now: datetime) -> Ruling:
        ruling = view.rulings.get(version.id)
        if ruling is None or not ruling.holds(now):
            subject = replace(subject_of(version), stop_reason=view.stops.get(version.id, ""))
            ruling = rule(subject, version.locks, version.report, view.rules, now, self.policy)
            view.rulings[version.id] = ruling
        return ruling


def subject_of(version: InstalledVersion) -> SubjectSkill:
    """What a decision needs to know of an installed version."""
    return SubjectSkill(
        id=version.skill_id,
        workspace=version.workspace,
        publisher=version.publisher,
        name=version.name,
        version=version.version,
        kind=version.skill.kind,
        state=version.state,
        requested=version.skill.requested,
        code=version.skill.kind is not SkillKind.INSTRUCTIONS,
        bundle_digest=version.skill.bundle.digest,
    )
