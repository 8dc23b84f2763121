"""Figures of the marketplace for Prometheus. Each is fed by the code that does the work, in the moment it does it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from skillyard.marketplace_sync.conflicts.values import ConflictKind, Strategy

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class SyncMetrics:
    """One registry, of one process. ``remote`` is ``workspace/name``, as labels show it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._sync_seconds = Histogram(
            "sync_duration_seconds",
            "How long following a remote took, each run.",
            buckets=_SECONDS,
            labelnames=("remote",),
            registry=self.registry,
        )
        self._sync_success = Counter(
            "sync_success_total",
            "Runs that followed a remote to its head.",
            labelnames=("remote",),
            registry=self.registry,
        )
        self._sync_errors = Counter(
            "sync_errors_total", "Runs that did not.", labelnames=("remote",), registry=self.registry
        )
        self._connected = Gauge(
            "websocket_connected",
            "Whether the live channel to a remote is open.",
            labelnames=("remote",),
            registry=self.registry,
        )
        self._reconnects = Counter(
            "websocket_reconnects_total",
            "How often a live channel was opened again.",
            labelnames=("remote",),
            registry=self.registry,
        )
        self._rating_seconds = Histogram(
            "rating_sync_duration_seconds",
            "How long sending what waits took, each run: ratings, and whatever else goes up.",
            buckets=_SECONDS,
            labelnames=("remote",),
            registry=self.registry,
        )
        self._rating_success = Counter(
            "rating_sync_success_total",
            "Runs that sent all that was due, ratings and whatever else goes up.",
            labelnames=("remote",),
            registry=self.registry,
        )
        self._rating_errors = Counter(
            "rating_sync_errors_total",
            "Runs that did not send all that was due.",
            labelnames=("remote",),
            registry=self.registry,
        )
        self._conflicts = Counter(
            "conflicts_detected_total", "Conflicts found.", labelnames=("remote", "kind"), registry=self.registry
        )
        self._resolved = Counter(
            "conflicts_resolved_total", "Conflicts settled.", labelnames=("remote", "strategy"), registry=self.registry
        )
        self._clamped = Counter(
            "clock_skew_clamped_total",
            "Stamps that lay too far ahead and were clamped.",
            labelnames=("remote",),
            registry=self.registry,
        )
        self._refused = Counter(
            "websocket_frames_refused_total",
            "Messages of live channels that were too large, too many or none; the channel was closed for each.",
            labelnames=("remote",),
            registry=self.registry,
        )
        self._counters = (
            self._sync_success,
            self._sync_errors,
            self._reconnects,
            self._rating_success,
            self._rating_errors,
            self._clamped,
            self._refused,
        )

    def known(self, remote: str) -> None:
        """Begin its counters at zero: an increase from nothing to one is none to Prometheus."""
        for counter in (*self._counters, self._sync_seconds, self._rating_seconds):
            counter.labels(remote)
        for kind in ConflictKind:
            self._conflicts.labels(remote, kind.value)
        for strategy in Strategy:
            self._resolved.labels(remote, strategy.value)

    def gone(self, remote: str) -> None:
        """Forget whatever was said of a remote that is not there any more."""
        labelled = (*self._counters, self._sync_seconds, self._rating_seconds, self._conflicts, self._resolved)
        for figure in (*labelled, self._connected):
            figure.remove_by_labels({"remote": remote})

    def sync_ended(self, remote: str, seconds: float, *, at: float | None) -> None:
        """A run ended. ``at`` is when it got to the head, in seconds since 1970; ``None`` when it failed."""
        self._sync_seconds.labels(remote).observe(seconds)
        if at is None:
            self._sync_errors.labels(remote).inc()
        else:
            self._sync_success.labels(remote).inc()

    def uploads_ended(self, remote: str, seconds: float, *, at: float | None) -> None:
        self._rating_seconds.labels(remote).observe(seconds)
        if at is None:
            self._rating_errors.labels(remote).inc()
        else:
            self._rating_success.labels(remote).inc()

    def channel(self, remote: str, *, connected: bool) -> None:
        self._connected.labels(remote).set(int(connected))

    def channel_gone(self, remote: str) -> None:
        """No channel is kept to it any more."""
        self._connected.remove_by_labels({"remote": remote})

    def frame_refused(self, remote: str) -> None:
        self._refused.labels(remote).inc()

    def reconnected(self, remote: str) -> None:
        self._reconnects.labels(remote).inc()

    def conflict_detected(self, remote: str, kind: str) -> None:
        self._conflicts.labels(remote, kind).inc()

    def conflict_resolved(self, remote: str, strategy: str) -> None:
        self._resolved.labels(remote, strategy).inc()

    def stamp_clamped(self, remote: str) -> None:
        self._clamped.labels(remote).inc()
