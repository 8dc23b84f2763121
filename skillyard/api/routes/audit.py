"""The audit chain: checked, and exported line by line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from skillyard.api.auth import Admin
from skillyard.api.schemas.audit import VerificationView
from skillyard.api.schemas.values import MAX_KEY
from skillyard.api.state import TheRuntime
from skillyard.errors import InputError
from skillyard.governance import audit
from skillyard.governance.audit import Head

router = APIRouter(prefix="/audit", tags=["audit"])

EXPORT_SECONDS = 600.0
_CHUNK_BYTES = 64 * 1024


@router.get("/verify")
async def verify(
    runtime: TheRuntime,
    admin: Admin,
    noted_seq: Annotated[int | None, Query(ge=1, le=MAX_KEY)] = None,
    noted_hash: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$")] = None,
) -> VerificationView:
    """Check the workspace's whole chain, and that it still holds the head that somebody noted earlier."""
    if (noted_seq is None) != (noted_hash is None):
        raise InputError("a noted head is a number and a hash: give both", field="noted_seq")
    noted = () if noted_seq is None or noted_hash is None else (Head(noted_seq, noted_hash),)
    async with runtime.database.reading() as session:
        return VerificationView.model_validate(await audit.verify(session, admin.workspace, noted))


@router.get("/export", response_class=StreamingResponse)
async def export(runtime: TheRuntime, admin: Admin) -> StreamingResponse:
    """The workspace's chain as JSON lines, oldest first, every text exactly as it was hashed."""

    async def lines() -> AsyncIterator[bytes]:
        # A slow reader holds a snapshot of the database, which grows meanwhile; so not for ever.
        async with asyncio.timeout(EXPORT_SECONDS), runtime.database.reading() as session:
            chunk = bytearray()
            async for line in audit.export(session, admin.workspace):
                chunk += line
                if len(chunk) >= _CHUNK_BYTES:
                    yield bytes(chunk)
                    chunk.clear()
            yield bytes(chunk)

    headers = {"Content-Disposition": 'attachment; filename="audit.jsonl"'}
    return StreamingResponse(lines(), media_type="application/x-ndjson", headers=headers)
