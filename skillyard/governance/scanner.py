"""The seam to anything that looks at a skill and its lock before it may run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from skillyard.governance.report import Evidence, Finding
from skillyard.skills.lock import Lock
from skillyard.skills.skill import Skill


@dataclass(frozen=True, slots=True)
class ScanTarget:
    """What is scanned: the parsed skill, its locks, and its files on disk (read, never executed)."""

    skill: Skill
    locks: tuple[Lock, ...]
    folder: Path


class Scanner(Protocol):
    """One engine (entry-point group ``skillyard.scanners``).

    A scanner never raises for what it could not look at: it says so in ``Evidence`` (``failed``, ``stale``,
    ``missing``), which makes the verdict INDETERMINATE. An exception is caught at the call and counts as ``failed``.
    It tells the date of its data and the severity of what it found; whether data is too old, and what a severity does
    to the verdict, is for ``ScanPolicy`` to say, so a finding that names an advisory gets its level from there.
    """

    @property
    def name(self) -> str: ...

    async def scan(self, target: ScanTarget, *, now: datetime) -> tuple[tuple[Finding, ...], Evidence]: ...
