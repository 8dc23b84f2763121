"""Findings, the evidence behind them, and the verdict they add up to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum

from skillyard.ids import BundleDigest, LockDigest
from skillyard.skills.skill import Ecosystem


class Verdict(IntEnum):
    """Ordered by strength: a known bad stays BLOCK even if other evidence is missing."""

    PASS = 0
    FLAG = 1
    INDETERMINATE = 2
    BLOCK = 3


class Severity(StrEnum):
    """Qualitative severities of CVSS; ``unknown`` is its own value and never means low."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    UNKNOWN = "unknown"


class EvidenceState(StrEnum):
    """What a scanner did. Anything but ``ran`` makes the verdict at least INDETERMINATE."""

    RAN = "ran"
    FAILED = "failed"
    STALE = "stale"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class PackageRef:
    """One exact package version of a closure; where a package is asked for, an empty version stands for any."""

    ecosystem: Ecosystem
    name: str
    version: str

    def __str__(self) -> str:
        if not self.version:
            return f"{self.name} (any version)"
        return f"{self.name}=={self.version}" if self.ecosystem is Ecosystem.PYPI else f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. ``level`` is what it does to the verdict; ``rule`` is stable across releases."""

    rule: str
    level: Verdict
    severity: Severity
    message: str
    package: PackageRef | None = None
    advisory: str | None = None
    aliases: tuple[str, ...] = ()
    fixed_in: tuple[str, ...] = ()
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one scanner did and on which data. ``data_date`` is the date of the data, not of the run."""

    scanner: str
    version: str
    state: EvidenceState
    data_date: datetime | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on one skill version, with everything needed to check it again."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    evidence: tuple[Evidence, ...]
    reasons: tuple[str, ...]
    """At least one sentence, strongest first."""
    bundle_digest: BundleDigest
    lock_digest: LockDigest
    made_at: datetime


def combine(findings: Iterable[Finding], evidence: Iterable[Evidence]) -> Verdict:
    """The strongest of all findings' levels; INDETERMINATE where any evidence is not ``ran`` or there is none."""
    states = [item.state for item in evidence]
    floor = Verdict.PASS if states and all(s is EvidenceState.RAN for s in states) else Verdict.INDETERMINATE
    return max([floor, *(finding.level for finding in findings)])
