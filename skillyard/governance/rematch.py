"""A report and newer advisory data: is it still all there is to say, and if not, what is said now. Pure.

Only what the advisory index answers is asked again; what other scanners found in the skill does not change with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from skillyard.governance.engines.names import ENGINES
from skillyard.governance.errors import AdvisoryIndexMissingError
from skillyard.governance.report import Evidence, EvidenceState, Finding, Report
from skillyard.governance.scan import report_of
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.skills.lock import Lock
from skillyard.skills.skill import Ecosystem

PRIMARY: Final = "advisories"
"""The scanner whose answer is made again: it matches in this process (``scanners.advisories``)."""
SECOND: Final = ENGINES
"""Engines that look the same lock up, mostly in the same index, and are not run again for newer data."""

_RAN_ON: Final = "it ran on data of"


@dataclass(frozen=True, slots=True)
class DataState:
    """A state of the advisory data: its fingerprint, and the date of what it holds of each ecosystem."""

    fingerprint: str
    dates: Mapping[Ecosystem, datetime]

    def date_for(self, locks: Iterable[Lock]) -> datetime | None:
        """The date of the oldest data that these locks are looked up in; ``None`` where they hold no package.

        Raises ``AdvisoryIndexMissingError`` for an ecosystem of which there is no data.
        """
        used = {lock.ecosystem for lock in locks if lock.packages}
        for one in sorted(used - self.dates.keys()):
            raise AdvisoryIndexMissingError(f"the advisory data holds nothing about {one.value} packages")
        return min((self.dates[one] for one in used), default=None)


def advanced(report: Report, locks: tuple[Lock, ...], data: DataState) -> Report:
    """The report as it is after ``data`` was found to say the same: its evidence is of that data then.

    Evidence that there was none of, that failed, or that was too old when it was kept is left as it is.
    """
    if any(lock.packages and lock.ecosystem not in data.dates for lock in locks):
        return report
    date = data.date_for(locks)
    primary = next((one for one in report.evidence if one.scanner == PRIMARY), None)
    if date is None or primary is None or primary.state is not EvidenceState.RAN or primary.data_date is None:
        return report
    before = primary.data_date
    return replace(report, evidence=tuple(_moved(one, before, date, data) for one in report.evidence))


def rematched(
    report: Report,
    locks: tuple[Lock, ...],
    found: Iterable[Finding],
    data: DataState,
    *,
    policy: ScanPolicy,
    now: datetime,
) -> Report:
    """A report with what ``data`` says of the locks, ``found``, in the place of what advisories said before.

    An engine that is not asked again cannot take back what only it may have said: where one ran, findings of
    advisories that ``found`` no longer has are kept (``withdrawals`` tells whether there are any).
    """
    date = data.date_for(locks)
    fresh = tuple(found)
    kept = [one for one in report.findings if one.advisory is None]
    if asked_others(report):
        kept += withdrawals(report, fresh)
    evidence = tuple(
        _answered(one, date, data) if one.scanner == PRIMARY and date is not None else one for one in report.evidence
    )
    before = next((one.data_date for one in report.evidence if one.scanner == PRIMARY), None)
    if before is not None and date is not None:
        evidence = tuple(_moved(one, before, date, data) if one.scanner in SECOND else one for one in evidence)
    return report_of(
        (*kept, *fresh),
        evidence,
        policy=policy,
        now=now,
        locks=locks,
        bundle_digest=report.bundle_digest,
        lock_digest=report.lock_digest,
        asked=report.asked,
    )


def withdrawals(report: Report, found: Iterable[Finding]) -> list[Finding]:
    """What advisories said before and ``found`` does not say of the same package under any name."""
    now = {(one.package, name) for one in found for name in _names(one)}
    return [
        one
        for one in report.findings
        if one.advisory is not None and not any((one.package, name) in now for name in _names(one))
    ]


def asked_others(report: Report) -> bool:
    """Whether an engine besides the primary one looked at the locks."""
    return any(one.scanner in SECOND and one.data_date is not None for one in report.evidence)


def same_findings(one: Report, other: Report) -> bool:
    """Whether two reports say the same of skill and packages, by evidence in the same states, whatever its dates."""
    states = [[(piece.scanner, piece.state) for piece in report.evidence] for report in (one, other)]
    return one.verdict is other.verdict and one.findings == other.findings and states[0] == states[1]


def _names(finding: Finding) -> tuple[str, ...]:
    return (*((finding.advisory,) if finding.advisory else ()), *finding.aliases)


def _answered(evidence: Evidence, date: datetime, data: DataState) -> Evidence:
    version = _version(evidence, data)
    return Evidence(evidence.scanner, version, EvidenceState.RAN, date)


def _moved(evidence: Evidence, before: datetime, date: datetime, data: DataState) -> Evidence:
    if evidence.state is not EvidenceState.RAN or evidence.data_date != before:
        return evidence
    if evidence.scanner == PRIMARY:
        return replace(evidence, version=_version(evidence, data), data_date=date)
    if evidence.scanner in SECOND:
        reason = f"{_RAN_ON} {before:%Y-%m-%d}; newer data was matched by scanner {PRIMARY} alone"
        # Said once: of several rescans, what counts is the data that the engine itself has seen.
        told = evidence.reason or ""
        said = told if _RAN_ON in told else "; ".join(filter(None, (told, reason)))
        return replace(evidence, data_date=date, reason=said)
    return evidence


def _version(evidence: Evidence, data: DataState) -> str:
    return f"{evidence.version.partition('+')[0]}+index.{data.fingerprint}"
