"""The host's end of the channel: frames over a socket of their own, or over a container's attached standard streams.

Attached streams arrive as the Engine's stream frames (one byte stream number, three zero bytes, four bytes big-endian
length, data; Docker Engine API, "Attach to a container"). The tail of standard error is kept either way: it is what the
guest itself said last. Everything that arrives is untrusted and bounded.
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
_LAST_WORDS_SECONDS = 1.0
"""How long after the end of its own connection a guest's container may take to end, and what it printed to arrive."""

FrameSink = Callable[[Kind, bytes], None]
LossSink = Callable[[str], None]


class Channel(asyncio.Protocol):
    """The protocol of the connection that carries frames, and the owner of the one that does not.

    ``on_frame`` is called for each frame as it arrives, ``on_lost`` once, at the end. A guest that breaks the protocol
    loses its connections, which ends its container.
    """

    def __init__(self, *, on_frame: FrameSink, on_lost: LossSink) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._decoder = Decoder()
        self._stderr = b""
        self._beside: asyncio.Transport | None = None
        """The attached streams, where frames have a connection of their own."""
        self._lost = False
        self._transport: asyncio.Transport | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._problem: str | None = None

    @property
    def stderr(self) -> str:
        """What the guest itself printed last, at most 16 KiB."""
        return self._stderr.decode(errors="replace")

    def attached(self, *, carrying: bool) -> AttachedStreams:
        """The protocol for the container's attached streams, which carry the frames or only go beside them."""
        return AttachedStreams(self, carrying=carrying)

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

    def hold(self, held: bool) -> None:
        """Read nothing more from the guest, or go on reading: what it sends waits where it is."""
        if self._transport is None or self._transport.is_closing():
            return
        if held:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Drop the connections: the guest's input ends, and with it the guest."""
        for transport in (self._transport, self._beside):
            if transport is not None:
                transport.abort()

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
        reason = str(exc) if exc else "the container ended"
        if self._beside is None:
            self._lose(reason)
        else:
            # The container's end, which comes next, brings what it printed.
            asyncio.get_running_loop().call_later(_LAST_WORDS_SECONDS, self._lose, reason)

    def data_received(self, data: bytes) -> None:
        try:
            for kind, payload in self._decoder.feed(data):
                self._on_frame(kind, payload)
        except FrameError as error:
            self.refuse(error)

    def refuse(self, error: FrameError) -> None:
        """Cut off a guest that does not speak the protocol."""
        self._problem = self._problem or f"the guest broke the protocol: {error}"
        self.abort()

    def _lose(self, reason: str) -> None:
        if not self._lost:
            self._lost = True
            self._on_lost(self._problem or reason)

    # What the attached streams tell

    def printed(self, data: bytes) -> None:
        self._stderr = (self._stderr + data)[-_STDERR_TAIL:]

    def stands_beside(self, transport: asyncio.Transport | None) -> None:
        """The attached streams are there, or at their end (``None``): then the container is gone."""
        self._beside = transport
        if transport is None:
            if self._transport is not None:
                self._transport.abort()
            self._lose("the container ended")


class AttachedStreams(asyncio.Protocol):
    """Takes the Engine's stream frames apart: standard output for the channel's frames, standard error for people."""

    def __init__(self, channel: Channel, *, carrying: bool) -> None:
        self._channel = channel
        self._carrying = carrying
        self._head = b""
        self._stream = 0
        self._remaining = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._carrying:
            self._channel.connection_made(transport)
        else:
            self._channel.stands_beside(cast("asyncio.Transport", transport))

    def pause_writing(self) -> None:
        self._channel.pause_writing()

    def resume_writing(self) -> None:
        self._channel.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._carrying:
            self._channel.connection_lost(exc)
        else:
            self._channel.stands_beside(None)

    def data_received(self, data: bytes) -> None:
        try:
            self._take(data)
        except FrameError as error:
            self._channel.refuse(error)

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
            self._channel.printed(piece)
        elif self._stream == _STDOUT and self._carrying:
            self._channel.data_received(piece)
        else:
            raise FrameError(f"stream {self._stream} is unknown")
