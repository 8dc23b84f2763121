"""The instance's own job: bringing in advisories. A server does that by itself already (``runtime.advisory_updates``),
so nothing here is scheduled; this is for who wants it now, and for the record."""

from __future__ import annotations

from dataclasses import dataclass

from skillyard.governance.advisories.sources import settings_sources
from skillyard.runtime.runtime import Runtime


@dataclass(frozen=True, slots=True)
class AdvisoryReport:
    """How many sources had something new, and what the rescan after it did."""

    sources: int
    scanned: int
    quarantined: int


async def update_advisories(runtime: Runtime) -> AdvisoryReport:
    """Ask every source now. Raises the first failure, after the others had their turn."""
    done = await runtime.advisories.update(settings_sources(runtime.settings))
    if done.updates.errors:
        raise done.updates.errors[0]
    return AdvisoryReport(len(done.updates.results), done.scanned, len(done.quarantined))
