"""What the pool tells of itself: counted at the moment of asking, or since the process started."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """What the pool holds at this moment; every figure is counted, none is remembered."""

    idle: int = 0
    busy: int = 0
    starting: int = 0
    stopping: int = 0
    """Containers that are being removed."""
    waiting: int = 0
    """Calls that wait for a sandbox, those included that one is being started for."""
    memory_bytes: int = 0
    """What the sandboxes that are there have been granted together: their limits, not what they use."""


@dataclass(slots=True)
class Tally:
    """What happened since the process started."""

    calls: int = 0
    """Calls that got a sandbox and gave it back."""
    starts: int = 0
    """Sandboxes that became ready."""
    start_failures: int = 0
    evictions: int = 0
    """Warm sandboxes that were stopped to make room for others."""
    expiries: int = 0
    """Warm sandboxes that were stopped because nobody used them."""
    queue_full: int = 0
    """Calls that were refused because too many waited."""
    queue_timeouts: int = 0
    """Calls that were refused because they had waited too long."""

    @classmethod
    def sum(cls, tallies: Iterable[Tally]) -> Tally:
        total = cls()
        for tally in tallies:
            for field in fields(cls):
                setattr(total, field.name, getattr(total, field.name) + getattr(tally, field.name))
        return total


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """Of one workspace or of all."""

    started_at: datetime
    now: PoolCounts
    since_start: Tally
