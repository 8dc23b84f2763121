"""What detectors say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from skillyard.governance.report import Capability, Confidence, Verdict
from skillyard.governance.static.rule import Rule
from skillyard.governance.static.view import View


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that applies at a place. ``evidence`` is the raw text there; it is bounded and escaped when reported."""

    rule: Rule
    view: View
    line: int
    evidence: str
    detail: str = ""
    """What exactly, as the end of a sentence that begins with the rule's title; may be empty."""
    confidence: Confidence = Confidence.HIGH
    level: Verdict | None = None
    """What this hit does where that is not what its rule says, for example because it is only quoted."""

    @property
    def counts(self) -> Verdict:
        """What the hit does to the verdict. Nothing is blocked by what its detector has low confidence in."""
        level = self.rule.level if self.level is None else self.level
        return min(level, Verdict.FLAG) if self.confidence is Confidence.LOW else level


@dataclass(frozen=True, slots=True)
class Use:
    """A capability that the code uses at a place: a fact, and no finding."""

    capability: Capability
    view: View
    line: int
    evidence: str


Shown: TypeAlias = Hit | Use
