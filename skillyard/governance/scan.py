"""Scanning: every scanner over one target, side by side, and the verdict that their answers add up to.

Nothing here turns a failure into "clean": a scanner that raises, hangs, answers nonsense, could not be loaded or does
not exist is evidence that is not there, and the verdict is INDETERMINATE at least.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from skillyard.governance.advisories.severity import RANK
from skillyard.governance.answers import Answer, checked
from skillyard.governance.reasons import reasons_for
from skillyard.governance.report import Evidence, EvidenceState, Finding, Report, Severity, Verdict, combine
from skillyard.governance.scanner import Scanner, ScanTarget
from skillyard.governance.source_builds import built_from_source
from skillyard.settings import Settings
from skillyard.skills.lock import closure_digest

_CANCEL_GRACE: Final = 1.0
"""Seconds that a cancelled scanner may take to clean up; one that does not end is left behind."""
_DAY: Final = timedelta(days=1)
_CLOCK_SKEW: Final = _DAY
_LONGEST_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class ScanPolicy:
    """What evidence must be like, and what a severity does.

    ``max_age`` bounds the age of a scanner's data, ``None`` takes any age. An advisory of ``block_at`` or worse
    BLOCKs, a milder one FLAGs; unknown severity counts as high. ``scanner_timeout`` is in seconds, for each scanner.
    """

    max_age: timedelta | None = timedelta(days=7)
    block_at: Severity = Severity.HIGH
    scanner_timeout: float = 120.0
    source_builds: bool = False
    """Whether packages may be built from source; what was built so is a FLAG then, and a BLOCK otherwise."""

    @classmethod
    def from_settings(cls, settings: Settings) -> ScanPolicy:
        return cls(
            max_age=timedelta(days=settings.advisories_max_age_days),
            source_builds=settings.source_builds == "allow",
        )

    def level(self, severity: Severity) -> Verdict:
        return Verdict.BLOCK if RANK[severity] >= RANK[self.block_at] else Verdict.FLAG


async def scan(
    target: ScanTarget,
    scanners: Sequence[Scanner],
    *,
    policy: ScanPolicy,
    now: datetime,
    missing: tuple[Evidence, ...] = (),
) -> Report:
    """The report on one skill version. ``missing`` is the evidence of scanners that could not even be loaded.

    Never raises for what a scanner does, and always answers within the policy's time limit.
    """
    answers = await asyncio.gather(*(_answer(scanner, target, policy, now) for scanner in scanners))
    evidence = tuple(_aged(one, policy, now) for _, one in answers) + missing
    if not evidence:
        evidence = (Evidence("none", "", EvidenceState.MISSING, None, "no scanner is installed"),)
    found = [_judged(one, policy) for findings_of_one, _ in answers for one in findings_of_one]
    findings = sorted([*found, *built_from_source(target.locks, allowed=policy.source_builds)], key=_strongest_first)
    verdict = combine(findings, evidence)
    packages = sum(len(lock.all_packages) for lock in target.locks)
    return Report(
        verdict=verdict,
        findings=tuple(findings),
        evidence=evidence,
        reasons=reasons_for(verdict, findings, evidence, packages),
        bundle_digest=target.skill.bundle.digest,
        lock_digest=closure_digest(target.locks),
        made_at=now,
    )


def is_stale(report: Report, policy: ScanPolicy, now: datetime) -> bool:
    """Whether a report that was good when it was made rests on data that is too old by ``now``."""
    return any(_too_old(one, policy, now) for one in report.evidence)


def verdict_at(report: Report, policy: ScanPolicy, now: datetime) -> Verdict:
    """The report's verdict as it counts at ``now``: INDETERMINATE at least where it has become stale."""
    return max(report.verdict, Verdict.INDETERMINATE) if is_stale(report, policy, now) else report.verdict


def _too_old(evidence: Evidence, policy: ScanPolicy, now: datetime) -> bool:
    if evidence.data_date is None or policy.max_age is None:
        return False
    # Data from the future is the work of a wrong clock, and would never grow old.
    return now - evidence.data_date > policy.max_age or evidence.data_date - now > _CLOCK_SKEW


def _aged(evidence: Evidence, policy: ScanPolicy, now: datetime) -> Evidence:
    if evidence.state is not EvidenceState.RAN or evidence.data_date is None or policy.max_age is None:
        return evidence
    if not _too_old(evidence, policy, now):
        return evidence
    days = (now - evidence.data_date).days
    most = policy.max_age / _DAY
    reason = f"its data is of {evidence.data_date:%Y-%m-%d}, {days} days old; the policy takes {most:g} days"
    return replace(evidence, state=EvidenceState.STALE, reason=reason)


def _judged(finding: Finding, policy: ScanPolicy) -> Finding:
    """An advisory's level follows from the policy, unless the scanner could not tell whether it applies."""
    if finding.advisory is None or finding.level is Verdict.INDETERMINATE:
        return finding
    return replace(finding, level=policy.level(finding.severity))


def _strongest_first(finding: Finding) -> tuple[int, int, str, str, str]:
    package = str(finding.package) if finding.package else ""
    return -finding.level, -RANK[finding.severity], package, finding.advisory or "", finding.message


async def _answer(scanner: Scanner, target: ScanTarget, policy: ScanPolicy, now: datetime) -> Answer:
    """One scanner's answer, or the evidence that there is none."""
    name = _name(scanner)
    task = asyncio.ensure_future(_call(scanner, name, target, now))
    try:
        done, _ = await asyncio.wait({task}, timeout=policy.scanner_timeout)
        if done:
            return _failed(name, "cancelled itself") if task.cancelled() else task.result()
        return _failed(name, f"gave no answer within {policy.scanner_timeout:g} seconds")
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_GRACE)


async def _call(scanner: Scanner, name: str, target: ScanTarget, now: datetime) -> Answer:
    try:
        findings, evidence = checked(await scanner.scan(target, now=now))
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a plug-in's failure, of any kind, is its evidence
        return _failed(name, f"{type(error).__name__}: {error}")
    return findings, replace(evidence, scanner=name)


def _name(scanner: Scanner) -> str:
    name: object = getattr(scanner, "name", None)
    return name if isinstance(name, str) and name else type(scanner).__name__


def _failed(name: str, reason: str) -> Answer:
    return (), Evidence(name, "", EvidenceState.FAILED, None, reason[:_LONGEST_REASON])
