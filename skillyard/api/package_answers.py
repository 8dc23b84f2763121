"""From values about packages to what a client gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from skillyard.api.schemas.packages import (
    AskedView,
    DraftView,
    ImportedView,
    MaturityAnswerView,
    PackageAnswerView,
    PackageRequestView,
    RuleCountView,
    RuleImpactView,
    RuleView,
    StatsView,
    UsedPackageView,
)
from skillyard.api.schemas.reports import ReasonView
from skillyard.api.schemas.values import MaturityName
from skillyard.governance.check import PackageAnswer
from skillyard.governance.decision import Maturity, RuleScope
from skillyard.governance.package_requests import Asked, PackageRequest
from skillyard.governance.rules import RuleDraft
from skillyard.governance.standing import PackageState
from skillyard.runtime.package_stats import PackageStats
from skillyard.runtime.packages import Imported

_MOST_USED = 50


def answer_view(answer: PackageAnswer, maturity: Maturity | None) -> PackageAnswerView:
    """``maturity`` is that of the agent that is asked about."""
    standing, ref = answer.standing, answer.standing.package
    approved = standing.state is PackageState.APPROVED
    return PackageAnswerView(
        ecosystem=ref.ecosystem,
        name=ref.name,
        version=ref.version,
        state=standing.state,
        rule=None if standing.rule is None else RuleView.model_validate(standing.rule),
        min_maturity=_name(standing.minimum if approved else None),
        approval=standing.request,
        request=standing.asked,
        until=standing.until,
        reasons=tuple(ReasonView.model_validate(reason) for reason in answer.reasons),
        by_maturity=tuple(MaturityAnswerView.model_validate(one) for one in answer.by_maturity),
        for_agent=None if maturity is None else MaturityAnswerView.model_validate(answer.to(maturity)),
    )


def request_view(request: PackageRequest) -> PackageRequestView:
    package = request.package
    return PackageRequestView(
        id=request.id,
        ecosystem=package.ecosystem,
        name=package.name,
        version=package.version,
        hashes=tuple(sorted(package.hashes)),
        reason=request.reason,
        state=request.state,
        requested_by_agent=request.requested_by_agent,
        requested_by_person=request.requested_by_person,
        requesting_owner=request.requesting_owner,
        created_at=request.created_at,
        rule=request.rule,
        decided_by=request.decided_by,
        decided_at=request.decided_at,
        second_person=request.second_person,
        comment=request.comment,
    )


def asked_view(asked: Asked, maturity: Maturity | None) -> AskedView:
    request = None if asked.request is None else request_view(asked.request)
    return AskedView(package=answer_view(asked.answer, maturity), request=request)


def imported_view(imported: Imported, scope: RuleScope, *, dry_run: bool) -> ImportedView:
    plan = imported.plan
    return ImportedView(
        dry_run=dry_run,
        mode=plan.mode,
        scope=scope,
        added=tuple(_draft_view(draft) for draft in plan.added),
        ended=tuple(RuleView.model_validate(rule) for rule in plan.ended),
        kept=plan.kept,
        expired=plan.expired,
        impact=None if imported.impact is None else RuleImpactView.model_validate(imported.impact),
    )


def stats_view(stats: PackageStats, expiring_days: int) -> StatsView:
    used = [
        UsedPackageView(
            ecosystem=one.package.ecosystem,
            name=one.package.name,
            version=one.package.version,
            skills=one.skills,
            state=one.state,
        )
        for one in stats.installed[:_MOST_USED]
    ]
    return StatsView(
        rules=tuple(RuleCountView.model_validate(one) for one in stats.rules),
        expiring_days=expiring_days,
        requests_waiting=stats.requests_waiting,
        packages_installed=len(stats.installed),
        installed_by_state=dict(Counter(one.state for one in stats.installed)),
        most_used=tuple(used),
    )


def _name(maturity: Maturity | None) -> MaturityName | None:
    return None if maturity is None else _NAMES[maturity]


_NAMES: Mapping[Maturity, MaturityName] = {
    Maturity.STUDENT: "STUDENT",
    Maturity.INTERN: "INTERN",
    Maturity.SUPERVISED: "SUPERVISED",
    Maturity.AUTONOMOUS: "AUTONOMOUS",
}


def _draft_view(draft: RuleDraft) -> DraftView:
    return DraftView(
        ecosystem=draft.ecosystem,
        name=draft.name,
        specifier=draft.specifier,
        state=draft.state,
        min_maturity=_name(draft.min_maturity),
        expires_at=draft.expires_at,
        reason=draft.reason,
        hashes=tuple(sorted(draft.hashes)),
    )
