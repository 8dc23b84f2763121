"""The relay's event loop: one handler per descriptor, waiting for a condition with a deadline."""

from __future__ import annotations

import math
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READABLE = select.POLLIN
WRITABLE = select.POLLOUT


class Loop:
    """A level-triggered poll(2) loop. Handlers take no argument and must not block."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[], None]] = {}

    def watch(self, descriptor: int, handler: Callable[[], None], events: int = READABLE) -> None:
        self._poll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def forget(self, descriptor: int) -> None:
        if self._handlers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def run(self, until: Callable[[], bool], deadline: float | None = None) -> bool:
        """Handle events until the condition holds; false where the deadline (``time.monotonic``) came first."""
        while not until():
            wait = None
            if deadline is not None:
                wait = math.ceil((deadline - time.monotonic()) * 1000)
                if wait <= 0:
                    return False
            self._turn(wait)
        return True

    def catch_up(self) -> None:
        """Handle what has happened already."""
        self._turn(0)

    def _turn(self, wait: int | None) -> None:
        for descriptor, _ in self._poll.poll(wait):
            # An earlier handler of this round may have dropped the descriptor.
            handler = self._handlers.get(descriptor)
            if handler is not None:
                handler()
