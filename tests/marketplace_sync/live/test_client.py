"""Live channels as a follower keeps them, against a real WebSocket server that behaves as a test wants."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from skillyard.marketplace_sync.live.client import ChannelState, LiveChannels, Pace
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.remotes.remote import Remote, RemoteId
from skillyard.marketplace_sync.remotes.skillyard import SkillyardRemote
from tests.marketplace_sync.hubs import remote_market, settings_of
from websockets.asyncio.server import ServerConnection, serve

HUB = RemoteId(1)
QUICK = Pace(first=0.05, most=0.2, steady=30.0, failures=3, rest=3600.0)


@dataclass(frozen=True)
class Wanted:
    id: RemoteId = HUB
    label: str = "default/hub"


@dataclass
class Heard:
    """What a channel led to."""

    news: list[int | None] = field(default_factory=list)
    metrics: SyncMetrics = field(default_factory=SyncMetrics)

    def figure(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"remote": "default/hub"})


Behaviour = Callable[[ServerConnection], Awaitable[None]]


async def talk(connection: ServerConnection) -> None:
    await connection.send(json.dumps({"head": 4}))
    async for _ in connection:
        pass


@asynccontextmanager
async def hub(behaviour: Behaviour, held: socket.socket | None = None) -> AsyncIterator[int]:
    """Its port; a free one, or that of a socket that is ``held``."""
    place = {"host": "127.0.0.1", "port": 0} if held is None else {"sock": held}
    async with serve(behaviour, **place) as server:  # type: ignore[arg-type]
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def channels(home: Path, port: int, pace: Pace = QUICK) -> AsyncIterator[tuple[LiveChannels, Heard]]:
    heard = Heard()

    async def connect(_remote: RemoteId) -> Remote:
        return SkillyardRemote(remote_market(f"http://127.0.0.1:{port}", "a-token"), settings_of(home))

    live = LiveChannels(
        connect=connect, on_news=lambda _, seq: heard.news.append(seq), metrics=heard.metrics, pace=pace
    )
    try:
        yield live, heard
    finally:
        await live.close()


async def until(found: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not found():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


async def test_an_open_channel_says_look_and_then_every_head(tmp_path: Path) -> None:
    async def telling(connection: ServerConnection) -> None:
        for number in (4, 5, 9):
            await connection.send(json.dumps({"head": number}))
        await connection.wait_closed()

    before = asyncio.all_tasks()
    async with hub(telling) as port, channels(tmp_path, port) as (live, heard):
        live.want([Wanted()])
        await until(lambda: heard.news == [None, 4, 5, 9])
        channel = live.channel(HUB)
        assert channel is not None
        assert (channel.state, channel.head) == (ChannelState.OPEN, 9)
        assert heard.figure("websocket_connected") == 1
        live.want([])
        await until(lambda: live.channel(HUB) is None)
        assert heard.figure("websocket_connected") is None, "an alert about a channel nobody wants would never clear"
    await until(lambda: asyncio.all_tasks() - before == set())


async def test_a_channel_that_falls_is_opened_again_and_looked_through(tmp_path: Path) -> None:
    """Whatever was published while it was closed is found by the look, not by the next publish."""
    opened: list[ServerConnection] = []

    async def counting(connection: ServerConnection) -> None:
        opened.append(connection)
        await talk(connection)

    async with hub(counting) as port, channels(tmp_path, port) as (live, heard):
        live.want([Wanted()])
        await until(lambda: live.is_open(HUB))
        for times in (1, 2, 3, 4, 5):
            await opened[-1].close()
            await until(lambda: len(opened) == times + 1 and live.is_open(HUB))  # noqa: B023 - awaited in its round
            assert heard.figure("websocket_reconnects_total") == times
        assert heard.news == [None, 4] * 6
        assert heard.figure("websocket_connected") == 1


async def test_after_three_failures_in_a_row_it_rests_until_somebody_reconnects_by_hand(tmp_path: Path) -> None:
    with socket.socket() as held:
        # Whoever connects is refused until somebody listens, and nobody else gets the port meanwhile.
        held.bind(("127.0.0.1", 0))
        await _rests_until_it_is_reconnected(held, tmp_path)


async def _rests_until_it_is_reconnected(held: socket.socket, home: Path) -> None:
    async with channels(home, held.getsockname()[1]) as (live, heard):
        live.want([Wanted()])
        await until(lambda: (found := live.channel(HUB)) is not None and found.state is ChannelState.RESTING)
        channel = live.channel(HUB)
        assert channel is not None
        assert channel.failures == 3
        assert channel.error == "its channel cannot be connected to"
        assert channel.next_at is not None
        assert (channel.next_at - channel.since).total_seconds() > 3500
        assert heard.figure("websocket_connected") == 0
        async with hub(talk, held):
            live.want([Wanted()])
            await asyncio.sleep(0.2)
            assert not live.is_open(HUB), "it rests"
            live.reconnect(HUB)
            await until(lambda: live.is_open(HUB))


async def test_messages_that_are_too_large_too_many_or_none_close_the_channel_and_cost_one_poll(tmp_path: Path) -> None:
    async def too_large(connection: ServerConnection) -> None:
        await connection.send(json.dumps({"head": 1, "more": "x" * (2 * 2**20)}))
        await connection.wait_closed()

    async def too_many(connection: ServerConnection) -> None:
        for number in range(500):
            await connection.send(json.dumps({"head": number}))
        await connection.wait_closed()

    async def nonsense(connection: ServerConnection) -> None:
        await connection.send('{"head": "all of it"}')
        await connection.wait_closed()

    for behaviour in (too_large, too_many, nonsense):
        async with hub(behaviour) as port, channels(tmp_path, port, Pace(first=60.0)) as (live, heard):
            live.want([Wanted()])
            await until(lambda: heard.figure("websocket_frames_refused_total") == 1)
            await until(lambda: not live.is_open(HUB))
            assert heard.news[-1] is None
            assert heard.figure("websocket_connected") == 0
