"""How fast calls end, as observed: what tells a refused caller when to try again."""

from __future__ import annotations

from collections import deque

_REMEMBERED = 64
_SECONDS = 60.0
"""Ends that are longer ago say nothing about now."""


class Pace:
    """The last ends of calls, on the monotonic clock."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends: deque[float] = deque(maxlen=_REMEMBERED)

    def note(self, now: float) -> None:
        self._ends.append(now)

    def seconds_for(self, calls: int, now: float) -> float | None:
        """How long that many calls take to end at the observed pace; ``None`` where too little was observed."""
        recent = [end for end in self._ends if now - end <= _SECONDS]
        if len(recent) < 2:
            return None
        # From the first end to now: a pool in which nothing ended for a while has become slower.
        return calls * (now - recent[0]) / (len(recent) - 1)
