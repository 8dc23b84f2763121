"""A file that a call left, as a download: never a page of this server, in ranges, and known by its digest."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi.responses import FileResponse, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from skillyard.runtime.files import CallFile

_SAFE_TYPES = frozenset(
    {
        "application/json",
        "application/gzip",
        "application/pdf",
        "application/zip",
        "audio/mpeg",
        "audio/x-wav",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/csv",
        "text/markdown",
        "text/plain",
        "text/tab-separated-values",
        "video/mp4",
    }
)
"""Types that no browser runs anything of. Whatever else a name stands for is bytes, as is what has no type."""

_ONE_RANGE = re.compile(r"bytes=(\d{1,18})-\d*")


def download(headers: Headers, file: CallFile, location: Path) -> Response:
    """The whole file, the part that is asked for, or 304 (RFC 9110). Raises ``HTTPException`` 416."""
    etag = f'"{file.sha256}"'
    named = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if matches(headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=named)
    refuse_behind_end(headers.get("range"), file.size)
    return FileResponse(
        location,
        media_type=file.media_type if file.media_type in _SAFE_TYPES else "application/octet-stream",
        headers=named,
        filename=file.path.rpartition("/")[2],
        content_disposition_type="attachment",
    )


def matches(wanted: str | None, etag: str) -> bool:
    """``If-None-Match`` compares weakly (RFC 9110, 13.1.2)."""
    if wanted is None:
        return False
    return wanted.strip() == "*" or etag in {one.strip().removeprefix("W/") for one in wanted.split(",")}


def refuse_behind_end(wanted: str | None, size: int) -> None:
    """Refuse what starts behind the end with a problem like any other; the response sees to everything else."""
    found = _ONE_RANGE.fullmatch((wanted or "").replace(" ", ""))
    if found is not None and int(found[1]) >= size:
        raise HTTPException(416, f"the file holds {size} bytes", headers={"Content-Range": f"bytes */{size}"})
