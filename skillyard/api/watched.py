"""Lines that come over a long time, sent to somebody who may go away, or read slowly, meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from skillyard.api.streams import SEND_SECONDS


class WatchStream(Response):
    """Ends when the lines do, when the client goes, and when it takes too long to read what was sent."""

    def __init__(self, lines: AsyncIterator[bytes], *, receive: Receive, media_type: str) -> None:
        super().__init__(media_type=media_type)
        self._lines = lines
        self._receive = receive
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the ASGI signature
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        sending = asyncio.create_task(self._send(send))
        gone = asyncio.create_task(self._disconnected())
        try:
            await asyncio.wait([sending, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            sending.cancel()
            await asyncio.wait([sending, gone])
        if not sending.cancelled():
            sending.result()

    async def _send(self, send: Send) -> None:
        async for lines in self._lines:
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await send({"type": "http.response.body", "body": lines, "more_body": True})
            except TimeoutError:
                return  # Nobody is left to tell.
        await send({"type": "http.response.body", "body": b""})

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
