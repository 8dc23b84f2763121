"""What keeps a home in order while a process runs over it: its lease, the sweeping, the collecting.

One value, because they are begun, recur and end together; each is a module of its own.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from skillyard.database import Database
from skillyard.ids import SkillVersionId
from skillyard.runtime.collect import CollectingError, Collector
from skillyard.runtime.instance import Lease
from skillyard.runtime.leases import Observer
from skillyard.runtime.pool import Pool
from skillyard.runtime.reconcile import Reconciler
from skillyard.runtime.started import Started
from skillyard.runtime.tenure import Tenure
from skillyard.runtime.watch import Chore
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.environment import EnvironmentStore
from skillyard.sandbox.images import BaseImages
from skillyard.settings import Settings
from skillyard.skills.bundle_store import BundleStore
from skillyard.times import utcnow

_COLLECT_LOOK_SECONDS = 300.0
"""How often a server looks whether it is time to collect."""


class Upkeep:
    """Made by the runtime. Use it between ``begin`` and ``end``."""

    def __init__(
        self,
        *,
        settings: Settings,
        instance: str,
        lease: Lease,
        database: Database,
        engine: Engine,
        bundles: BundleStore,
        environments: EnvironmentStore,
        pool: Pool,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self.sweeps = 0
        """How often this process has swept since it began."""
        self.started = Started()
        self.tenure = Tenure(
            database=database,
            lease=lease,
            home_id=instance,
            ttl=settings.lease_ttl,
            give_up_all=self._give_up_all,
        )
        self.reconciler = Reconciler(
            home=settings.home,
            instance=instance,
            lease=lease.id,
            database=database,
            engine=engine,
            bundles=bundles,
            environments=environments,
            leased_folders=(settings.home / "staging", settings.home / "uploads"),
            observer=Observer(
                home=settings.home,
                home_id=instance,
                ttl=settings.lease_ttl,
                longest_gap=2 * settings.sweep_period,
            ),
            started=self.started,
            stop_version=self._stop_damaged,
            stray_seconds=2 * settings.start_timeout + settings.skill_timeout_max,
        )
        self.collector = Collector(
            home=settings.home,
            database=database,
            engine=engine,
            bundles=bundles,
            environments=environments,
            images=BaseImages(engine=engine, settings=settings),
        )

    @property
    def chores(self) -> tuple[Chore, ...]:
        return (
            Chore("renewing_the_lease", self._settings.lease_heartbeat, self.tenure.beat),
            Chore("sweeping", self._settings.sweep_period, self._sweep),
            Chore("collecting", _COLLECT_LOOK_SECONDS, self.collect_if_due),
        )

    async def begin(self) -> None:
        """Register, then clean up after dead processes. Raises what the database raises."""
        await self.tenure.begin()
        await self.reconciler.reconcile()

    async def end(self) -> None:
        """Leave no row. Not before the last end of a call is recorded: until then these calls are ours."""
        await self.tenure.end()

    async def collect_if_due(self) -> None:
        """The first look is some time after the start, when what a start needs has been fetched."""
        hours, last = self._settings.gc_period_hours, await self.collector.collected_at()
        if not hours or (last is not None and utcnow() - last < timedelta(hours=hours)):
            return
        with suppress(CollectingError):  # Another server over this home was first.
            await self.collector.collect(grace=timedelta(days=self._settings.gc_grace_days))

    async def _sweep(self) -> None:
        await self.reconciler.reconcile()
        self.sweeps += 1

    async def _give_up_all(self) -> None:
        for version in {place.version for place in self._pool.places}:
            await self._pool.stop(version, reason="this process lost its lease, and its calls were ended by others")

    async def _stop_damaged(self, version: SkillVersionId) -> None:
        await self._pool.stop(version, reason="stopped: its files were found damaged and were taken away")
