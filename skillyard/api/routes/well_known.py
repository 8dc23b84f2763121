"""What other installers read: the index of Agent Skills discovery, a Claude-style marketplace, and the archives that
both name. Open where the setting ``marketplace_public`` says so; else for who has a token."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse

from skillyard.api.downloads import matches
from skillyard.api.state import TheMarketplace

router = APIRouter(tags=["marketplace"])

Name = Annotated[str, Path(max_length=64, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Version = Annotated[str, Path(max_length=128, pattern=r"^[0-9A-Za-z.+-]+$")]
Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]


@router.get("/.well-known/agent-skills/index.json")
async def get_agent_skills(request: Request, market: TheMarketplace) -> Response:
    """The skills that are installed most, as Agent Skills discovery 0.2.0 wants them."""
    return _json(request, await market.indexes.well_known())


@router.get("/publishers/{publisher}/.well-known/agent-skills/index.json")
async def get_agent_skills_of_a_publisher(request: Request, market: TheMarketplace, publisher: Name) -> Response:
    """Those of one publisher."""
    return _json(request, await market.indexes.well_known(publisher))


@router.get("/marketplace.json")
@router.get("/.claude-plugin/marketplace.json", include_in_schema=False)
async def get_claude_marketplace(request: Request, market: TheMarketplace) -> Response:
    """The same as a Claude-style marketplace, each skill a plug-in."""
    return _json(request, await market.indexes.claude())


@router.get("/.well-known/agent-skills/{publisher}/{name}/{version}/{digest}.tar.gz", response_class=StreamingResponse)
async def get_skill_archive(
    *, request: Request, market: TheMarketplace, publisher: Name, name: Name, version: Version, digest: Digest
) -> Response:
    """A version as an archive with exactly that SHA-256.

    What holds a copy asks every time: a version that may not be installed any more is there for nobody.
    """
    folder, bundle = await market.hub.archives.find(f"{publisher}/{name}@{version}", digest)
    etag = f'"{digest}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    chunks = await market.hub.archives.read(folder, bundle)
    return StreamingResponse(chunks, media_type="application/gzip", headers=headers)


def _json(request: Request, content: bytes) -> Response:
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)
