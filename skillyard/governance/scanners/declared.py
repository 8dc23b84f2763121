"""Imports that a skill's files make and that no declared package provides: worth a flag, no proof of anything bad.

So is a Python file of which they are not known, because it is too large.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from skillyard import __version__
from skillyard.governance.report import Evidence, EvidenceState, Finding, Severity, Verdict
from skillyard.governance.scanner import ScanTarget
from skillyard.settings import Settings
from skillyard.skills.imports import UndeclaredImport, undeclared_imports
from skillyard.skills.parse import UNREAD_PYTHON
from skillyard.skills.skill import Ecosystem, Note

RULE: Final = "undeclared_import"
UNKNOWN_RULE: Final = "unknown_imports"


class DeclaredScanner:
    """Compares the parsed imports with the declared packages. Needs no data but the skill itself."""

    @property
    def name(self) -> str:
        return "declared"

    async def scan(self, target: ScanTarget, *, now: datetime) -> tuple[tuple[Finding, ...], Evidence]:  # noqa: ARG002  # nothing here has a date
        locked = {
            package.name for lock in target.locks if lock.ecosystem is Ecosystem.PYPI for package in lock.packages
        }
        findings = [_finding(one, locked) for one in undeclared_imports(target.skill)]
        unread = [_unread(note) for note in target.skill.notes if note.code == UNREAD_PYTHON]
        return (*findings, *unread), Evidence(self.name, __version__, EvidenceState.RAN, None)


def create_scanner(settings: Settings) -> DeclaredScanner:  # noqa: ARG001  # every factory takes the settings
    """Entry point ``skillyard.scanners: declared``."""
    return DeclaredScanner()


def _finding(one: UndeclaredImport, locked: set[str]) -> Finding:
    if one.distribution in locked:
        effect = f"{one.distribution} only comes along with another package; declare it"
    else:
        effect = f"it will fail unless it is optional; declare {one.distribution} if that is what is meant"
    return Finding(
        rule=RULE,
        level=Verdict.FLAG,
        severity=Severity.LOW,
        message=f"the skill imports {one.module} without declaring a package that provides it: {effect}.",
    )


def _unread(note: Note) -> Finding:
    return Finding(
        rule=UNKNOWN_RULE,
        level=Verdict.FLAG,
        severity=Severity.LOW,
        message=f"what {note.file} imports is not known: {note.message}.",
    )
