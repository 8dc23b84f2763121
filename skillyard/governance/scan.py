"""Scanning: every scanner over one target, side by side, and the verdict that their answers add up to.

Nothing here turns a failure into "clean": a scanner that raises, hangs, answers nonsense, could not be loaded or does
not exist is evidence that is not there, and the verdict is INDETERMINATE at least.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from skillyard.governance.answers import Answer, checked
from skillyard.governance.engines.agreement import agreed
from skillyard.governance.judge import POLICY, judged
from skillyard.governance.report import Evidence, EvidenceState, Finding, Report, Verdict, combine
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.scanner import Scanner, ScanTarget
from skillyard.governance.source_builds import built_from_source
from skillyard.governance.waivers.waiver import Waiver
from skillyard.ids import BundleDigest, LockDigest
from skillyard.skills.lock import Lock, closure_digest

_CANCEL_GRACE: Final = 1.0
"""Seconds that a cancelled scanner may take to clean up; one that does not end is left behind."""
_DAY: Final = timedelta(days=1)
_CLOCK_SKEW: Final = _DAY
_LONGEST_REASON: Final = 500


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
    answers = agreed(await asyncio.gather(*(_answer(scanner, target, policy, now) for scanner in scanners)))
    evidence = tuple(_aged(one, policy, now) for _, one in answers) + missing
    if not evidence:
        evidence = (Evidence("none", "", EvidenceState.MISSING, None, "no scanner is installed"),)
    digests = {file.path: file.sha256 for file in target.skill.bundle.files}
    found = [_ours(one, digests) for findings_of_one, _ in answers for one in findings_of_one]
    return report_of(
        (*found, *built_from_source(target.locks, allowed=policy.source_builds)),
        evidence,
        policy=policy,
        now=now,
        locks=target.locks,
        bundle_digest=target.skill.bundle.digest,
        lock_digest=closure_digest(target.locks),
        asked=policy.asked,
    )


def report_of(
    findings: Iterable[Finding],
    evidence: Iterable[Evidence],
    *,
    policy: ScanPolicy,
    now: datetime,
    locks: Iterable[Lock],
    bundle_digest: BundleDigest,
    lock_digest: LockDigest,
    asked: str,
) -> Report:
    """What findings and evidence add up to under a policy. ``asked`` is what the scanners were asked by one."""
    found, looked = tuple(findings), tuple(evidence)
    raw = Report(
        verdict=combine(found, looked),
        findings=found,
        evidence=looked,
        reasons=("It is not judged yet.",),
        bundle_digest=bundle_digest,
        lock_digest=lock_digest,
        made_at=now,
        asked=asked,
    )
    return judged(raw, policy, now, packages=sum(len(lock.all_packages) for lock in locks))


def is_stale(report: Report, policy: ScanPolicy, now: datetime) -> bool:
    """Whether a report that was good when it was made rests on data that is too old by ``now``."""
    return any(_too_old(one, policy, now) for one in report.evidence)


def verdict_at(report: Report, policy: ScanPolicy, now: datetime, *, waivers: Sequence[Waiver] = ()) -> Verdict:
    """The report's verdict as it counts at ``now``: by the policy and the waivers as they are now, and INDETERMINATE at
    least where it has become stale."""
    verdict = judged(report, policy, now, waivers=waivers).verdict
    return max(verdict, Verdict.INDETERMINATE) if is_stale(report, policy, now) else verdict


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


def _ours(finding: Finding, digests: Mapping[str, str]) -> Finding:
    """What a scanner found, with what is for us to say: which file it is in, and nothing about policy and waivers."""
    sha256 = None if finding.file is None else digests.get(finding.file)
    return replace(finding, file_sha256=sha256, said=None, waiver=None)


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
    taken = isinstance(name, str) and name not in ("", POLICY)  # a plug-in does not speak for the policy
    return str(name) if taken else type(scanner).__name__


def _failed(name: str, reason: str) -> Answer:
    return (), Evidence(name, "", EvidenceState.FAILED, None, reason[:_LONGEST_REASON])
