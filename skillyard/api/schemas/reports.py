"""Reports, findings and reasons, as clients see them."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, datetime

from pydantic import model_validator

from skillyard.api.schemas.values import VerdictName, View
from skillyard.governance.report import Capability, Confidence, EvidenceState, Finding, Severity
from skillyard.governance.waivers.waiver import how_to_waive
from skillyard.skills.skill import Ecosystem


class PackageView(View):
    ecosystem: Ecosystem
    name: str
    version: str


class ReasonView(View):
    code: str
    message: str
    package: PackageView | None


class ExploitationView(View):
    """What was supplied about an advisory's use by attackers; see ``docs/reference/advisories.md``."""

    epss: float | None
    epss_percentile: float | None
    epss_date: date | None
    kev_added: date | None


class WaivedView(View):
    """Who lets a finding be, why and until when; `level` is what it did to the verdict without that."""

    id: int
    reason: str
    owner: str
    until: datetime
    level: VerdictName


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
    cvss: float | None
    cvss_vector: str | None
    exploitation: ExploitationView | None
    file_sha256: str | None
    said: VerdictName | None
    waiver: WaivedView | None
    waive: str
    """What would waive it: the command that does, or why none does."""

    @model_validator(mode="before")
    @classmethod
    def _with_how_to_waive(cls, value: object) -> object:
        if not isinstance(value, Finding):
            return value
        return {field.name: getattr(value, field.name) for field in fields(value)} | {"waive": how_to_waive(value)}


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
    policy: str
    asked: str
