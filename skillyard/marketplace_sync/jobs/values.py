"""Values of jobs."""

from __future__ import annotations

from enum import StrEnum


class Job(StrEnum):
    """What recurs: following remotes' catalogues, sending what waits (ratings among it), advisory updates."""

    CATALOGUE = "catalogue"
    UPLOADS = "uploads"
    ADVISORIES = "advisories"


class RunTrigger(StrEnum):
    SCHEDULE = "schedule"
    LIVE = "live"
    MANUAL = "manual"


class RunState(StrEnum):
    """``lost``: its process ended before it did."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"
