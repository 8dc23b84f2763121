"""What the records say of an agent over a window: the evidence for trusting it more or less.

Everything is counted from recorded calls and the audit chain. Where there is nothing to count from, there is no
figure: an agent that never called has no success rate, which is something else than a rate of nought.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from skillyard.governance.decision import Maturity
from skillyard.ids import AgentId, PersonId
from skillyard.json_value import JsonValue

_Z95 = 1.959963984540054
"""The standard normal distribution's 97.5 % quantile."""


@dataclass(frozen=True, slots=True)
class Share:
    """``part`` of ``whole``, with the 95 % interval of Wilson (1927), which also holds for few and for extreme ones."""

    part: int
    whole: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CallFigures:
    """Admitted calls that began in the window.

    ``states`` counts them by how they ended, ``accepted`` being those that run. ``success`` is over the calls that
    ended by themselves: not those that were cancelled, which says nothing about the agent, and not those that never
    started.
    """

    calls: int
    states: Mapping[str, int]
    success: Share | None
    median_wall_seconds: float | None
    skills: int
    """Different skills that were called."""


@dataclass(frozen=True, slots=True)
class PolicyHits:
    """Calls that were not admitted, by the reason that came first in their refusal.

    ``since`` is where the records that could be counted begin: later than the window where older ones were archived.
    """

    denied: Mapping[str, int]
    held: Mapping[str, int]
    refused: Mapping[str, int]
    since: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it, counted at ``until``."""

    agent: AgentId
    since: datetime
    until: datetime
    figures: CallFigures
    hits: PolicyHits

    def document(self) -> dict[str, JsonValue]:
        """As it is kept with a change of maturity."""
        share = self.figures.success
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "calls": self.figures.calls,
            "states": dict(self.figures.states),
            "success": None
            if share is None
            else {
                "succeeded": share.part,
                "of": share.whole,
                "rate": round(share.rate, 6),
                "low": round(share.low, 6),
                "high": round(share.high, 6),
            },
            "median_wall_seconds": self.figures.median_wall_seconds,
            "skills": self.figures.skills,
            "denied": dict(self.hits.denied),
            "held": dict(self.hits.held),
            "refused": dict(self.hits.refused),
            "refusals_since": self.hits.since.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class MaturityChange:
    """One promotion or demotion as it was recorded. ``evidence`` is ``Evidence.document`` as of then."""

    id: int
    agent: AgentId
    before: Maturity
    after: Maturity
    reason: str
    evidence: dict[str, Any]
    forced: bool
    by: PersonId
    at: datetime


def share(part: int, whole: int) -> Share | None:
    """``None`` of nothing."""
    if not whole:
        return None
    rate, squared = part / whole, _Z95**2
    centre = rate + squared / (2 * whole)
    spread = _Z95 * math.sqrt(rate * (1 - rate) / whole + squared / (4 * whole**2))
    scale = 1 + squared / whole
    return Share(part, whole, rate, max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale))
