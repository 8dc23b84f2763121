"""Updating from several sources, each by itself: what one of them cannot deliver keeps nobody else's from coming in.

Of the sources that are about one ecosystem the first is its base, and the others add to it, in the order given: that
is what makes several exports of one ecosystem possible, whatever their sizes are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from skillyard.errors import SkillyardError
from skillyard.governance.advisories.attempts import AttemptState, write_attempt
from skillyard.governance.advisories.index import AdvisoryIndex, IndexStatus
from skillyard.governance.advisories.records import ReadLimits
from skillyard.governance.advisories.source import AdvisorySource, OnProgress, unobserved
from skillyard.governance.advisories.update import LOCK_TIMEOUT, NotUpdated, Updated, exclusive, replace_index
from skillyard.governance.errors import AdvisoryIndexError, AdvisorySourceError
from skillyard.skills.skill import Ecosystem


@dataclass(frozen=True, slots=True)
class SourceResult:
    """What came of one source: exactly one of ``done`` and ``error``."""

    source: str
    done: Updated | NotUpdated | None
    error: SkillyardError | None


@dataclass(frozen=True, slots=True)
class Updates:
    """What came of every source, in their order. ``status`` is ``None`` where there is no index that can be read."""

    results: tuple[SourceResult, ...]
    status: IndexStatus | None

    @property
    def changed(self) -> bool:
        return any(isinstance(one.done, Updated) for one in self.results)

    @property
    def errors(self) -> tuple[SkillyardError, ...]:
        return tuple(one.error for one in self.results if one.error is not None)


async def update_all(
    path: Path,
    sources: Sequence[AdvisorySource],
    *,
    now: datetime,
    only: Collection[str] | None = None,
    on_progress: OnProgress = unobserved,
    replace: bool = False,
    limits: ReadLimits | None = None,
    lock_timeout: float = LOCK_TIMEOUT,
) -> Updates:
    """Bring in what every source has; with ``only``, those of these names, while the others keep their place.

    A source that fails is a result with its error, noted beside the index (``attempts``), and the index is as it was
    before it. Raises ``AdvisoryUpdateRunningError``, and ``AdvisoryIndexError`` where the folder takes no files.
    """
    results: list[SourceResult] = []
    async with exclusive(path, lock_timeout):
        for place, source in enumerate(sources):
            if only is not None and source.name not in only:
                continue
            kept = await asyncio.to_thread(_bases, path, {one.name for one in sources[:place]} - {source.name})
            try:
                done = await replace_index(
                    path,
                    source,
                    now=now,
                    on_progress=on_progress,
                    replace=replace,
                    limits=limits or ReadLimits(),
                    kept_bases=kept,
                )
            except (AdvisorySourceError, AdvisoryIndexError) as error:
                results.append(SourceResult(source.name, None, error))
                await _noted(path, source, now, AttemptState.FAILED, str(error))
            else:
                results.append(SourceResult(source.name, done, None))
                state = AttemptState.UPDATED if isinstance(done, Updated) else AttemptState.UNCHANGED
                await _noted(path, source, now, state)
        return Updates(tuple(results), await asyncio.to_thread(_status, path))


async def _noted(
    path: Path, source: AdvisorySource, at: datetime, state: AttemptState, error: str | None = None
) -> None:
    await asyncio.to_thread(write_attempt, path, source.name, at=at, state=state, error=error)


def _bases(path: Path, sources: Collection[str]) -> frozenset[Ecosystem]:
    status = _status(path)
    datasets = status.datasets if status is not None else ()
    return frozenset(one.ecosystem for one in datasets if one.is_base and one.source in sources)


def _status(path: Path) -> IndexStatus | None:
    try:
        index = AdvisoryIndex.open(path)
    except AdvisoryIndexError:
        return None
    index.close()
    return index.status()
