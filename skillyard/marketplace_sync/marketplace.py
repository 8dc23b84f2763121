"""The marketplace as one value, over a runtime: the composition root of this room.

The methods of its parts are the use cases; what is here only makes them, starts what recurs, and ends it.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType

from skillyard.runtime.runtime import Runtime


async def create_marketplace(runtime: Runtime, *, background: bool) -> Marketplace:
    """A started marketplace. With ``background`` it also keeps up with its remotes by itself."""
    marketplace = Marketplace(runtime)
    try:
        await marketplace.start(background=background)
    except BaseException:
        await marketplace.close()
        raise
    return marketplace


class Marketplace:
    """All use cases of the marketplace. Made by ``create_marketplace``, ended by ``close``."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    async def start(self, *, background: bool) -> None:
        """Begin what recurs, where it is to."""

    async def close(self) -> None:
        """Stop everything that was started, the last first. Idempotent."""
        async with AsyncExitStack():
            pass

    async def __aenter__(self) -> Marketplace:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
