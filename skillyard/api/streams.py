"""A running call as JSON lines: that it is admitted, what it says while it runs, its outcome."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator, Iterator
from typing import assert_never

from fastapi.responses import Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from skillyard.api.answers import invocation_json
from skillyard.api.calls import RunningCall
from skillyard.api.problems import detail_of, log_if_ours, log_unknown, retry_after, status_of
from skillyard.api.schemas.invocations import (
    AcceptedEvent,
    ErrorEvent,
    HeldEvent,
    LogEvent,
    OutputEvent,
    ProgressEvent,
)
from skillyard.api.unsent import Admitted, Text, Waiting
from skillyard.errors import SkillyardError
from skillyard.runtime.waiting import Held
from skillyard.sandbox.events import Logged, Progressed

NDJSON = "application/x-ndjson"
SEND_SECONDS = 60.0
"""Longest time a client may take to read what was sent before it counts as gone."""
HELD_SECONDS = 20.0
"""How often a held call is told of again."""
RESULT_BYTES = 1024 * 1024
"""A larger result is a file of the call: a line of a stream is something to be read whole."""
_LINE_BYTES = 64 * 1024
"""About how much output goes into one line."""

_Event = AcceptedEvent | HeldEvent | ProgressEvent | LogEvent | OutputEvent | ErrorEvent


class CallStream(Response):
    """Closes the call, however the stream ends."""

    media_type = NDJSON

    def __init__(self, call: RunningCall) -> None:
        super().__init__()
        self._call = call
        self._decoders = {stream: codecs.getincrementaldecoder("utf-8")(errors="replace") for stream in (1, 2)}
        self._held: HeldEvent | None = None
        """What was told last of a call that still waits for its approval."""
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the ASGI signature
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for lines in self._lines(f"{scope['method']} {scope['path']}"):
                async with asyncio.timeout(SEND_SECONDS):
                    await send({"type": "http.response.body", "body": lines, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except (ClientDisconnect, TimeoutError):
            return  # Nobody is left to tell; closing the call cancels it, or lets it go on.
        finally:
            await self._call.close()

    async def _lines(self, place: str) -> AsyncIterator[bytes]:
        """Whole lines. What waits is only taken once what was taken before has been sent."""
        if not self._call.held:
            yield _line(AcceptedEvent(event="accepted", invocation_id=str(self._call.id)))
        while True:
            if not await self._changed():
                # A connection on which nothing moves for long is cut by whatever is in between.
                for event in self._still_held():
                    yield _line(event)
                continue
            waiting = self._call.unsent.take()
            if waiting is None:
                break
            for piece in waiting:
                for event in self._events(piece):
                    yield _line(event)
        yield await self._last(place)

    async def _changed(self) -> bool:
        """Wait for something to tell; false where a held call has waited for a while once more."""
        try:
            async with asyncio.timeout(None if self._held is None else HELD_SECONDS):
                await self._call.changed()
        except TimeoutError:
            return False
        return True

    def _still_held(self) -> Iterator[_Event]:
        if self._held is not None:
            yield self._held

    def _events(self, piece: Waiting) -> Iterator[_Event]:
        match piece:
            case Text(stream=stream, data=data):
                for start in range(0, len(data), _LINE_BYTES):
                    text = self._decoders[stream].decode(bytes(data[start : start + _LINE_BYTES]))
                    if text:
                        yield OutputEvent(event="stdout" if stream == 1 else "stderr", text=text)
            case Progressed(progress=progress, total=total, message=message):
                yield ProgressEvent(event="progress", progress=progress, total=total, message=message)
            case Held(invocation=invocation, approval=approval, until=until):
                self._held = HeldEvent(event="held", invocation_id=invocation, approval=approval, until=until)
                yield self._held
            case Admitted(invocation=invocation):
                self._held = None
                yield AcceptedEvent(event="accepted", invocation_id=invocation)
            case Logged(level=level, message=message, data=data):
                yield LogEvent(event="log", level=level, message=message, data=data)
            case _:
                assert_never(piece)

    async def _last(self, place: str) -> bytes:
        try:
            return b'{"event":"outcome","invocation":' + invocation_json(await self._call.end()) + b"}\n"
        except SkillyardError as error:
            log_if_ours(error, place=place)
            known = ErrorEvent(
                event="error",
                status=status_of(error),
                detail=detail_of(error),
                code=error.code,
                retry_after_seconds=retry_after(error),
            )
            return _line(known)
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - the status is sent already: the stream must say that it failed
            log_unknown(error, place=place)
            detail = "Something went wrong on the server; its log says what."
            return _line(ErrorEvent(event="error", status=500, detail=detail, code="internal"))


def _line(event: _Event) -> bytes:
    return event.model_dump_json().encode() + b"\n"
