"""How much is measured: everything for published figures, a part of it for the gate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """``rounds`` in which ours and the peers take turns; ``share`` of the full number of calls in each."""

    rounds: int
    share: float

    def of(self, count: int, *, least: int = 2) -> int:
        """How many of ``count`` calls to make."""
        return max(least, round(count * self.share))


FULL = Effort(rounds=5, share=1.0)
QUICK = Effort(rounds=3, share=0.25)
