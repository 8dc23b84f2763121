"""What a thread takes hold of, and who lets go of it; what it reckons while others are waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


async def taken(take: Callable[[], T], let_go: Callable[[T], object]) -> T:
    """What ``take`` gets hold of in a thread: a lock, an open file, a new folder.

    A thread cannot be called off. Where the caller is cancelled while it works, what it got would belong to nobody, and
    a lock would be held for as long as this process lives: it is let go of, in a thread as well, before the caller
    hears of its end.
    """
    taking = asyncio.ensure_future(asyncio.to_thread(take))
    try:
        return await asyncio.shield(taking)
    except asyncio.CancelledError:
        await asyncio.shield(_let_go(taking, let_go))
        raise


async def _let_go(taking: asyncio.Future[T], let_go: Callable[[T], object]) -> None:
    await asyncio.wait({taking})
    # What could not be taken is nobody's; and the caller, who is gone, is not told why.
    if taking.exception() is None:
        await asyncio.to_thread(let_go, taking.result())


@asynccontextmanager
async def beside(reckon: Callable[[], T]) -> AsyncIterator[Awaitable[T]]:
    """What ``reckon`` comes to, in a thread, while the block waits for a database or a network; to be awaited in it.

    ``reckon`` holds nothing and ends by itself. Whoever leaves the block without its answer does not wait for it.
    """
    reckoning = asyncio.ensure_future(asyncio.to_thread(reckon))
    try:
        yield reckoning
    finally:
        reckoning.cancel()
        await asyncio.gather(reckoning, return_exceptions=True)
