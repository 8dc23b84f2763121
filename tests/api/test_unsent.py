"""What a slow client has not read yet stays bounded in number as well as in bytes, and in order within its stream."""

from __future__ import annotations

import asyncio

from skillyard.api.unsent import Text, Unsent
from skillyard.sandbox.events import Logged, LogLevel, Output, Progressed


def text(pieces: object, stream: int) -> bytes:
    assert isinstance(pieces, list)
    return b"".join(bytes(one.data) for one in pieces if isinstance(one, Text) and one.stream == stream)


async def test_many_small_pieces_of_two_streams_become_few() -> None:
    unsent = Unsent()
    for number in range(100_000):
        unsent.add(Output(1 + number % 2, f"{number},".encode()))
    pieces = unsent.take()
    assert pieces is not None
    assert len(pieces) <= 1026
    for stream in (1, 2):
        assert text(pieces, stream) == b"".join(f"{n},".encode() for n in range(100_000) if 1 + n % 2 == stream)


async def test_pieces_of_one_stream_join_and_of_progress_the_newest_stays() -> None:
    unsent = Unsent()
    line = Logged(LogLevel.INFO, "x")
    for emitted in (
        Output(1, b"a"),
        Output(1, b"b"),
        Progressed(1),
        Progressed(2),
        line,
        Progressed(3),
        Output(2, b"c"),
    ):
        unsent.add(emitted)
    assert unsent.take() == [
        Text(1, bytearray(b"ab")),
        Progressed(2),
        line,
        Progressed(3),
        Text(2, bytearray(b"c")),
    ]


async def test_the_end_comes_after_everything_and_stays_the_end() -> None:
    unsent = Unsent()
    waiting = asyncio.create_task(unsent.changed())
    await asyncio.sleep(0)
    assert not waiting.done()
    unsent.add(Output(1, b"a"))
    await waiting
    unsent.end()
    await unsent.changed()
    assert unsent.take() == [Text(1, bytearray(b"a"))]
    await unsent.changed()
    assert unsent.take() is None
    assert unsent.take() is None


async def test_what_nobody_will_read_is_not_kept() -> None:
    unsent = Unsent()
    unsent.add(Output(1, b"a"))
    unsent.drop()
    unsent.add(Output(1, b"b"))
    assert unsent.take() == []
