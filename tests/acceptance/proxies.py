"""Fault proxies for stories, which have no event loop of their own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.acceptance.poison import poisoned
from tests.fault_proxy import Fault, FaultProxy, Rewrite, fault_proxy

_SECONDS = 60


class Proxies:
    """Fault proxies on an event loop of their own. Made by ``proxies``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._made: dict[str, FaultProxy] = {}
        self._over = asyncio.Event()
        self._serving: list[concurrent.futures.Future[None]] = []

    def open(self, name: str, url: str) -> str:
        """A proxy in front of a server; its address."""
        opened: concurrent.futures.Future[str] = concurrent.futures.Future()

        async def serve() -> None:
            try:
                async with fault_proxy(url) as proxy:
                    self._made[name] = proxy
                    opened.set_result(proxy.url)
                    await self._over.wait()
            except Exception as error:  # noqa: BLE001 - whoever opens it has to hear of it
                if not opened.done():
                    opened.set_exception(error)

        self._serving.append(asyncio.run_coroutine_threadsafe(serve(), self._loop))
        return opened.result(_SECONDS)

    def storm(self, name: str, seed: int, rate: float) -> None:
        self._do(lambda: self._made[name].storm(seed, rate=rate, more=_lies))

    def drop(self, name: str) -> None:
        self._do(self._made[name].drop)

    def refuse(self) -> None:
        """Nobody gets through, until it is calm."""
        for proxy in self._made.values():
            self._do(proxy.refuse)

    def calm(self) -> None:
        for proxy in self._made.values():
            self._do(proxy.calm)
            self._do(proxy.drop)

    def close(self) -> None:
        self._do(self._over.set)
        for one in self._serving:
            one.result(_SECONDS)

    def _do(self, act: Callable[[], None]) -> None:
        async def do() -> None:
            act()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(_SECONDS)


@contextmanager
def proxies() -> Iterator[Proxies]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    made = Proxies(loop)
    try:
        yield made
    finally:
        made.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_SECONDS)
        loop.close()


def _lies(dice: random.Random) -> Sequence[Callable[[], Fault]]:
    """Twice, because pages alone can be poisoned, and only some of what passes is one."""
    return (lambda: Rewrite(poisoned(dice)), lambda: Rewrite(poisoned(dice)))
