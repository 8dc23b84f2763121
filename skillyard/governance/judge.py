"""From what was found to what it means: levels by the policy, waivers by the clock, and the verdict of both.

A report is judged when it is made, and again whenever it counts: the findings that were stored are the same, the policy
may be another, and a waiver may have been given, revoked or run out. Nothing is scanned for that. What a policy asks
of the *scanners* cannot be had so: a report that was made without it is INDETERMINATE until the skill is scanned again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from skillyard.governance.advisories.severity import RANK
from skillyard.governance.reasons import reasons_for
from skillyard.governance.report import Evidence, EvidenceState, Finding, Report, Verdict, Waived, combine
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.waivers.waiver import Waiver, covering

POLICY: Final = "policy"
"""The name of the evidence that is ours: that everything is there which the policy asks for."""


def judged(
    report: Report,
    policy: ScanPolicy,
    now: datetime,
    *,
    waivers: Sequence[Waiver] = (),
    packages: int | None = None,
) -> Report:
    """The report as it counts now under this policy and these waivers. ``packages`` is how many were looked at, for
    the words of a PASS; judging a judged report again is the same as judging what was scanned."""
    findings = tuple(sorted((_judged(one, policy, now, waivers) for one in report.findings), key=strongest_first))
    scanned = tuple(one for one in report.evidence if one.scanner != POLICY)
    evidence = scanned + _gaps(report, scanned, policy)
    verdict = combine(findings, evidence)
    same = findings == report.findings and evidence == report.evidence and verdict is report.verdict
    if same and packages is None:
        return report if report.policy == policy.digest else replace(report, policy=policy.digest)
    reasons = reasons_for(verdict, findings, evidence, packages)
    if report.verdict > max(verdict, combine(report.findings, report.evidence)):
        # It said more than its parts add up to, which nothing of ours does; whoever did may know why.
        verdict, reasons = report.verdict, report.reasons
    return replace(
        report,
        verdict=verdict,
        findings=findings,
        evidence=evidence,
        reasons=reasons,
        policy=policy.digest,
    )


_Order = tuple[int, int, str, str, str, str, int, float, str]


def strongest_first(finding: Finding) -> _Order:
    """The order of findings in a report, the same however often it was judged."""
    place = str(finding.package) if finding.package else f"{finding.file or ''}:{finding.line or 0:>9}"
    said = finding.level if finding.said is None else finding.said
    name, rule, message = finding.advisory or finding.rule, finding.rule, finding.message
    alike = (rule, -said, -1.0 if finding.cvss is None else finding.cvss, finding.file_sha256 or "")
    return -finding.level, -RANK[finding.severity], place, name, message, *alike


def as_scanned(finding: Finding) -> Finding:
    """The finding without what a policy or a waiver made of it."""
    level = finding.level if finding.waiver is None else finding.waiver.level
    return replace(finding, level=level if finding.said is None else finding.said, said=None, waiver=None)


def _judged(finding: Finding, policy: ScanPolicy, now: datetime, waivers: Sequence[Waiver]) -> Finding:
    bare = finding if finding.said is None and finding.waiver is None else as_scanned(finding)
    level = policy.level_of(bare)
    levelled = bare if level is bare.level else replace(bare, level=level, said=bare.level)
    waiver = covering(levelled, waivers, now) if waivers and level is not Verdict.PASS else None
    if waiver is None:
        return levelled
    waived = Waived(waiver.id, waiver.reason, waiver.owner_name, waiver.expires_at, level)
    return replace(levelled, level=Verdict.FLAG, said=bare.level, waiver=waived)


def _gaps(report: Report, scanned: tuple[Evidence, ...], policy: ScanPolicy) -> tuple[Evidence, ...]:
    ran = {one.scanner for one in scanned}
    missing = [name for name in policy.required_scanners if name not in ran]
    wrong = [f"it requires evidence of {', '.join(missing)}, and there is none"] if missing else []
    if report.asked != policy.asked and (report.asked or not policy.asks_nothing):
        wrong.append("what it asks scanners to look for has changed since; scan it again")
    if not wrong:
        return ()
    return (Evidence(POLICY, "", EvidenceState.MISSING, None, "; ".join(wrong)),)
