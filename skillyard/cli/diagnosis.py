"""What ``doctor`` answers with: one check for each thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from skillyard.plugins import PluginStatus


class State(StrEnum):
    """``missing`` is what makes ``doctor`` fail; a ``warning`` works but wants attention."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``hint`` says what to do where something is not right."""

    name: str
    state: State
    detail: str
    hint: str | None = None
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    checks: tuple[Check, ...]
    plugins: tuple[PluginStatus, ...]

    @property
    def ok(self) -> bool:
        return all(check.state is not State.MISSING for check in self.checks)
