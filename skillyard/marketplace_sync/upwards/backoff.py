"""How long to wait before something is tried again."""

from __future__ import annotations

from datetime import timedelta

FIRST = timedelta(seconds=1)
LONGEST = timedelta(minutes=15)


def full_jitter(attempts: int, *, chance: float, retry_after: float | None = None) -> timedelta:
    """Any time up to twice the time before, and never more than ``LONGEST``, so that many who failed at once do not
    come back at once (Marc Brooker, "Exponential Backoff And Jitter", 2015). ``chance`` is between 0 and 1.

    Where a server named a time (``Retry-After``, seconds), it is waited out first, up to ``LONGEST``.
    """
    ceiling = min(LONGEST, FIRST * (1 << min(max(attempts - 1, 0), 20)))
    named = min(timedelta(seconds=max(retry_after or 0.0, 0.0)), LONGEST)
    return named + ceiling * chance
