"""A scanner from a third party: flags skills whose name starts with ``acme-``. Small, but it really scans."""

from datetime import datetime

from skillyard.governance.report import Evidence, EvidenceState, Finding, Severity, Verdict
from skillyard.governance.scanner import ScanTarget
from skillyard.settings import Settings

print("acme_scanner says hello on standard output")  # what a careless plug-in does


class AcmeScanner:
    name = "acme"

    async def scan(self, target: ScanTarget, *, now: datetime) -> tuple[tuple[Finding, ...], Evidence]:
        findings: tuple[Finding, ...] = ()
        if target.skill.name.startswith("acme-"):
            findings = (Finding("acme-name", Verdict.FLAG, Severity.LOW, "the name is reserved"),)
        return findings, Evidence(self.name, "1.2.3", EvidenceState.RAN, now)


def create_scanner(settings: Settings) -> AcmeScanner:
    assert isinstance(settings, Settings)
    return AcmeScanner()
