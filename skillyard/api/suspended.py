"""A suspended workspace is read and not changed: what its tokens may still do.

A middleware and not a dependency of each route, so that a new route that changes something is refused without anybody
thinking of it. It keeps order and is no wall: what must not happen after a suspension is the admission of a call, and
that is refused by the transaction that would admit it.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from skillyard.api.auth import principal_of
from skillyard.api.problems import problem
from skillyard.api.state import runtime_of
from skillyard.governance import workspaces
from skillyard.governance.errors import WorkspaceSuspendedError
from skillyard.governance.identity import WorkspaceState

_READING = frozenset({"GET", "HEAD", "OPTIONS"})

_STILL = re.compile(r"/v1/(invocations|invocations/[^/]+/cancel|packages/check)")
"""What changes nothing for all its method, what ends calls, and calls: their decision refuses those, on record."""


class SuspendedWorkspaces:
    """ASGI middleware behind authentication."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _READING or _STILL.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        principal = principal_of(scope)
        if principal is not None:
            async with runtime_of(scope).database.reading() as session:
                state = await workspaces.state_of(session, principal.workspace)
            if state is not WorkspaceState.ACTIVE:
                refusal = WorkspaceSuspendedError("the workspace is suspended: it can be read, and nothing is changed")
                await problem(refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)
