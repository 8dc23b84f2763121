"""What Prometheus reads: the figures that this process counted, and those that the database tells at that moment.

The second kind is the same whichever process is asked, and right from the start of one. Where the database cannot be
read the scrape fails: no figure is an old or an empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.metrics.health import HealthState, SyncHealth
from skillyard.marketplace_sync.metrics.values import Standing
from skillyard.marketplace_sync.remotes.remote import SKILLYARD, RemoteState
from skillyard.marketplace_sync.upwards.values import UploadState

_Value = Callable[[Standing], float | None]
_OF_REMOTES: tuple[tuple[str, str, _Value], ...] = (
    ("sync_skills_cached", "Skills in the mirror, with their documents.", lambda one: one.skills),
    ("sync_categories_cached", "Categories in the mirror.", lambda one: one.categories),
    ("sync_set_aside", "What came from a remote and could not be taken.", lambda one: one.set_aside),
    ("sync_lag", "Changes that the mirror is known not to have yet.", lambda one: one.lag),
    ("remote_failures", "Runs that failed since the last that did not.", lambda one: one.failures),
    ("conflicts_unresolved", "Conflicts that wait for a decision.", lambda one: one.conflicts),
    (
        "sync_last_success_timestamp_seconds",
        "When a remote was last followed to its head.",
        lambda one: _seconds(one.succeeded_at),
    ),
    (
        "rating_sync_last_success_timestamp_seconds",
        "When all that was due was last sent.",
        lambda one: _seconds(one.sent_at),
    ),
    (
        "sync_remote_added_timestamp_seconds",
        "Since when a remote is known.",
        lambda one: one.created_at.timestamp(),
    ),
)
_OPEN_UPLOADS = (UploadState.WAITING, UploadState.CONFLICT, UploadState.DEAD)


def exposed(
    metrics: SyncMetrics, standings: Sequence[Standing], health: SyncHealth, *, accept: str
) -> tuple[bytes, str]:
    """The text, and its content type: OpenMetrics for who accepts it, else the older format."""
    registry = CollectorRegistry()
    registry.register(_Counted(metrics))
    registry.register(StandingCollector(standings, health))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Counted(Collector):
    def __init__(self, metrics: SyncMetrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics.registry.collect()


class StandingCollector(Collector):
    """Families of what was read before: collecting does no I/O."""

    def __init__(self, standings: Sequence[Standing], health: SyncHealth) -> None:
        # What somebody disabled is meant to grow old: it has no figures that an alert could be about.
        self._standings = [one for one in standings if one.state is not RemoteState.DISABLED]
        self._health = health

    def collect(self) -> Iterator[Metric]:
        for name, what, value in _OF_REMOTES:
            yield self._of_remotes(name, what, value)
        yield self._queue()
        yield self._states()

    def _of_remotes(self, name: str, what: str, value: _Value) -> Metric:
        family = GaugeMetricFamily(name, what, labels=("remote",))
        for one in self._standings:
            if (found := value(one)) is not None:
                family.add_metric((one.label,), found)
        return family

    def _queue(self) -> Metric:
        family = GaugeMetricFamily("sync_upload_queue", "What is to go up, by its state.", labels=("remote", "state"))
        for one in self._standings:
            # Other protocols than ours take nothing: "nothing waits" would be said of what cannot be sent.
            for state in _OPEN_UPLOADS if one.kind == SKILLYARD else ():
                family.add_metric((one.label, state.value), one.uploads.get(state, 0))
        return family

    def _states(self) -> Metric:
        family = GaugeMetricFamily("sync_health", "1 for the state that /health/sync tells.", labels=("state",))
        for state in HealthState:
            family.add_metric((state.value,), int(self._health.state is state))
        return family


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()
