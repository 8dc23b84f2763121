"""What the scan of a folder gives. Whoever only reads results loads no rules for it."""

from __future__ import annotations

from dataclasses import dataclass

from skillyard.governance.report import CapabilityUse, Finding
from skillyard.governance.static.gap import Gap


@dataclass(frozen=True, slots=True)
class Scanned:
    """``gaps`` is what was not looked at, and why; where there is any, the scan has not seen everything."""

    findings: tuple[Finding, ...]
    capabilities: tuple[CapabilityUse, ...]
    gaps: tuple[Gap, ...]
