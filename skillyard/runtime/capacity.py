"""How much room sandboxes have: caps for a place, a workspace and all together, and what is taken under them.

Room is *taken* when a start is decided and released when a sandbox begins to stop, so that decisions can be made at
once. It is *occupied* by containers that may really be there: a start that took the room of a sandbox which is being
stopped waits at the gate until that one is gone. So no cap is passed, not even for the time that a removal takes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caps:
    """The most of each at once; ``None`` is no cap. ``queue`` is for waiting calls that nothing is started for."""

    sandboxes: int | None = None
    memory_bytes: int | None = None
    calls: int | None = None
    queue: int | None = None


@dataclass(slots=True, eq=False)
class Share:
    """What a place, a workspace or all of them together have now."""

    caps: Caps
    sandboxes: int = 0
    """Starting, idle or busy."""
    memory_bytes: int = 0
    """The grants of those, together."""
    present: int = 0
    """Being created, idle, busy or being removed."""
    present_bytes: int = 0
    stopping: int = 0
    """Of those that are present, being removed."""
    calls: int = 0
    """Calls that a sandbox is lent to."""
    promised: int = 0
    """Sandboxes that are being started because calls wait."""
    queued: int = 0

    @property
    def in_use(self) -> int:
        return self.calls + self.promised

    @property
    def may_call(self) -> bool:
        return self.caps.calls is None or self.calls + self.promised < self.caps.calls

    @property
    def overfull(self) -> bool:
        """Whether more calls wait than may."""
        return not _within(self.queued, self.caps.queue)

    @property
    def overcommitted(self) -> bool:
        """Whether more is taken than may be: the caps were lowered meanwhile."""
        return not (_within(self.sandboxes, self.caps.sandboxes) and _within(self.memory_bytes, self.caps.memory_bytes))

    def has_room(self, memory_bytes: int) -> bool:
        """Whether one sandbox more may be decided on."""
        return _within(self.sandboxes + 1, self.caps.sandboxes) and _within(
            self.memory_bytes + memory_bytes, self.caps.memory_bytes
        )

    def is_clear(self, memory_bytes: int) -> bool:
        """Whether one container more may really be made."""
        return _within(self.present + 1, self.caps.sandboxes) and _within(
            self.present_bytes + memory_bytes, self.caps.memory_bytes
        )


@dataclass(frozen=True, slots=True)
class Room:
    """What one sandbox of a place takes: its memory, once at each level."""

    place: Share
    workspace: Share
    total: Share
    memory_bytes: int

    @property
    def is_free(self) -> bool:
        return all(share.has_room(self.memory_bytes) for share in self._levels)

    @property
    def is_clear(self) -> bool:
        return all(share.is_clear(self.memory_bytes) for share in self._levels)

    @property
    def too_small_cap(self) -> int | None:
        """A memory cap that even one such sandbox alone would pass."""
        caps = (share.caps.memory_bytes for share in self._levels)
        return min((cap for cap in caps if cap is not None and cap < self.memory_bytes), default=None)

    def take(self) -> None:
        for share in self._levels:
            share.sandboxes += 1
            share.memory_bytes += self.memory_bytes

    def release(self) -> None:
        for share in self._levels:
            share.sandboxes -= 1
            share.memory_bytes -= self.memory_bytes

    def occupy(self) -> None:
        for share in self._levels:
            share.present += 1
            share.present_bytes += self.memory_bytes

    def begin_to_vacate(self) -> None:
        """What is there gives its room up, and is being removed."""
        self.release()
        for share in self._levels:
            share.stopping += 1

    def vacate_stopped(self) -> None:
        for share in self._levels:
            share.stopping -= 1
        self.vacate()

    def vacate(self) -> None:
        for share in self._levels:
            share.present -= 1
            share.present_bytes -= self.memory_bytes

    @property
    def _levels(self) -> tuple[Share, Share, Share]:
        return (self.place, self.workspace, self.total)


class Gate:
    """Lets starts through when their room is clear. All of them get through: taken room never passes a cap."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], Room] = {}

    async def enter(self, room: Room) -> None:
        """Returns when the room is clear, and occupies it."""
        if room.is_clear:
            room.occupy()
            return
        opened = asyncio.get_running_loop().create_future()
        self._waiting[opened] = room
        try:
            await opened
        except asyncio.CancelledError:
            # Let through in the same turn of the loop in which it was cancelled.
            if self._waiting.pop(opened, None) is None:
                room.vacate()
                self.open()
            raise

    def open(self) -> None:
        """Something that occupied room is gone: let through whose room is clear now."""
        for opened, wanted in list(self._waiting.items()):
            if not opened.done() and wanted.is_clear:
                del self._waiting[opened]
                wanted.occupy()
                opened.set_result(None)


def _within(value: int, cap: int | None) -> bool:
    return cap is None or value <= cap
