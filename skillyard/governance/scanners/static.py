"""The static scan of a skill's own files, as one of the scanners (``docs/concepts/static-scan.md``)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Final

from skillyard import __version__
from skillyard.governance.report import Evidence, EvidenceState, Finding
from skillyard.governance.scanner import ScanTarget
from skillyard.governance.static.permissions import undeclared
from skillyard.governance.static.worker import SCAN_SECONDS, ScanDiedError, Worker
from skillyard.settings import Settings

_MOST_REASON: Final = 400


class StaticScanner:
    """Reads every file of the skill in a process with limits. Its data is the skill alone, so it has no date."""

    def __init__(self, *, worker: Worker, seconds: float = SCAN_SECONDS) -> None:
        self._worker = worker
        self._seconds = seconds

    @property
    def name(self) -> str:
        return "static"

    async def scan(
        self,
        target: ScanTarget,
        *,
        now: datetime,  # noqa: ARG002  # nothing here has a date
    ) -> tuple[tuple[Finding, ...], Evidence]:
        evidence = Evidence(self.name, __version__, EvidenceState.RAN, None)
        try:
            scanned = await asyncio.to_thread(self._worker.scan, target.folder, seconds=self._seconds)
        except ScanDiedError as error:
            return (), replace(evidence, state=EvidenceState.FAILED, reason=f"the scan gave no result: {error}")
        evidence = replace(evidence, capabilities=scanned.capabilities)
        if scanned.gaps:
            skipped = tuple(str(gap) for gap in scanned.gaps)
            reason = f"not everything was looked at: {'; '.join(skipped)}"
            evidence = replace(evidence, state=EvidenceState.FAILED, reason=reason[:_MOST_REASON], skipped=skipped)
        return (*scanned.findings, *undeclared(target.skill, scanned.capabilities)), evidence


def create_scanner(settings: Settings) -> StaticScanner:  # noqa: ARG001  # every factory takes the settings
    """Entry point ``skillyard.scanners: static``."""
    return StaticScanner(worker=Worker.of_this_process())
