"""A limit on the size of a request's body, and on how long it may take to arrive.

Placed inside authentication, so that a stranger's body is never read at all. A declared length that is too large is
refused before a byte is read; without one, bytes are counted as they arrive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIB = 1024 * 1024

BODY_BYTES = 256 * 1024
UPLOAD_BYTES = 32 * MIB
"""A bundle holds at most 16 MiB; an archive adds headers, and may hold folders that a bundle leaves out."""
INVOCATION_BYTES = 32 * MIB
"""Input, standard input and files of one call, in base64. All of it is in memory."""
FILE_BYTES = 10 * MIB
"""One file of a bundle, as it is. It goes to disk as it comes."""
LIST_BYTES = 8 * MIB
"""A rules file or a list of packages, as JSON text: up to 4 MiB, each character of which JSON may write as two."""
CALL_FORM_BYTES = 144 * MIB
"""The same as multipart, which goes to disk; how much of it a call may bring is checked there, by its grant."""
PARCEL_BYTES = 2048 * MIB
"""A skill with the wheels of all of its packages. It goes to disk as it comes."""

LARGE_BODIES: Mapping[tuple[str, str], int] = {
    ("POST", "/v1/skills"): UPLOAD_BYTES,
    ("POST", "/v1/skills/upgrade"): UPLOAD_BYTES,
    ("POST", "/v1/invocations"): INVOCATION_BYTES,
    ("POST", "/v1/packages/import"): LIST_BYTES,
    ("POST", "/v1/packages/allow-list"): LIST_BYTES,
    ("POST", "/v1/packages/check"): LIST_BYTES,
    ("POST", "/v1/marketplace/push"): LIST_BYTES,
    ("POST", "/v1/skills/import"): PARCEL_BYTES,
}
LARGE_BELOW: Mapping[tuple[str, str], int] = {("PUT", "/v1/marketplace/files"): FILE_BYTES}
"""The same for everything directly below a path."""
LARGE_FORMS: Mapping[tuple[str, str], int] = {("POST", "/v1/invocations"): CALL_FORM_BYTES}
"""What holds instead for ``multipart/form-data``."""
ARRIVAL_SECONDS = 300.0
"""Longest time from a request's headers to the end of its body."""


class BodyLimit:
    """ASGI middleware. Raises ``HTTPException`` 413 or 408 out of ``receive``; FastAPI passes those on as they are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, place = Headers(scope=scope), (scope["method"], scope["path"])
        below = LARGE_BELOW.get((place[0], place[1].rpartition("/")[0]), BODY_BYTES)
        limit = LARGE_BODIES.get(place, below)
        if headers.get("content-type", "").lower().startswith("multipart/form-data"):
            limit = LARGE_FORMS.get(place, limit)
        reader = _Reader(receive, limit, declared=headers.get("content-length"))
        await self._app(scope, reader.receive, send)


class _Reader:
    def __init__(self, receive: Receive, limit: int, *, declared: str | None) -> None:
        self._receive = receive
        self._limit = limit
        self._declared = int(declared) if declared is not None and declared.isdecimal() else 0
        self._read = 0
        self._complete = False
        self._deadline = asyncio.get_running_loop().time() + ARRIVAL_SECONDS

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        self._check(self._declared)
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError as error:
            raise HTTPException(408, f"the body took longer than {ARRIVAL_SECONDS:.0f} seconds to arrive") from error
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            self._check(self._read)
        return message

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise HTTPException(413, f"the body is larger than {self._limit} bytes")
