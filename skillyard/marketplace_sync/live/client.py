"""The follower's end of live channels: one task a remote, which keeps a connection open or waits to open it again.

A channel carries no data. All that follows from it is that somebody looks: when it opened, when the remote's head is
ahead of the mirror, and when it sent something that is no message. Losing one costs nothing but the shorter period.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import structlog

from skillyard.errors import SkillyardError
from skillyard.marketplace_sync.errors import RemoteAnswerError
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.remotes.remote import Remote, RemoteId
from skillyard.times import utcnow

_log = structlog.get_logger("skillyard.live")
_MAX_ERROR = 500


class ChannelState(StrEnum):
    """``waiting`` for the next attempt; ``resting``: polling only, after too many failures in a row."""

    CONNECTING = "connecting"
    OPEN = "open"
    WAITING = "waiting"
    RESTING = "resting"


@dataclass(frozen=True, slots=True)
class Pace:
    """How a channel is opened again. Seconds; ``first`` doubles up to ``most``, each drawn between nothing and that.

    A channel that stayed open for ``steady`` seconds begins at ``first`` again: one that opens and falls at once must
    not be opened without a pause.
    """

    first: float = 1.0
    most: float = 16.0
    steady: float = 30.0
    failures: int = 3
    rest: float = 3600.0


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel as it stands in this process. ``head`` is what the remote said last."""

    state: ChannelState
    since: datetime
    failures: int = 0
    head: int | None = None
    next_at: datetime | None = None
    error: str | None = None


class Wanted(Protocol):
    """A remote to which a channel is kept."""

    @property
    def id(self) -> RemoteId: ...
    @property
    def label(self) -> str: ...


class LiveChannels:
    """The channels of one process. ``want`` says which there are to be; ``close`` ends them all."""

    def __init__(
        self,
        *,
        connect: Callable[[RemoteId], Awaitable[Remote]],
        on_news: Callable[[RemoteId, int | None], None],
        metrics: SyncMetrics,
        pace: Pace,
    ) -> None:
        """``connect`` gives a client of a remote as it is configured now. ``on_news`` is told that there may be
        something new: up to which number, or ``None`` for "look"."""
        self._connect = connect
        self._on_news = on_news
        self._metrics = metrics
        self._pace = pace
        self._tasks: dict[RemoteId, asyncio.Task[None]] = {}
        self._channels: dict[RemoteId, Channel] = {}
        self._labels: dict[RemoteId, str] = {}
        self._opened: set[RemoteId] = set()
        """Those that were open once: the next time counts as again."""

    def channel(self, remote: RemoteId) -> Channel | None:
        """``None`` where no channel is kept."""
        return self._channels.get(remote)

    def is_open(self, remote: RemoteId) -> bool:
        channel = self._channels.get(remote)
        return channel is not None and channel.state is ChannelState.OPEN

    def want(self, remotes: Iterable[Wanted]) -> None:
        """Keep channels to these and to no others."""
        wanted = {one.id: one.label for one in remotes}
        for remote in self._tasks.keys() - wanted.keys():
            self._tasks.pop(remote).cancel()
        for remote, label in wanted.items():
            task = self._tasks.get(remote)
            if task is None or task.done():
                self._labels[remote] = label
                self._begin(remote)

    def reconnect(self, remote: RemoteId) -> None:
        """Open it again now: without waiting or resting, and anew where it is open."""
        if (task := self._tasks.pop(remote, None)) is not None:
            task.cancel()
            self._begin(remote, after=task)

    async def close(self) -> None:
        tasks = tuple(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, remote: RemoteId, after: asyncio.Task[None] | None = None) -> None:
        task = asyncio.create_task(self._keep(remote, self._labels[remote], after))
        task.add_done_callback(_log_failure)
        self._tasks[remote] = task

    async def _keep(self, remote: RemoteId, label: str, after: asyncio.Task[None] | None) -> None:
        if after is not None:
            await asyncio.wait((after,))
        self._metrics.channel(label, connected=False)
        try:
            await self._again_and_again(remote, label)
        finally:
            if self._tasks.get(remote) in (None, asyncio.current_task()):
                self._channels.pop(remote, None)
                self._metrics.channel_gone(label)

    async def _again_and_again(self, remote: RemoteId, label: str) -> None:
        clock = asyncio.get_running_loop().time
        failures = level = 0
        while True:
            self._set(remote, Channel(ChannelState.CONNECTING, utcnow(), failures))
            began = clock()
            error = await self._once(remote, label)
            opened = self.is_open(remote)
            failures = 0 if opened else failures + 1
            level = 0 if opened and clock() - began >= self._pace.steady else level + 1
            resting = failures >= self._pace.failures
            ceiling = min(self._pace.most, self._pace.first * 2 ** min(level - 1, 30)) if level else self._pace.first
            wait = self._pace.rest if resting else random.uniform(0, ceiling)  # noqa: S311 - to spread load
            state = ChannelState.RESTING if resting else ChannelState.WAITING
            again = utcnow() + timedelta(seconds=wait)
            self._set(remote, Channel(state, utcnow(), failures, next_at=again, error=str(error)[:_MAX_ERROR]))
            _log.warning("live_channel_closed", remote=label, error=str(error), state=state.value, again_in=wait)
            await asyncio.sleep(wait)
            if resting:
                failures = level = 0

    async def _once(self, remote: RemoteId, label: str) -> SkillyardError:
        """Open a channel and read it until it ends. Returns why it did."""
        try:
            client = await self._connect(remote)
        except SkillyardError as error:
            return error
        heads = client.heads()
        try:
            async for head in heads:
                self._heard(remote, label, head)
        except RemoteAnswerError as error:
            # It said something that is no message, or too much: what it meant to say is found out by looking.
            self._metrics.frame_refused(label)
            self._on_news(remote, None)
            return error
        except SkillyardError as error:
            return error
        finally:
            self._metrics.channel(label, connected=False)
            with suppress(SkillyardError):
                if isinstance(heads, AsyncGenerator):
                    await heads.aclose()
                await client.close()
        return RemoteAnswerError("the live channel ended without a reason")

    def _heard(self, remote: RemoteId, label: str, head: int) -> None:
        channel = self._channels[remote]
        if channel.state is not ChannelState.OPEN:
            channel = Channel(ChannelState.OPEN, utcnow(), head=head)
            self._metrics.channel(label, connected=True)
            if remote in self._opened:
                self._metrics.reconnected(label)
            self._opened.add(remote)
            _log.info("live_channel_open", remote=label, head=head)
            self._on_news(remote, None)
        self._set(remote, replace(channel, head=head))
        self._on_news(remote, head)

    def _set(self, remote: RemoteId, channel: Channel) -> None:
        self._channels[remote] = channel


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("live_channel_failed", error=repr(error))
