"""The host's end of the channel: frames over a container's attached standard streams.

Reads the Engine's stream frames (one byte stream number, three zero bytes, four bytes big-endian length, data; Docker
Engine API, "Attach to a container"), takes standard output as the guest's frames and keeps the tail of standard error.
Everything that arrives is untrusted and bounded.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterable
from typing import cast

from skillyard.sandbox.guest.frames import Decoder, FrameError, Kind, encode

_STREAM_HEADER = struct.Struct(">BxxxI")
_STDOUT, _STDERR = 1, 2
_STDERR_TAIL = 16 * 1024

FrameSink = Callable[[Kind, bytes], None]
LossSink = Callable[[str], None]


class Channel(asyncio.Protocol):
    """One connection. ``on_frame`` is called for each frame as it arrives, ``on_lost`` once, at its end.

    A guest that breaks the protocol loses the connection, which ends its container.
    """

    def __init__(self, *, on_frame: FrameSink, on_lost: LossSink) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._decoder = Decoder()
        self._head = b""
        self._stream = 0
        self._remaining = 0
        self._stderr = b""
        self._transport: asyncio.Transport | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._problem: str | None = None

    @property
    def stderr(self) -> str:
        """What the guest itself printed last, at most 16 KiB."""
        return self._stderr.decode(errors="replace")

    # Sending

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        if self._transport is not None:
            self._transport.write(encode(kind, payload))

    def send_all(self, frames: Iterable[tuple[Kind, bytes]]) -> None:
        """Several frames in one write: each write wakes the engine, its shim and the guest in turn."""
        if self._transport is not None:
            self._transport.write(b"".join(encode(kind, payload) for kind, payload in frames))

    async def room(self) -> None:
        """Wait until the other end takes more."""
        await self._room.wait()

    def abort(self) -> None:
        """Drop the connection: standard input ends, and with it the guest."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._room.set()
        self._on_lost(self._problem or (str(exc) if exc else "the container ended"))

    def data_received(self, data: bytes) -> None:
        try:
            self._take(data)
        except FrameError as error:
            self._problem = f"the guest broke the protocol: {error}"
            self.abort()

    def _take(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        offset = 0
        while offset < len(data):
            if self._remaining == 0:
                if len(data) - offset < _STREAM_HEADER.size:
                    self._head = data[offset:]
                    return
                self._stream, self._remaining = _STREAM_HEADER.unpack_from(data, offset)
                offset += _STREAM_HEADER.size
            piece = data[offset : offset + self._remaining]
            offset += len(piece)
            self._remaining -= len(piece)
            self._take_piece(piece)

    def _take_piece(self, piece: bytes) -> None:
        if self._stream == _STDERR:
            self._stderr = (self._stderr + piece)[-_STDERR_TAIL:]
        elif self._stream == _STDOUT:
            for kind, payload in self._decoder.feed(piece):
                self._on_frame(kind, payload)
        else:
            raise FrameError(f"stream {self._stream} is unknown")
