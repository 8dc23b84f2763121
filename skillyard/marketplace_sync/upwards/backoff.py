"""How long to wait before something is tried again."""

from __future__ import annotations

from datetime import timedelta

FIRST = timedelta(seconds=1)
LONGEST = timedelta(minutes=15)


def full_jitter(attempts: int, *, chance: float, retry_after: float | None = None) -> timedelta:
    """Any time up to twice the time before, and never more than ``LONGEST``, so that many who failed at once do not
    come back at once (Marc Brooker, "Exponential Backoff And Jitter", 2015). ``chance`` is between 0 and 1.

    Where a server named a time it is waited out first.
    """
    ceiling = min(LONGEST, FIRST * (1 << min(max(attempts - 1, 0), 20)))
    return asked_for(retry_after) + ceiling * chance


def asked_for(retry_after: float | None) -> timedelta:
    """What a server named (``Retry-After``, seconds), up to ``LONGEST``."""
    seconds = min(max(retry_after or 0.0, 0.0), LONGEST.total_seconds())
    return timedelta(seconds=seconds)
