"""Whether a server keeps up with its remotes. Pure: from how they stand, and the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from skillyard.marketplace_sync.metrics.store import Standing
from skillyard.marketplace_sync.remotes.remote import RemoteState
from skillyard.marketplace_sync.upwards.values import UploadState

STALE = timedelta(minutes=45)
TOO_STALE = timedelta(minutes=60)


class HealthState(StrEnum):
    """``degraded``: something wants looking at, and most goes on. ``unhealthy``: nothing is followed any more."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One reason. ``remote`` is a label of metrics; ``None`` for what concerns the server itself."""

    code: str
    message: str
    remote: str | None = None
    remote_name: str | None = None
    workspace: int | None = None


@dataclass(frozen=True, slots=True)
class SyncHealth:
    """The state, and every reason for it."""

    state: HealthState
    troubles: tuple[Trouble, ...]


def judge(standings: Sequence[Standing], *, running: bool, open_channels: frozenset[str], now: datetime) -> SyncHealth:
    """``running`` is whether this process keeps up with remotes; ``open_channels`` are labels.

    Remotes that somebody disabled do not count: nothing is wanted of them.
    """
    followed = [one for one in standings if one.state is not RemoteState.DISABLED]
    troubles = [trouble for one in followed for trouble in _troubles(one, open_channels, now)]
    if not running and followed:
        troubles.insert(0, Trouble("not_running", "this process does not keep up with its remotes"))
        return SyncHealth(HealthState.UNHEALTHY, tuple(troubles))
    if followed and all(_is_lost(one, now) for one in followed):
        return SyncHealth(HealthState.UNHEALTHY, tuple(troubles))
    return SyncHealth(HealthState.DEGRADED if troubles else HealthState.HEALTHY, tuple(troubles))


def _is_lost(one: Standing, now: datetime) -> bool:
    return one.state is RemoteState.DISTRUSTED or _age(one, now) > TOO_STALE


def _age(one: Standing, now: datetime) -> timedelta:
    """How long ago it was followed to its head; of one that never was, how long it has been there."""
    return now - (one.succeeded_at or one.created_at)


def _troubles(one: Standing, open_channels: frozenset[str], now: datetime) -> list[Trouble]:
    found = []
    if one.state is RemoteState.DISTRUSTED:
        found.append(("distrusted", one.error or "its head did not fit; nothing is applied until somebody has looked"))
    elif _age(one, now) > STALE:
        found.append(("stale", f"not followed to its head for {int(_age(one, now).total_seconds() // 60)} min"))
    if one.failures:
        found.append(("failing", f"{one.failures} runs in a row failed: {one.error or 'no reason is known'}"))
    if one.channel_wanted and one.label not in open_channels:
        found.append(("channel_down", "its live channel is not open"))
    if dead := one.uploads.get(UploadState.DEAD, 0):
        found.append(("dead_uploads", f"{dead} uploads failed for good"))
    return [Trouble(code, message, one.label, one.name, one.workspace) for code, message in found]
