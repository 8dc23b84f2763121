"""How long the steps of a piece of work took, from the progress it tells."""

from __future__ import annotations

import time
from collections.abc import Mapping

from skillyard.sandbox.environment import Progress, ProgressSink, silent


class Stopwatch:
    """A progress sink. ``stages`` names the steps that count; other steps belong to the stage they come in."""

    def __init__(self, stages: Mapping[str, str], on_progress: ProgressSink = silent) -> None:
        self._stages = stages
        self._on_progress = on_progress
        self._seconds: dict[str, float] = {}
        self._stage: str | None = None
        self._began = time.monotonic()
        self._since = self._began

    def step(self, progress: Progress) -> None:
        stage = self._stages.get(progress.step)
        if stage is not None:
            self._close()
            self._stage = stage
        self._on_progress(progress)

    def stop(self) -> Mapping[str, float]:
        """Seconds by stage, in the order in which they began; the time between stages is in none."""
        self._close()
        self._stage = None
        return dict(self._seconds)

    @property
    def total(self) -> float:
        """Seconds since this stopwatch was made."""
        return time.monotonic() - self._began

    def _close(self) -> None:
        now = time.monotonic()
        if self._stage is not None:
            self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._since
        self._since = now
