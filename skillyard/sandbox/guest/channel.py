"""The guest's end of the channel: frames on a socket, or on the container's standard input and output."""

from __future__ import annotations

import _socket
import os

from skillyard.sandbox.guest.frames import Decoder, Frame, Kind, encode
from skillyard.sandbox.guest.loop import WRITABLE, Loop
from skillyard.sandbox.guest.plain import dumps, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from typing import Any
else:
    from _collections import deque

_CONGESTED = 1024 * 1024
_WAITING = 32


class Channel:
    """Held by the relay alone. End of file, or an owner that no longer reads, ends the process and so the container."""

    def __init__(self, loop: Loop, address: str | None) -> None:
        """``address`` is the path of the owner's socket; ``None`` for standard input and output. Raises ``OSError``."""
        self._loop = loop
        self._input, self._output = (0, 1) if address is None else _connect(address)
        self._decoder = Decoder()
        self._frames: deque[Frame] = deque()
        self._out = bytearray()
        self._paused = False
        self.on_relief: Callable[[], None] = lambda: None
        """Called when the channel is no longer congested."""
        os.set_blocking(self._input, False)
        os.set_blocking(self._output, False)
        loop.watch(self._input, self._on_readable)

    def _on_readable(self) -> None:
        with suppress(BlockingIOError):
            data = os.read(self._input, 256 * 1024)
            if not data:
                os._exit(0)
            self._frames.extend(self._decoder.feed(data))
        if len(self._frames) > _WAITING:
            self._paused = True
            self._loop.forget(self._input)

    @property
    def waiting(self) -> bool:
        """Whether a frame is at hand."""
        return bool(self._frames)

    def next_frame(self) -> Frame:
        """The next frame from the host, which may take as long as it likes."""
        self._loop.run(lambda: bool(self._frames))
        return self._pop()

    def _pop(self) -> Frame:
        if self._paused and len(self._frames) <= 1:
            self._paused = False
            self._loop.watch(self._input, self._on_readable)
        return self._frames.popleft()

    def take_cancel(self) -> bool:
        """Whether the frame at hand cancels the call; takes it if so."""
        if self._frames and self._frames[0][0] is Kind.CANCEL:
            self._pop()
            return True
        return False

    @property
    def congested(self) -> bool:
        return len(self._out) > _CONGESTED

    def put(self, kind: Kind, payload: bytes = b"") -> None:
        """Queue a frame; ``flush`` sends."""
        self._out += encode(kind, payload)

    def put_json(self, kind: Kind, value: dict[str, Any]) -> None:
        self.put(kind, dumps(value).encode())

    def flush(self) -> None:
        """Write what the pipe takes now; the rest follows as the pipe drains."""
        try:
            written = os.write(self._output, self._out)
        except BlockingIOError:
            written = 0
        except OSError:
            os._exit(0)
        del self._out[:written]
        if self._out:
            self._loop.watch(self._output, self._on_writable, WRITABLE)

    def _on_writable(self) -> None:
        was_congested = self.congested
        self._loop.forget(self._output)
        self.flush()
        if was_congested and not self.congested:
            self.on_relief()

    def wait_for_room(self) -> None:
        self._loop.run(lambda: not self.congested)


def _connect(address: str) -> tuple[int, int]:
    """Two descriptors of one connection, since a loop watches each for one thing."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect(address)
        return os.dup(connection.fileno()), os.dup(connection.fileno())
    finally:
        connection.close()
