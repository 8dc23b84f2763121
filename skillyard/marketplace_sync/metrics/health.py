"""Whether a server keeps up with its remotes. Pure: from how they stand, and the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from skillyard.marketplace_sync.metrics.values import Footing
from skillyard.marketplace_sync.remotes.remote import SKILLYARD, RemoteState

STALE = timedelta(minutes=45)
TOO_STALE = timedelta(minutes=60)
"""Of a remote that is followed as often as settings say by themselves."""


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


def judge(
    footings: Sequence[Footing],
    *,
    running: bool,
    open_channels: frozenset[str],
    period: Callable[[Footing], timedelta],
    now: datetime,
) -> SyncHealth:
    """``running`` is whether this process keeps up with remotes; ``open_channels`` are labels; ``period`` is how often
    a remote is to be followed.

    Remotes that somebody disabled do not count: nothing is wanted of them. Those that are told to rest may be old.
    """
    followed = [one for one in footings if one.state is not RemoteState.DISABLED]
    ages = {one.id: None if one.paused else _Age(_since(one, now), period(one)) for one in followed}
    troubles = [trouble for one in followed for trouble in _troubles(one, open_channels, ages[one.id])]
    if not running and followed:
        troubles.insert(0, Trouble("not_running", "this process does not keep up with its remotes"))
        return SyncHealth(HealthState.UNHEALTHY, tuple(troubles))
    known = [(one, age) for one in followed if (age := ages[one.id]) is not None]
    if known and all(one.state is RemoteState.DISTRUSTED or age.too_stale for one, age in known):
        return SyncHealth(HealthState.UNHEALTHY, tuple(troubles))
    return SyncHealth(HealthState.DEGRADED if troubles else HealthState.HEALTHY, tuple(troubles))


@dataclass(frozen=True, slots=True)
class _Age:
    """For how long a remote was not followed to its head, where that is to be done every ``period``: who wants it
    rarely is not told that it is late before some turns were missed."""

    since: timedelta
    period: timedelta

    @property
    def stale(self) -> bool:
        return self.since > max(STALE, 3 * self.period)

    @property
    def too_stale(self) -> bool:
        return self.since > max(TOO_STALE, 4 * self.period)


def _since(one: Footing, now: datetime) -> timedelta:
    """Since it was followed to its head; of one that never was, since it is there."""
    return now - (one.succeeded_at or one.created_at)


def _troubles(one: Footing, open_channels: frozenset[str], age: _Age | None) -> list[Trouble]:
    found = []
    if one.state is RemoteState.DISTRUSTED:
        found.append(("distrusted", one.error or "its head did not fit; nothing is applied until somebody has looked"))
    elif age is not None and age.stale:
        found.append(("stale", f"not followed to its head for {int(age.since.total_seconds() // 60)} min"))
    if one.failures:
        found.append(("failing", f"{one.failures} runs in a row failed: {one.error or 'no reason is known'}"))
    if one.channel_wanted and one.label not in open_channels:
        found.append(("channel_down", "its live channel is not open"))
    if one.set_aside and one.kind == SKILLYARD:
        # An index may well name what is nothing for here; a feed has nothing that is not meant to be taken.
        found.append(("set_aside", f"{one.set_aside} entries of it could not be taken"))
    if one.dead:
        found.append(("dead_uploads", f"{one.dead} uploads failed for good"))
    return [Trouble(code, message, one.label, one.name, one.workspace) for code, message in found]
