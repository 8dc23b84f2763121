"""Files of published versions by their SHA-256: which a version has, reading one, and sending one ahead."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import FileResponse

from skillyard.api.auth import MarketReader, MarketSender
from skillyard.api.downloads import matches, refuse_behind_end
from skillyard.api.schemas.marketplace import FileView, ManifestView, UploadView
from skillyard.api.state import TheMarketplace
from skillyard.errors import InputError

router = APIRouter(prefix="/v1/marketplace", tags=["marketplace"])

Part = Annotated[str, Path(min_length=1, max_length=64)]
Version = Annotated[str, Path(min_length=1, max_length=128)]
Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
ContentRange = Annotated[
    str | None, Header(description="`bytes FIRST-LAST/SIZE`, to go on with an upload that was cut off.")
]

_RANGE = re.compile(r"bytes (\d{1,10})-(\d{1,10})/(\d{1,10})")


@router.get("/skills/{publisher}/{name}/versions/{version}/files")
async def list_version_files(
    market: TheMarketplace, _reader: MarketReader, publisher: Part, name: Part, version: Version
) -> ManifestView:
    """The manifest of a version that may be installed."""
    files = await market.hub.files.manifest(f"{publisher}/{name}@{version}")
    return ManifestView(files=tuple(FileView.model_validate(one) for one in files))


@router.get("/files/{sha256}", response_class=FileResponse)
async def get_file(request: Request, market: TheMarketplace, _reader: MarketReader, sha256: Sha256) -> Response:
    """A file of a version that may be installed, whole or in ranges; its `ETag` is its SHA-256."""
    file, place = await market.hub.files.file(sha256)
    etag = f'"{sha256}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    refuse_behind_end(request.headers.get("range"), file.size)
    return FileResponse(
        place,
        media_type="application/octet-stream",
        headers=headers,
        filename=sha256,
        content_disposition_type="attachment",
    )


@router.get("/uploads/{sha256}")
async def get_upload(market: TheMarketplace, sender: MarketSender, sha256: Sha256) -> UploadView:
    """How much of a file that you sent is here."""
    received, whole = await market.hub.begun(sha256, sender=sender)
    return UploadView(sha256=sha256, received=received, whole=whole)


@router.put("/files/{sha256}")
async def put_file(
    request: Request,
    market: TheMarketplace,
    sender: MarketSender,
    sha256: Sha256,
    content_range: ContentRange = None,
) -> UploadView:
    """Send a file ahead of a publication. It is kept for a day; bytes of another hash are not kept.

    409 where a part is sent that does not follow on what is here.
    """
    offset, size = _range(content_range, request.headers.get("content-length"))
    await market.hub.receive(sha256, _chunks(request), sender=sender, offset=offset, size=size)
    received, whole = await market.hub.begun(sha256, sender=sender)
    return UploadView(sha256=sha256, received=received, whole=whole)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if chunk:
            yield chunk


def _range(header: str | None, length: str | None) -> tuple[int, int | None]:
    """Where the body begins in the file, and how long the whole file is, where it is said."""
    if header is None:
        known = length is not None and length.isascii() and length.isdecimal() and len(length) < 12
        return 0, int(length) if length is not None and known else None
    found = _RANGE.fullmatch(header.strip())
    first, last, size = (int(part) for part in found.groups()) if found else (1, 0, 0)
    if first > last or last >= size:
        raise InputError("not a range such as bytes 100-199/200", field="Content-Range")
    return first, size
