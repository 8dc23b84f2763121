"""Approval requests as text for people: the queue as a table, one request in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from skillyard.api.schemas.approvals import ApprovalView, RequestedPackageView
from skillyard.api.schemas.reports import FindingView
from skillyard.cli.lengths import age
from skillyard.cli.screen import table
from skillyard.governance.decision import ApprovalState
from skillyard.governance.report import Severity
from skillyard.governance.requested import PackageRole

_ROLES = {
    PackageRole.RUNTIME: "",
    PackageRole.SOURCE: ", built from source",
    PackageRole.BUILD: ", only needed to build another",
}
_MOST_NAMES = 4


def queue_lines(found: Iterable[ApprovalView]) -> list[str]:
    header = ("id", "age", "skill", "asked by", "asks for", "findings", "state", "can be approved by")
    return table(header, [_row(one) for one in found])


def request_lines(found: ApprovalView) -> Iterator[str]:
    """One request, with everything that whoever decides should have seen."""
    yield f"request {found.id}: {found.skill}, {found.state.value}"
    yield f"  asked by {_asker(found)} at {found.created_at:%F %T} UTC, {age(found.waiting_seconds)} ago"
    yield f"  lock {found.lock_digest}"
    if found.split_from is not None:
        yield f"  approved out of request {found.split_from}, ahead of the rest"
    yield from _decision(found)
    if found.first_use:
        yield "  the agent's first use of this skill"
    for banned in found.banned:
        yield f"  BANNED: {_named(banned.package.name, banned.package.version)}: {banned.reason}"
    yield f"  {len(found.packages)} packages to approve:"
    for package in found.packages:
        yield from _package_lines(package)
    yield f"  scan: {found.verdict or 'not installed any more'}"
    yield from (f"    {line}" for finding in found.findings for line in [_finding(finding)])


def _row(one: ApprovalView) -> tuple[str, ...]:
    state = one.state.value + (", banned" if one.banned else "")
    every = [finding for package in one.packages for finding in package.findings] + list(one.findings)
    return (
        str(one.id),
        age(one.waiting_seconds),
        one.skill,
        _asker(one),
        _asks_for(one),
        _counted(every),
        state,
        _approvers(one) if one.state is ApprovalState.PENDING else "",
    )


def _asker(one: ApprovalView) -> str:
    if one.agent is not None:
        return f"{one.agent.name} ({one.agent.maturity}, of {one.owner.name})"
    return one.owner.name


def _asks_for(one: ApprovalView) -> str:
    names = [f"{package.name} {package.version}" for package in one.packages[:_MOST_NAMES]]
    if len(one.packages) > _MOST_NAMES:
        names.append(f"{len(one.packages) - _MOST_NAMES} more")
    return ", ".join([*names, *(["first use"] if one.first_use else [])])


def _counted(findings: Iterable[FindingView]) -> str:
    count = Counter(finding.severity for finding in findings)
    return ", ".join(f"{count[severity]} {severity.value}" for severity in Severity if count[severity]) or "none"


def _approvers(one: ApprovalView) -> str:
    names = [person.name for person in one.approvers[:_MOST_NAMES]]
    if len(one.approvers) > _MOST_NAMES:
        names.append(f"{len(one.approvers) - _MOST_NAMES} more")
    return ", ".join(names) or "nobody: add a second admin"


def _decision(found: ApprovalView) -> Iterator[str]:
    if found.decided_at is not None:
        who = "nobody" if found.decider is None else found.decider.name
        alone = " (the second person was lifted)" if found.second_person is False else ""
        yield f"  decided by {who} at {found.decided_at:%F %T} UTC{alone}"
    if found.min_maturity is not None:
        until = "without an end" if found.approved_until is None else f"until {found.approved_until:%F %T} UTC"
        yield f"  approved from {found.min_maturity} on, {until}"
    if found.comment:
        yield f"  comment: {found.comment}"
    if found.answer_by is not None:
        yield f"  waits until {found.answer_by:%F %T} UTC; can be approved by {_approvers(found)}"


def _package_lines(package: RequestedPackageView) -> Iterator[str]:
    what = f"{package.ecosystem.value}{_ROLES[package.role]}{_before(package)}"
    yield f"    {_named(package.name, package.version)} ({what})"
    yield from (f"      {_finding(finding)}" for finding in package.findings)


def _before(package: RequestedPackageView) -> str:
    if package.other_files:
        return ", approved with other files"
    if package.approved_as:
        return f", approved so far: {', '.join(one or 'every version' for one in package.approved_as)}"
    return ", new here"


def _finding(finding: FindingView) -> str:
    what = finding.advisory or finding.rule
    fixed = f" (fixed in {', '.join(finding.fixed_in)})" if finding.fixed_in else ""
    return f"{finding.level} {finding.severity.value} {what}: {finding.message}{fixed}"


def _named(name: str, version: str) -> str:
    return f"{name} {version}"
