"""A rule of the static scan, described where its detector is."""

from __future__ import annotations

from dataclasses import dataclass

from skillyard.governance.report import Severity, Verdict


@dataclass(frozen=True, slots=True)
class Rule:
    """``id`` is stable across releases (snake_case, unique). ``level`` is what a hit does unless policy says otherwise.

    ``why`` and ``fix`` are whole sentences for the person who reads the report: why it matters, and what its author or
    a reviewer does about it.
    """

    id: str
    title: str
    severity: Severity
    level: Verdict
    why: str
    fix: str
