"""A call in flight on behalf of one HTTP request: followed to its end; cancelled, or let go on, without its client."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from skillyard.api.bodies import WantedCall
from skillyard.api.unsent import Admitted, Unsent
from skillyard.ids import InvocationId
from skillyard.runtime.runtime import Runtime
from skillyard.runtime.values import Invocation
from skillyard.runtime.waiting import Held


class RunningCall:
    """A call and what it has said so far. Leaving the ``async with`` cancels it if it still runs, unless its client
    asked for it to continue: then the runtime owns it.

    The call owns its uploaded files, and drops them when it ends.
    """

    def __init__(self, runtime: Runtime, wanted: WantedCall, receive: Receive) -> None:
        self.unsent = Unsent()
        self.id: InvocationId | None = None
        """Known once the call is admitted."""
        self.held = False
        """Whether it had to wait for an approval, or waits for it still."""
        self._runtime = runtime
        self._wanted = wanted
        self._receive = receive
        self._begun = asyncio.Event()
        self._call = asyncio.create_task(self._run())
        self._call.add_done_callback(self._ended)
        self._gone = asyncio.create_task(self._disconnected())

    async def _run(self) -> Invocation:
        try:
            return await self._runtime.invoke(self._wanted.request, self.unsent.add, self._on_admitted, self._on_held)
        finally:
            await self._wanted.spool.discard()

    def _on_admitted(self, invocation: InvocationId) -> None:
        self.id = invocation
        if self.held:
            self.unsent.tell(Admitted(invocation))
        self._begun.set()

    def _on_held(self, held: Held) -> None:
        self.held = True
        self.unsent.tell(held)
        self._begun.set()

    def _ended(self, _call: object) -> None:
        self._begun.set()
        self.unsent.end()

    async def __aenter__(self) -> RunningCall:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Cancel what still runs and wait until it has ended: a cancelled call is killed and recorded before that."""
        self._gone.cancel()
        if self._wanted.on_disconnect == "continue" and not self._call.done():
            self.unsent.drop()
            self._runtime.calls.adopt(self._call)
            await asyncio.wait([self._gone])
            return
        self._call.cancel()
        await asyncio.wait([self._gone, self._call])
        if not self._call.cancelled():
            self._call.exception()  # looked at here, or raised by ``end``: not to be reported as never retrieved

    async def end(self) -> Invocation:
        """The call's end; raises what the call raises, and ``ClientDisconnect`` when the client went away first."""
        await asyncio.wait([self._call, self._gone], return_when=asyncio.FIRST_COMPLETED)
        if not self._call.done():
            raise ClientDisconnect
        return self._call.result()

    async def begun(self) -> bool:
        """Wait until there is something to tell, which is true; or the call was refused before. Raises
        ``ClientDisconnect``."""
        await self._until(self._begun.wait())
        return self.held or self.id is not None

    async def changed(self) -> None:
        """Wait until the call has said something, or has ended. Raises ``ClientDisconnect``."""
        await self._until(self.unsent.changed())

    async def _until(self, event: Coroutine[Any, Any, object]) -> None:
        waiting = asyncio.ensure_future(event)
        try:
            await asyncio.wait([waiting, self._gone], return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ClientDisconnect
        finally:
            waiting.cancel()

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
