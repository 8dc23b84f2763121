"""A gate for users of a store: many may be inside at once, or one who takes things away, and nobody else.

Built on flock(2), so it holds between processes, and the kernel opens it when one dies. The file stays for good:
removing it would let two sides lock different files of one name.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

_POLL = 0.02


class GateBusyError(Exception):
    """Somebody was inside for all the time that was given."""


class Gate:
    """One file, and everybody who goes by it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @contextlib.asynccontextmanager
    async def inside(self) -> AsyncIterator[None]:
        """Be one of many. Waits for whoever is alone inside, who stays a moment only."""
        descriptor = await self._enter(fcntl.LOCK_SH, None)
        try:
            yield
        finally:
            os.close(descriptor)

    @contextlib.asynccontextmanager
    async def alone(self, *, seconds: float) -> AsyncIterator[None]:
        """Be the only one. Raises ``GateBusyError`` where that does not come about within ``seconds``."""
        descriptor = await self._enter(fcntl.LOCK_EX, seconds)
        try:
            yield
        finally:
            os.close(descriptor)

    async def _enter(self, how: int, seconds: float | None) -> int:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        give_up = None if seconds is None else time.monotonic() + seconds
        try:
            while True:
                try:
                    fcntl.flock(descriptor, how | fcntl.LOCK_NB)
                except BlockingIOError:
                    if give_up is not None and time.monotonic() > give_up:
                        raise GateBusyError from None
                    await asyncio.sleep(_POLL)
                else:
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
