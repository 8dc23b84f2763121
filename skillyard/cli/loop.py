"""Running a command's asynchronous part to its end, and ending it cleanly when somebody asks."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class TerminatedError(BaseException):
    """SIGTERM came; everything that the command had started was cleaned up. Not an ``Exception``: nobody handles it."""


def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work``. SIGINT and SIGTERM cancel it, so that it can clean up, and then show as ``KeyboardInterrupt`` and
    ``TerminatedError``."""
    return asyncio.run(_terminable(work))


async def _terminable(work: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await task
    except asyncio.CancelledError:
        if terminated:
            raise TerminatedError from None
        task.cancel()
        await asyncio.wait([task])
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
