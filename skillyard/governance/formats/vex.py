"""What is known of the packages, and what people decided about it, as CycloneDX vulnerabilities with analysis (VEX)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from cyclonedx.model import Property
from cyclonedx.model.impact_analysis import (
    ImpactAnalysisAffectedStatus,
    ImpactAnalysisResponse,
    ImpactAnalysisState,
)
from cyclonedx.model.vulnerability import (
    BomTarget,
    BomTargetVersionRange,
    Vulnerability,
    VulnerabilityAnalysis,
    VulnerabilityRating,
    VulnerabilityReference,
    VulnerabilityScoreSource,
    VulnerabilitySeverity,
    VulnerabilitySource,
)

from skillyard.governance.formats.inventory import Inventory
from skillyard.governance.report import Finding, PackageRef, Severity, Verdict, Waived

OURS: Final = "skillyard"
_SEVERITIES: Final[Mapping[Severity, VulnerabilitySeverity]] = {
    Severity.CRITICAL: VulnerabilitySeverity.CRITICAL,
    Severity.HIGH: VulnerabilitySeverity.HIGH,
    Severity.MEDIUM: VulnerabilitySeverity.MEDIUM,
    Severity.LOW: VulnerabilitySeverity.LOW,
    Severity.UNKNOWN: VulnerabilitySeverity.UNKNOWN,
}
_METHODS: Final = (
    ("CVSS:4.", VulnerabilityScoreSource.CVSS_V4),
    ("CVSS:3.1", VulnerabilityScoreSource.CVSS_V3_1),
    ("CVSS:3.", VulnerabilityScoreSource.CVSS_V3),
)
_SOURCES: Final = (
    ("GHSA-", "GitHub Advisories"),
    ("CVE-", "NVD"),
    ("PYSEC-", "PyPI Advisory Database"),
    ("MAL-", "OSV"),
)


def vulnerabilities(
    about: Inventory, refs: Mapping[PackageRef, str], files: Mapping[str, str]
) -> Iterator[Vulnerability]:
    """One for each advisory of each package; and one for each waived rule in a file, because the waiver is a statement.

    ``refs`` and ``files`` are the references of packages and files in the document.
    """
    for place, finding in enumerate(about.report.findings):
        if finding.advisory is not None and finding.package is not None and finding.package in refs:
            yield _of_advisory(finding, finding.advisory, refs[finding.package], place)
        elif finding.waiver is not None and finding.file is not None and finding.file in files:
            yield _of_rule(finding, finding.waiver, files[finding.file], place)


def _of_advisory(finding: Finding, advisory: str, ref: str, place: int) -> Vulnerability:
    version = "" if finding.package is None else finding.package.version
    told = finding.level is not Verdict.INDETERMINATE
    status = ImpactAnalysisAffectedStatus.AFFECTED if told else ImpactAnalysisAffectedStatus.UNKNOWN
    fixes = f"Use {' or '.join(finding.fixed_in)}." if finding.fixed_in else None
    return Vulnerability(
        bom_ref=f"finding:{place}",
        id=advisory,
        source=VulnerabilitySource(name=_source(advisory)),
        references=[
            VulnerabilityReference(id=alias, source=VulnerabilitySource(name=_source(alias)))
            for alias in finding.aliases
        ],
        ratings=[_rating(finding)],
        description=finding.message,
        recommendation=finding.fix or fixes,
        affects=[BomTarget(ref=ref, versions=[BomTargetVersionRange(version=version, status=status)])],
        analysis=None if finding.waiver is None else _analysis(finding.waiver),
        properties=_properties(finding),
    )


def _of_rule(finding: Finding, waiver: Waived, ref: str, place: int) -> Vulnerability:
    return Vulnerability(
        bom_ref=f"finding:{place}",
        id=finding.rule,
        source=VulnerabilitySource(name=OURS),
        ratings=[_rating(finding)],
        description=finding.message,
        recommendation=finding.fix,
        affects=[BomTarget(ref=ref)],
        analysis=_analysis(waiver),
        properties=_properties(finding),
    )


def _analysis(waiver: Waived) -> VulnerabilityAnalysis:
    """A waiver accepts a risk; it does not say that there is none, so the state is not ``not_affected``."""
    detail = f"Waived until {waiver.until.isoformat()} by {waiver.owner} (waiver {waiver.id}): {waiver.reason}"
    return VulnerabilityAnalysis(
        state=ImpactAnalysisState.EXPLOITABLE, responses=[ImpactAnalysisResponse.WILL_NOT_FIX], detail=detail
    )


def _rating(finding: Finding) -> VulnerabilityRating:
    vector = finding.cvss_vector
    if finding.cvss is None or vector is None:
        return VulnerabilityRating(severity=_SEVERITIES[finding.severity])
    # CVSS 2 has vectors without a prefix.
    method = next(
        (method for prefix, method in _METHODS if vector.startswith(prefix)), VulnerabilityScoreSource.CVSS_V2
    )
    score = Decimal(str(finding.cvss))
    return VulnerabilityRating(severity=_SEVERITIES[finding.severity], score=score, method=method, vector=vector)


def _properties(finding: Finding) -> list[Property]:
    found = {"rule": finding.rule, "level": finding.level.name, "confidence": finding.confidence.value}
    if (facts := finding.exploitation) is not None:
        if facts.epss is not None:
            found["epss"] = f"{facts.epss:g}"
        if facts.kev_added is not None:
            found["known_exploited_since"] = facts.kev_added.isoformat()
    return [Property(name=f"{OURS}:{name}", value=value) for name, value in found.items()]


def _source(identifier: str) -> str:
    upper = identifier.upper()
    return next((name for prefix, name in _SOURCES if upper.startswith(prefix)), "OSV")
