"""A call in flight on behalf of one HTTP request: followed to its end, or cancelled when the client goes away."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator
from types import TracebackType

from fastapi.responses import Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from skillyard.api.answers import invocation_view
from skillyard.api.problems import detail_of, log_if_ours, log_unknown
from skillyard.api.schemas.invocations import ErrorEvent, OutcomeEvent, OutputEvent
from skillyard.errors import SkillyardError
from skillyard.runtime.runtime import Runtime
from skillyard.runtime.values import Invocation, InvokeRequest
from skillyard.sandbox.sandbox import Output

NDJSON = "application/x-ndjson"
SEND_SECONDS = 60.0
"""Longest time a client may take to read what was sent before it counts as gone."""


class RunningCall:
    """A call and the output it has given so far. Leaving the ``async with`` cancels it if it still runs.

    Output waits in memory until it is sent; it is bounded by what a call may print at all.
    """

    def __init__(self, runtime: Runtime, request: InvokeRequest, receive: Receive) -> None:
        self._receive = receive
        self._output: asyncio.Queue[Output | None] = asyncio.Queue()
        self._call = asyncio.create_task(runtime.invoke(request, self._output.put_nowait))
        self._call.add_done_callback(lambda _: self._output.put_nowait(None))
        self._gone = asyncio.create_task(self._disconnected())
        self._held: Output | None = None

    async def __aenter__(self) -> RunningCall:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Cancel what still runs and wait until it has ended: a cancelled call is killed and recorded before that."""
        self._gone.cancel()
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

    async def printed(self) -> bool:
        """Wait for the first output or the end, and say whether there was output."""
        first = asyncio.ensure_future(self._output.get())
        await asyncio.wait([first, self._gone], return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            first.cancel()
            raise ClientDisconnect
        self._held = first.result()
        return self._held is not None

    async def output(self) -> AsyncIterator[Output]:
        """Every piece of output until the call has ended; to be asked for after ``printed`` said that there is some.

        Raises ``ClientDisconnect`` as soon as the client is gone.
        """
        piece = self._held
        while piece is not None:
            yield piece
            following = asyncio.ensure_future(self._output.get())
            await asyncio.wait([following, self._gone], return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                following.cancel()
                raise ClientDisconnect
            piece = following.result()

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


class CallStream(Response):
    """A running call as JSON lines: its output while it runs, its outcome last. Closes the call, however it ends."""

    media_type = NDJSON

    def __init__(self, call: RunningCall) -> None:
        super().__init__()
        self._call = call
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the ASGI signature
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for line in self._lines(f"{scope['method']} {scope['path']}"):
                async with asyncio.timeout(SEND_SECONDS):
                    await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except (ClientDisconnect, TimeoutError):
            return  # Nobody is left to tell; closing the call cancels it.
        finally:
            await self._call.close()

    async def _lines(self, place: str) -> AsyncIterator[bytes]:
        decoders = {stream: codecs.getincrementaldecoder("utf-8")(errors="replace") for stream in (1, 2)}
        async for piece in self._call.output():
            text = decoders[piece.stream].decode(piece.data)
            if text:
                yield _line(OutputEvent(event="stdout" if piece.stream == 1 else "stderr", text=text))
        yield _line(await self._last(place))

    async def _last(self, place: str) -> OutcomeEvent | ErrorEvent:
        try:
            return OutcomeEvent(event="outcome", invocation=invocation_view(await self._call.end()))
        except SkillyardError as error:
            log_if_ours(error, place=place)
            return ErrorEvent(event="error", detail=detail_of(error), code=error.code)
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - the status is sent already: the stream must say that it failed
            log_unknown(error, place=place)
            detail = "Something went wrong on the server; its log says what."
            return ErrorEvent(event="error", detail=detail, code="internal")


def _line(event: OutputEvent | OutcomeEvent | ErrorEvent) -> bytes:
    return event.model_dump_json().encode() + b"\n"
