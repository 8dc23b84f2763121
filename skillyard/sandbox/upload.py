"""A call on its way into a sandbox: what is in memory in few writes, what is on disk as fast as the guest takes it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing

from skillyard.sandbox.channel import Channel
from skillyard.sandbox.guest.frames import Kind
from skillyard.sandbox.outcome import Call
from skillyard.sandbox.request import Sizes, inline_data, is_inline, read_data

_WRITE_BYTES = 64 * 1024
"""About as much as is written to the channel at once."""


async def send_call(channel: Channel, header: bytes, call: Call, sizes: Sizes, is_alive: Callable[[], bool]) -> None:
    """The header and all data of a call. Raises ``InputError`` for a file that cannot be read as it was announced."""
    frames = [(Kind.CALL, header)]
    if not is_inline(call):
        channel.send_all(frames)
        await _send_read(channel, call, sizes, is_alive)
        return
    size = len(header)
    for frame in inline_data(call):
        frames.append(frame)
        size += len(frame[1])
        if size > _WRITE_BYTES:
            channel.send_all(frames)
            frames, size = [], 0
            await channel.room()
    channel.send_all(frames)
    await channel.room()


async def _send_read(channel: Channel, call: Call, sizes: Sizes, is_alive: Callable[[], bool]) -> None:
    """Nothing more is read from disk while the connection is full."""
    async with aclosing(read_data(call, sizes)) as frames:
        async for kind, payload in frames:
            if not is_alive():
                return
            channel.send(kind, payload)
            await channel.room()
