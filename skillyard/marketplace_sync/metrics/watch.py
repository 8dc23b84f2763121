"""How the sync stands, for people and for Prometheus: what the database says, joined with this process's channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from skillyard.database import Database
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.jobs.jobs import Jobs
from skillyard.marketplace_sync.jobs.values import Job, JobKey
from skillyard.marketplace_sync.live.client import Channel
from skillyard.marketplace_sync.metrics import store
from skillyard.marketplace_sync.metrics.exposition import exposed
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.metrics.health import SyncHealth, judge
from skillyard.marketplace_sync.metrics.values import Footing, Standing
from skillyard.marketplace_sync.remotes.remote import RemoteId
from skillyard.marketplace_sync.upwards.values import UploadKind, UploadState
from skillyard.times import utcnow


class SyncWatch:
    """Reads, and keeps nothing. Each method raises what the database raises: no figure is invented."""

    def __init__(self, *, database: Database, jobs: Jobs, metrics: SyncMetrics) -> None:
        self._database = database
        self._jobs = jobs
        self._metrics = metrics

    async def standings(self, workspace: WorkspaceId) -> tuple[Standing, ...]:
        async with self._database.reading() as session:
            return await store.standings(session, workspace)

    async def ratings(self, workspace: WorkspaceId) -> Mapping[tuple[RemoteId, UploadState], int]:
        """How many ratings each remote of a workspace has, by their state; what has none is left out."""
        async with self._database.reading() as session:
            return await store.of_kind(session, workspace, UploadKind.RATING)

    def channel(self, standing: Standing) -> Channel | None:
        """This process's channel to a remote; ``None`` where it keeps none."""
        return self._jobs.live.channel(standing.id)

    async def health(self) -> SyncHealth:
        """Of the whole instance."""
        async with self._database.reading() as session:
            return self._judged(await store.footings(session))

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """What Prometheus reads, and its content type."""
        async with self._database.reading() as session:
            standings = await store.standings(session, None)
        return exposed(self._metrics, standings, self._judged(standings), accept=accept)

    def _judged(self, footings: Sequence[Footing]) -> SyncHealth:
        open_channels = frozenset(one.label for one in footings if self._jobs.live.is_open(one.id))
        return judge(
            footings, running=self._jobs.running, open_channels=open_channels, period=self._period, now=utcnow()
        )

    def _period(self, one: Footing) -> timedelta:
        return self._jobs.period(JobKey(Job.CATALOGUE, one.id), one.seconds)
