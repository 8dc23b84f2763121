"""Skills as files for machines without a network: out of one instance, into another."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO, Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from skillyard.api.auth import Admin
from skillyard.api.routes.skills import Part, Version
from skillyard.api.schemas.skills import InstallationView
from skillyard.api.state import TheMarketplace, TheRuntime
from skillyard.runtime.values import SkillRef

router = APIRouter(prefix="/v1/skills", tags=["skills"])

_CHUNK = 256 * 1024
_TYPE = "application/x-tar"
_BODY = {"requestBody": {"required": True, "content": {_TYPE: {"schema": {"type": "string", "format": "binary"}}}}}
Upgrade = Annotated[bool, Query(description="Install it beside the version that is there; the pointer stays.")]


class HeldResponse(StreamingResponse):
    """A stream that holds something until it has ended, however early: a client that goes before the first piece leaves
    its iterator unstarted, and nothing in that would ever run."""

    def __init__(
        self, content: AsyncIterator[bytes], *, held: AsyncExitStack, media_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(content, media_type=media_type, headers=headers)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)


@router.get(
    "/{publisher}/{name}/versions/{version}/export",
    response_class=Response,
    responses={200: {"content": {_TYPE: {}}}},
)
async def export_skill(
    market: TheMarketplace, admin: Admin, publisher: Part, name: Part, version: Version
) -> StreamingResponse:
    """An installed version as one file: bundle, locks, the packages that they name, and the report."""
    async with AsyncExitStack() as stack:
        ref = SkillRef(publisher, name, version)
        path = await stack.enter_async_context(market.follower.offline.packed(admin.workspace, ref))
        file = stack.enter_context(path.open("rb"))
        headers = {
            "Content-Length": str(path.stat().st_size),
            "Content-Disposition": f'attachment; filename="{name}-{version}.tar"',
        }
        return HeldResponse(_content(file), held=stack.pop_all(), media_type=_TYPE, headers=headers)


@router.post("/import", status_code=201, openapi_extra=_BODY)
async def import_skill(
    *,
    request: Request,
    response: Response,
    runtime: TheRuntime,
    market: TheMarketplace,
    admin: Admin,
    upgrade: Upgrade = False,
) -> InstallationView:
    """Install what an exported file holds, with its locks and packages, through this instance's own scan and policy."""
    staging = runtime.settings.home / "staging"
    await asyncio.to_thread(staging.mkdir, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{runtime.lease}.", dir=staging) as folder:
        path = Path(folder) / "parcel.tar"
        with path.open("wb") as file:
            async for chunk in request.stream():
                await asyncio.to_thread(file.write, chunk)
        made = await market.follower.offline.take_in(path, workspace=admin.workspace, by=admin, upgrade=upgrade)
    response.status_code = 201 if made.created else 200
    return InstallationView.model_validate(made)


async def _content(file: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, _CHUNK):
        yield chunk
