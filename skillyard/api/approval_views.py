"""From a reviewed approval request to what a client gets."""

from __future__ import annotations

from pydantic import TypeAdapter

from skillyard.api.schemas.approvals import (
    ApprovalView,
    AskingAgentView,
    BannedView,
    NamedView,
    RequestedPackageView,
)
from skillyard.api.schemas.reports import FindingView
from skillyard.api.schemas.values import MaturityName, VerdictName
from skillyard.governance.decision import Agent
from skillyard.governance.identity import Person
from skillyard.governance.report import Finding
from skillyard.runtime.review import Review, ReviewedPackage

_VERDICT: TypeAdapter[VerdictName] = TypeAdapter(VerdictName)
_MATURITY: TypeAdapter[MaturityName] = TypeAdapter(MaturityName)


def approval_view(review: Review) -> ApprovalView:
    request = review.request
    return ApprovalView(
        id=request.id,
        skill=request.skill,
        skill_version_id=request.skill_version_id,
        lock_digest=request.lock_digest,
        state=request.state,
        packages=tuple(_package(package) for package in review.packages),
        first_use=request.first_use,
        requested_by_agent=request.requested_by_agent,
        requested_by_person=request.requested_by_person,
        requesting_owner=request.requesting_owner,
        created_at=request.created_at,
        decided_by=request.decided_by,
        decided_at=request.decided_at,
        comment=request.comment,
        agent=_agent(review.agent),
        owner=NamedView.model_validate(review.owner),
        decider=_named(review.decider),
        waiting_seconds=review.waiting.total_seconds(),
        answer_by=review.answer_by,
        verdict=None if review.report is None else _VERDICT.validate_python(review.report.verdict),
        findings=_findings(review.findings),
        banned=tuple(BannedView.model_validate(item) for item in review.banned),
        approvers=tuple(NamedView.model_validate(person) for person in review.approvers),
        min_maturity=None if request.min_maturity is None else _MATURITY.validate_python(request.min_maturity),
        approved_until=request.approved_until,
        second_person=request.second_person,
        split_from=request.split_from,
    )


def _package(package: ReviewedPackage) -> RequestedPackageView:
    asked = package.asked
    return RequestedPackageView(
        ecosystem=asked.ecosystem,
        name=asked.name,
        version=asked.version,
        hashes=asked.hashes,
        role=asked.role,
        approved_as=package.approved_as,
        other_files=package.other_files,
        findings=_findings(package.findings),
    )


def _findings(findings: tuple[Finding, ...]) -> tuple[FindingView, ...]:
    return tuple(FindingView.model_validate(finding) for finding in findings)


def _agent(agent: Agent | None) -> AskingAgentView | None:
    return None if agent is None else AskingAgentView.model_validate(agent)


def _named(person: Person | None) -> NamedView | None:
    return None if person is None else NamedView.model_validate(person)
