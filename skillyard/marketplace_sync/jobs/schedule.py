"""The one door to APScheduler: one entry a job, fired when its time has come.

When that is, is kept in the database (``sync_jobs.next_at``), for all processes; the entries here follow it. What fires
too early, or in two processes, finds that out when it tries to take the claim.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from skillyard.marketplace_sync.jobs.values import JobKey

_MOVED = timedelta(seconds=1)
"""An entry that is further off than this from where it should be is moved."""


class Schedule:
    """Entries of one process. ``fire`` is awaited when one is due, never twice at once for one entry."""

    def __init__(self, fire: Callable[[JobKey], Awaitable[None]]) -> None:
        self._fire = fire
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        self._put: dict[JobKey, tuple[datetime, timedelta]] = {}
        """Where each entry was last put, without the jitter, and its period."""

    @property
    def running(self) -> bool:
        return bool(self._scheduler.running)

    def start(self) -> None:
        self._scheduler.start()

    def put(self, key: JobKey, at: datetime, *, period: timedelta, jitter: timedelta) -> None:
        """An entry that fires at a moment, up to ``jitter`` later, and every period from then on."""
        before = self._put.get(key)
        if before is not None and before[1] == period and abs(before[0] - at) < _MOVED and self._waits(key, period):
            return
        self._put[key] = (at, period)
        trigger = IntervalTrigger(
            seconds=max(1, round(period.total_seconds())), jitter=jitter.total_seconds() or None, timezone=UTC
        )
        late = timedelta(seconds=random.uniform(0, jitter.total_seconds()))  # noqa: S311 - to spread load, not to hide
        self._scheduler.add_job(
            self._fire, trigger, args=(key,), id=str(key), replace_existing=True, next_run_time=at + late
        )

    def drop_all_but(self, keys: frozenset[JobKey]) -> None:
        """Forget the entries of jobs that are not to be run any more."""
        for key in self._put.keys() - keys:
            del self._put[key]
            if self._scheduler.get_job(str(key)) is not None:
                self._scheduler.remove_job(str(key))

    def close(self) -> None:
        """Nothing fires any more. What was fired is its owner's to end."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _waits(self, key: JobKey, period: timedelta) -> bool:
        """Whether an entry fires within its period: a clock that was put back would let it wait for longer."""
        entry = self._scheduler.get_job(str(key))
        return entry is not None and bool(entry.next_run_time <= datetime.now(UTC) + 2 * period)
