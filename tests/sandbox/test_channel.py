"""The host's end of the channel over a real socket: any cut of the engine's stream, and an end for bad guests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import pytest
from skillyard.sandbox.channel import Channel
from skillyard.sandbox.guest.frames import Kind, encode


class Engine:
    """The other end: what the engine would send, and what it got."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.frames: list[tuple[Kind, bytes]] = []
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.channel = Channel(on_frame=lambda kind, payload: self.frames.append((kind, payload)), on_lost=self._lose)

    def _lose(self, reason: str) -> None:
        self.lost.set_result(reason)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.stream, data)

    async def receive(self, size: int) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.stream, size)

    async def close(self) -> str:
        self.stream.close()
        return await self.lost


def chunk(stream: int, data: bytes) -> bytes:
    """Docker Engine API, "Attach to a container": the format of a stream without a terminal."""
    return struct.pack(">BxxxI", stream, len(data)) + data


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    engine = Engine(ours)
    attached = engine.channel.attached(carrying=True)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: attached, theirs)
    yield engine
    engine.channel.abort()
    with contextlib.suppress(asyncio.CancelledError):
        await engine.lost
    ours.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 1000])
async def test_frames_arrive_however_the_engine_cuts_its_stream(engine: Engine, size: int) -> None:
    stream = encode(Kind.STDOUT, b"abc") + encode(Kind.READY) + encode(Kind.END, b"{}")
    sent = b"".join(chunk(1, stream[start : start + 5]) for start in range(0, len(stream), 5)) + chunk(2, b"oops")
    for start in range(0, len(sent), size):
        await engine.send(sent[start : start + size])
    assert await engine.close() == "the container ended"
    assert engine.frames == [(Kind.STDOUT, b"abc"), (Kind.READY, b""), (Kind.END, b"{}")]
    assert engine.channel.stderr == "oops"


async def test_only_the_end_of_standard_error_is_kept(engine: Engine) -> None:
    await engine.send(chunk(2, b"x" * 100_000 + b"last words"))
    await engine.close()
    assert len(engine.channel.stderr) == 16 * 1024
    assert engine.channel.stderr.endswith("last words")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (chunk(1, b"\xff\0\0\0\0"), "frame kind 255 is unknown"),
        (chunk(1, struct.pack(">BI", Kind.RESULT, 2**31)), "a frame of 2147483648 bytes is over the limit"),
        (chunk(7, b"x"), "stream 7 is unknown"),
    ],
)
async def test_a_guest_that_breaks_the_protocol_is_cut_off(engine: Engine, sent: bytes, reason: str) -> None:
    await engine.send(sent)
    assert await engine.lost == f"the guest broke the protocol: {reason}"


async def test_frames_go_out_as_they_are(engine: Engine) -> None:
    engine.channel.send(Kind.CALL, b"{}")
    assert await engine.receive(100) == encode(Kind.CALL, b"{}")


async def test_a_full_connection_makes_the_sender_wait(engine: Engine) -> None:
    payload = bytes(1024 * 1024)
    for _ in range(4):
        engine.channel.send(Kind.DATA, payload)
    waiting = asyncio.create_task(engine.channel.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    left = 4 * (len(payload) + 5)
    while left:
        left -= len(await engine.receive(left))
    await waiting
