"""Reports, findings and reasons, as clients see them."""

from __future__ import annotations

from datetime import datetime

from skillyard.api.schemas.values import VerdictName, View
from skillyard.governance.report import Capability, Confidence, EvidenceState, Severity
from skillyard.skills.skill import Ecosystem


class PackageView(View):
    ecosystem: Ecosystem
    name: str
    version: str


class ReasonView(View):
    code: str
    message: str
    package: PackageView | None


class FindingView(View):
    rule: str
    level: VerdictName
    severity: Severity
    message: str
    package: PackageView | None
    advisory: str | None
    aliases: tuple[str, ...]
    fixed_in: tuple[str, ...]
    file: str | None
    line: int | None
    confidence: Confidence
    evidence: str | None
    why: str | None
    fix: str | None


class CapabilityView(View):
    capability: Capability
    file: str
    line: int
    evidence: str


class EvidenceView(View):
    scanner: str
    version: str
    state: EvidenceState
    data_date: datetime | None
    reason: str | None
    skipped: tuple[str, ...]
    capabilities: tuple[CapabilityView, ...]


class ReportView(View):
    """A scan's verdict, with everything needed to check it again."""

    verdict: VerdictName
    findings: tuple[FindingView, ...]
    evidence: tuple[EvidenceView, ...]
    reasons: tuple[str, ...]
    bundle_digest: str
    lock_digest: str
    made_at: datetime
