"""What the scan could not look at, and why. A gap makes the evidence ``failed`` and the verdict INDETERMINATE."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gap:
    """``file`` is the path inside the skill, or empty for the skill as a whole; ``reason`` ends the sentence."""

    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}" if self.file else self.reason


class GapError(Exception):
    """Raised inside the scan where a limit ends the work on one file; always turned into a ``Gap``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
