"""What a call has said and its client has not read yet, in a bounded amount however slowly the client reads."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from skillyard.ids import InvocationId
from skillyard.runtime.waiting import Held
from skillyard.sandbox.events import Emitted, Logged, Output, Progressed

_MOST_PIECES = 1024
"""Above this, output joins the last piece of its stream that waits: order is kept within a stream."""


@dataclass(slots=True)
class Text:
    """Waiting output of one stream (1 or 2)."""

    stream: int
    data: bytearray


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call that was held is on record now, and begins."""

    invocation: InvocationId


Waiting = Text | Progressed | Logged | Held | Admitted


class Unsent:
    """Its bytes are bounded by what a call may say at all, its pieces by joining those that belong together."""

    def __init__(self) -> None:
        self._pieces: list[Waiting] = []
        self._changed = asyncio.Event()
        self._over = False
        self._dropping = False

    def add(self, emitted: Emitted) -> None:
        if self._dropping:
            return
        last = self._pieces[-1] if self._pieces else None
        match emitted:
            case Output(stream=stream, data=data):
                self._add_text(stream, data)
            case Progressed() if isinstance(last, Progressed):
                # Only the newest says how far the call is.
                self._pieces[-1] = emitted
            case _:
                self._pieces.append(emitted)
        self._changed.set()

    def tell(self, news: Held | Admitted) -> None:
        """What becomes of the call before it says anything itself."""
        if not self._dropping:
            self._pieces.append(news)
            self._changed.set()

    def _add_text(self, stream: int, data: bytes) -> None:
        last = self._pieces[-1] if self._pieces else None
        if not (isinstance(last, Text) and last.stream == stream) and len(self._pieces) >= _MOST_PIECES:
            last = next((one for one in reversed(self._pieces) if isinstance(one, Text) and one.stream == stream), None)
        if isinstance(last, Text) and last.stream == stream:
            last.data += data
        else:
            self._pieces.append(Text(stream, bytearray(data)))

    def end(self) -> None:
        """Nothing more will come."""
        self._over = True
        self._changed.set()

    def drop(self) -> None:
        """Nobody will read any more."""
        self._dropping = True
        self._pieces.clear()

    async def changed(self) -> None:
        """Wait until there is something to take, or the end."""
        await self._changed.wait()

    def take(self) -> list[Waiting] | None:
        """All that waits, oldest first; ``None`` once there is nothing and nothing more will come."""
        pieces, self._pieces = self._pieces, []
        self._changed.clear()
        if self._over:
            self._changed.set()
        return pieces or (None if self._over else [])
