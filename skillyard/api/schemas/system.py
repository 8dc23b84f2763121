"""The state of the server, as numbers that are counted and never estimated."""

from __future__ import annotations

from datetime import datetime

from skillyard.api.schemas.advisories import AdvisoryHealthView
from skillyard.api.schemas.values import View


class PoolCountsView(View):
    """Sandboxes by what they do now, calls that wait for one, and the memory that all of them were granted."""

    idle: int
    busy: int
    starting: int
    stopping: int
    waiting: int
    memory_bytes: int


class PoolTallyView(View):
    """What happened since the process started. ``evictions`` made room for others, ``expiries`` were unused."""

    calls: int
    starts: int
    start_failures: int
    evictions: int
    expiries: int
    queue_full: int
    queue_timeouts: int


class PoolStatusView(View):
    started_at: datetime
    now: PoolCountsView
    since_start: PoolTallyView


class StatusView(View):
    """``workspace`` is the asker's own. ``instance`` is all workspaces together, for admins; else ``null``."""

    workspace: PoolStatusView
    instance: PoolStatusView | None
    advisories: AdvisoryHealthView
