"""The audit chain: checked, signed, listed, and exported as a file that can be checked without the server."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, StringConstraints

from skillyard.api.audit_answers import record_view
from skillyard.api.auth import Admin
from skillyard.api.paging import Cursor, PageSize, key_of
from skillyard.api.schemas.audit import (
    KeyView,
    RecordsView,
    SegmentView,
    SignedHeadView,
    VerificationView,
)
from skillyard.api.schemas.values import MAX_KEY, Page
from skillyard.api.state import TheRuntime
from skillyard.errors import InputError
from skillyard.governance.audit import Head
from skillyard.governance.audit.listing import Filter
from skillyard.governance.signing import pem
from skillyard.ids import AgentId, InvocationId

router = APIRouter(prefix="/v1/audit", tags=["audit"])

EXPORT_SECONDS = 600.0
_CHUNK_BYTES = 64 * 1024


def _filter(
    *,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    actor: Annotated[str | None, Query(max_length=32, description="`person/ID`, `agent/ID` or `system`.")] = None,
    action: Annotated[str | None, Query(max_length=64, description="How its name begins: `package.`")] = None,
    subject: Annotated[str | None, Query(min_length=1, max_length=500)] = None,
    agent: Annotated[int | None, Query(ge=1, le=MAX_KEY, description="What it did, and what was done to it.")] = None,
    invocation: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
) -> Filter:
    return Filter(
        since=since,
        until=until,
        actor=actor,
        action=action,
        subject=subject,
        agent=None if agent is None else AgentId(agent),
        invocation=None if invocation is None else InvocationId(invocation),
    )


Wanted = Annotated[Filter, Depends(_filter)]


@router.get("/verify")
async def verify(
    runtime: TheRuntime,
    admin: Admin,
    noted_seq: Annotated[int | None, Query(ge=1, le=MAX_KEY)] = None,
    noted_hash: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$")] = None,
    key: Annotated[
        list[Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]] | None,
        Query(max_length=32, description="The id of a key that counts, beside the server's own; may be repeated."),
    ] = None,
) -> VerificationView:
    """Check the workspace's whole chain and its signatures, and that it still holds a head that was noted earlier."""
    if (noted_seq is None) != (noted_hash is None):
        raise InputError("a noted head is a number and a hash: give both", field="noted_seq")
    noted = () if noted_seq is None or noted_hash is None else (Head(noted_seq, noted_hash),)
    return VerificationView.model_validate(await runtime.audit.verify(admin.workspace, noted, trusted=key or ()))


@router.post("/head")
async def head(runtime: TheRuntime, admin: Admin) -> SignedHeadView:
    """Sign where the chain ends now. Note the answer elsewhere: it proves later what the chain was."""
    signed = await runtime.audit.signer.sign(admin.workspace)
    key = (await runtime.audit.signer.key()).public
    return SignedHeadView(
        seq=signed.seq,
        hash=signed.hash,
        at=signed.at,
        key_id=signed.key_id,
        signature=signed.signature,
        workspace_id=signed.workspace_id,
        public_key=key.hex,
        pem=pem(key),
    )


@router.get("/keys")
async def keys(runtime: TheRuntime, admin: Admin) -> Page[KeyView]:
    """Every public key that heads were signed with, the oldest first; all on one page."""
    del admin
    return Page(items=tuple(KeyView.model_validate(one) for one in await runtime.audit.keys()), next_cursor=None)


@router.get("/archives")
async def archives(runtime: TheRuntime, admin: Admin) -> Page[SegmentView]:
    """The archived parts of the chain, the oldest first; all on one page."""
    found = await runtime.audit.segments(admin.workspace)
    return Page(items=tuple(SegmentView.model_validate(one) for one in found), next_cursor=None)


@router.get("/records")
async def records(
    *,
    runtime: TheRuntime,
    admin: Admin,
    wanted: Wanted,
    cursor: Cursor = None,
    limit: PageSize = 100,
    order: Literal["newest", "oldest"] = "newest",
) -> RecordsView:
    """Records in the database, the newest first unless asked otherwise."""
    place = key_of(cursor) if cursor is not None else None
    newest = order == "newest"
    page = await runtime.audit.records(admin.workspace, wanted, limit=limit, cursor=place, newest_first=newest)
    return RecordsView(
        items=tuple(record_view(entry) for entry in page.entries),
        next_cursor=None if page.next is None else str(page.next),
        archived_through=page.archived_through,
    )


@router.get("/export", response_class=StreamingResponse)
async def export(runtime: TheRuntime, admin: Admin, wanted: Wanted, gzip: bool = False) -> StreamingResponse:
    """The workspace's chain, or the records that a filter picks, as a signed file of JSON lines, oldest first."""
    content = await runtime.audit.export(admin.workspace, wanted)

    async def chunks() -> AsyncIterator[bytes]:
        # A slow reader holds a snapshot of the database, which grows meanwhile; so not for ever.
        async with asyncio.timeout(EXPORT_SECONDS):
            async for chunk in _compressed(content) if gzip else _larger(content):
                yield chunk

    name = "audit.jsonl.gz" if gzip else "audit.jsonl"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    media_type = "application/gzip" if gzip else "application/x-ndjson"
    return StreamingResponse(chunks(), media_type=media_type, headers=headers)


async def _larger(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    gathered = bytearray()
    async for part in content:
        gathered += part
        if len(gathered) >= _CHUNK_BYTES:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


async def _compressed(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    deflate = zlib.compressobj(6, zlib.DEFLATED, 31)
    async for part in _larger(content):
        if chunk := await asyncio.to_thread(deflate.compress, part):
            yield chunk
    yield deflate.flush()
