"""Findings, the evidence behind them, and the verdict they add up to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum, StrEnum

from skillyard.ids import BundleDigest, LockDigest, WaiverId
from skillyard.skills.skill import Ecosystem

MALWARE = "MAL-"
"""What identifiers of malicious-package records begin with."""


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


class Confidence(StrEnum):
    """How sure a scanner is that what it found is what it takes it for; it says nothing about how bad that would be."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Capability(StrEnum):
    """What a skill's own code is able to do. Ordinary skills have some of them: none is a finding by itself."""

    NETWORK = "network"
    SUBPROCESS = "subprocess"
    FILE_WRITE = "file_write"
    ENVIRONMENT = "environment"
    DYNAMIC_CODE = "dynamic_code"
    NATIVE_CODE = "native_code"


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
class Exploitation:
    """What others say about an advisory's use by attackers, as it was supplied. It is shown, and sets no severity."""

    epss: float | None = None
    """FIRST's EPSS: the probability, 0 to 1, of being exploited within 30 days of ``epss_date``."""
    epss_percentile: float | None = None
    epss_date: date | None = None
    kev_added: date | None = None
    """When CISA's catalogue of known exploited vulnerabilities took it in; ``None`` where it is not known to be in."""


@dataclass(frozen=True, slots=True)
class Waived:
    """Who lets a finding be, why and until when; ``level`` is what it did to the verdict without that."""

    id: WaiverId
    reason: str
    owner: str
    until: datetime
    level: Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. ``level`` is what it does to the verdict; ``rule`` is stable across releases.

    ``evidence`` is what was seen there, one line, escaped (``shown``). ``why`` says why it matters, ``fix`` what to do.
    ``cvss`` is the base score, 0 to 10, of ``cvss_vector``, the worst of an advisory's vectors.
    ``file_sha256`` is the digest of ``file``, ``said`` the scanner's own level where the policy made another of it, and
    ``waiver`` what a person decided: those three are written by us (``judge``), whatever a scanner says.
    """

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
    confidence: Confidence = Confidence.HIGH
    evidence: str | None = None
    why: str | None = None
    fix: str | None = None
    cvss: float | None = None
    cvss_vector: str | None = None
    exploitation: Exploitation | None = None
    file_sha256: str | None = None
    said: Verdict | None = None
    waiver: Waived | None = None

    @property
    def malware(self) -> bool:
        """Whether a record of a malicious package says so (OSV's ``MAL-`` identifiers, lists of names)."""
        return any(one.upper().startswith(MALWARE) for one in (self.advisory or "", *self.aliases))


@dataclass(frozen=True, slots=True)
class CapabilityUse:
    """One place where the skill's own code uses a capability."""

    capability: Capability
    file: str
    line: int
    evidence: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one scanner did and on which data. ``data_date`` is the date of the data, not of the run.

    ``skipped`` names what it did not look at; a scanner that skipped what it should have seen has not ``ran``.
    ``capabilities`` are facts and no findings, in the order of files and lines.
    """

    scanner: str
    version: str
    state: EvidenceState
    data_date: datetime | None
    reason: str | None = None
    skipped: tuple[str, ...] = ()
    capabilities: tuple[CapabilityUse, ...] = ()


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
    policy: str = ""
    """Digest of the scan policy it was judged by; empty in reports from before there were such policies."""
    asked: str = ""
    """Digest of what that policy asked of the scanners, which cannot be judged anew without scanning."""


LONGEST_EVIDENCE = 200
"""Characters of a finding's evidence."""


def shown(text: str) -> str:
    """What was seen, as one line that can be printed anywhere: at most ``LONGEST_EVIDENCE`` characters, escaped."""
    cut = " ".join(text[: 20 * LONGEST_EVIDENCE].split())[: 2 * LONGEST_EVIDENCE]
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return escaped if len(escaped) <= LONGEST_EVIDENCE else escaped[: LONGEST_EVIDENCE - 1] + "…"


def combine(findings: Iterable[Finding], evidence: Iterable[Evidence]) -> Verdict:
    """The strongest of all findings' levels; INDETERMINATE where any evidence is not ``ran`` or there is none."""
    states = [item.state for item in evidence]
    floor = Verdict.PASS if states and all(s is EvidenceState.RAN for s in states) else Verdict.INDETERMINATE
    return max([floor, *(finding.level for finding in findings)])
