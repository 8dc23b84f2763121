"""The advisory index of this home: updated when somebody asks, and by a server of itself, as often as settings say.

A failure leaves the index as it was, is noted beside it for ``advisories status`` and the API, and is logged each time:
an index that nobody updates any more makes every verdict INDETERMINATE in the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from skillyard.governance.advisories.attempts import Attempt, AttemptState, read_attempts
from skillyard.governance.advisories.index import index_path
from skillyard.governance.advisories.source import AdvisorySource, OnProgress, unobserved
from skillyard.governance.advisories.sources import settings_sources
from skillyard.governance.advisories.updates import Updates, update_all
from skillyard.governance.errors import AdvisoryIndexError
from skillyard.runtime.rescan import Rescanner
from skillyard.runtime.values import SkillRef
from skillyard.runtime.watch import Chore
from skillyard.settings import Settings
from skillyard.times import utcnow

LOOK_SECONDS = 60.0
_SOONEST_AGAIN = timedelta(hours=1)
"""After a failure; sooner only where updates are wanted more often than that."""
_log = structlog.get_logger("skillyard.advisories")


@dataclass(frozen=True, slots=True)
class AdvisoriesUpdated:
    """What came of an update, and of the rescan after it."""

    updates: Updates
    scanned: int
    quarantined: tuple[SkillRef, ...]


class AdvisoryUpdates:
    """Updates of one home's index, each followed by a rescan of what is installed."""

    def __init__(self, *, settings: Settings, rescanner: Rescanner) -> None:
        self._index = index_path(settings.home)
        self._settings = settings
        self._rescanner = rescanner

    @property
    def chores(self) -> tuple[Chore, ...]:
        if not self._settings.advisories_update_hours:
            return ()
        return (Chore("updating_advisories", LOOK_SECONDS, self.update_if_due),)

    async def update(
        self, sources: Sequence[AdvisorySource], *, replace: bool = False, on_progress: OnProgress = unobserved
    ) -> AdvisoriesUpdated:
        """Bring in what the sources have, then rescan. What one of them could not deliver is in its result."""
        updates = await update_all(self._index, sources, now=utcnow(), replace=replace, on_progress=on_progress)
        return AdvisoriesUpdated(updates, *await self._rescanner.rescan(on_progress=on_progress))

    async def update_if_due(self) -> None:
        """Ask those sources whose turn it is. Raises the first failure, after the others had theirs."""
        sources = settings_sources(self._settings)
        due = _due(sources, await asyncio.to_thread(self._attempts), self._settings, utcnow())
        if not due:
            return
        updates = await update_all(self._index, sources, now=utcnow(), only=due)
        for result in updates.results:
            if result.error is not None:
                _log.error("advisories_not_updated", source=result.source, error=str(result.error))
        if updates.changed:
            scanned, quarantined = await self._rescanner.rescan()
            _log.info("advisories_updated", scanned=scanned, quarantined=[str(ref) for ref in quarantined])
        if updates.errors:
            raise updates.errors[0]

    def _attempts(self) -> tuple[Attempt, ...]:
        try:
            return read_attempts(self._index)
        except AdvisoryIndexError:
            return ()  # Then every source is due, and what comes of it is written anew.


def _due(
    sources: Sequence[AdvisorySource], attempts: Sequence[Attempt], settings: Settings, now: datetime
) -> frozenset[str]:
    period = timedelta(hours=settings.advisories_update_hours)
    waits = {
        one.source: min(period, _SOONEST_AGAIN) if one.state is AttemptState.FAILED else period for one in attempts
    }
    # An attempt in the future is the work of a wrong clock, and must not put the next one off.
    fresh = {one.source for one in attempts if timedelta() <= now - one.at < waits[one.source]}
    return frozenset(one.name for one in sources) - fresh
