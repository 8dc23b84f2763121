"""What followers read: who this marketplace is, its signed head, its changes, a snapshot, and the live channel.

Pages are written without models: a first sync reads a hundred of them, and every field is the hub's own.
"""

from __future__ import annotations

import asyncio
import zlib
from contextlib import suppress
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response, WebSocket, WebSocketDisconnect
from starlette.websockets import WebSocketState

from skillyard.api.auth import MarketReader, Operator, market_reader, still_holds
from skillyard.api.problems import log_if_ours, problem
from skillyard.api.schemas.marketplace_feed import (
    EnvelopeView,
    FeedPageView,
    MarketplaceView,
    PutBackRequest,
    PutBackView,
)
from skillyard.api.state import TheMarketplace, marketplace_of
from skillyard.errors import SkillyardError
from skillyard.marketplace_sync.catalogue.entry import Entry
from skillyard.marketplace_sync.hub.feed import LONGEST_WAIT, MOST_ENTRIES, FeedPage
from skillyard.marketplace_sync.live.broadcast import Ear
from skillyard.marketplace_sync.marketplace import Marketplace
from skillyard.marketplace_sync.remotes.skillyard import PROTOCOL

router = APIRouter(prefix="/v1/marketplace", tags=["marketplace"])

FEATURES = ("feed", "snapshot", "live", "files", "push")

Place = Annotated[str | None, Query(max_length=512, description="`cursor` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=MOST_ENTRIES, description="Most entries on a page.")]
Wait = Annotated[
    float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for a change, where there is none yet.")
]

_COMPRESSED_FROM = 1024
_IN_A_THREAD_FROM = 64 * 1024
_TRY_AGAIN_LATER = 1013
_GOING_AWAY = 1001
_POLICY = 1008
_TOKEN_SECONDS = 10.0
"""How often the token of an open channel is looked at again."""


@router.get("")
async def describe_marketplace(market: TheMarketplace, _reader: MarketReader) -> MarketplaceView:
    """Which protocol it speaks, which feed it has, and the key that its heads are signed with."""
    feed_id, public_key = await market.feed.describe()
    return MarketplaceView(
        protocol=PROTOCOL,
        feed_id=feed_id,
        name=market.runtime.settings.marketplace_name,
        public_key=public_key,
        features=FEATURES,
    )


@router.get("/head", response_model=EnvelopeView)
async def get_head(request: Request, market: TheMarketplace, _reader: MarketReader) -> Response:
    """The state of the catalogue, signed, in a DSSE envelope."""
    head = await market.feed.head()
    return await _json(request, head.envelope.encode())


@router.get("/changes", response_model=FeedPageView)
async def list_changes(
    request: Request,
    market: TheMarketplace,
    _reader: MarketReader,
    *,
    cursor: Place = None,
    limit: Limit = 200,
    wait: Wait = 0.0,
) -> Response:
    """Entries in the order of their last change, behind a cursor, deletions among them; and the head of that moment.

    410 `cursor_gone`: the cursor is another feed's, or the feed has forgotten what followed it. Begin with a snapshot.
    """
    return await _json(request, _page(await market.feed.changes(cursor, limit=limit, wait=wait)))


@router.get("/snapshot", response_model=FeedPageView)
async def list_snapshot(
    request: Request, market: TheMarketplace, _reader: MarketReader, *, cursor: Place = None, limit: Limit = 200
) -> Response:
    """All entries that there are, without deletions. The last page's cursor goes on with `/changes`."""
    return await _json(request, _page(await market.feed.snapshot(cursor, limit=limit)))


@router.post("/put-back")
async def put_back(market: TheMarketplace, operator: Operator, body: PutBackRequest) -> PutBackView:
    """Say that an older state of this catalogue was put back on purpose: followers then read everything again."""
    catalogue = await market.feed_upkeep.put_back(body.reason, by=operator)
    return PutBackView(epoch=catalogue.epoch, seq=catalogue.seq)


@router.websocket("/live")
async def live(channel: WebSocket) -> None:
    """The number of the head, at once and whenever it changes. What the follower sends is let be."""
    try:
        market_reader(channel.scope)
        market = marketplace_of(channel.scope)
        async with market.bell.listening() as ear:
            await channel.accept()
            await _tell(channel, market, ear)
    except SkillyardError as error:
        log_if_ours(error, place="WEBSOCKET /v1/marketplace/live")
        with suppress(WebSocketDisconnect):
            if channel.application_state is WebSocketState.CONNECTING:
                await channel.send_denial_response(problem(error))
            else:
                await channel.close(_TRY_AGAIN_LATER, error.code)
    except WebSocketDisconnect:
        return


async def _tell(channel: WebSocket, market: Marketplace, ear: Ear) -> None:
    """Until the follower goes, the server stops, or the token does not count any more."""
    gone = asyncio.create_task(_gone(channel))
    clock = asyncio.get_running_loop().time
    try:
        head = await market.feed.head()
        state, told, checked = (head.epoch, head.seq), None, clock()
        while not gone.done() and not market.bell.closed:
            if clock() - checked >= _TOKEN_SECONDS:
                if not await still_holds(channel.scope):
                    await channel.close(_POLICY, "unauthenticated")
                    return
                checked = clock()
            if state != told:
                told = state
                await channel.send_bytes(orjson.dumps({"head": state[1], "epoch": state[0]}))
            ringing = asyncio.create_task(ear.rung(_TOKEN_SECONDS))
            try:
                await asyncio.wait((ringing, gone), return_when=asyncio.FIRST_COMPLETED)
            finally:
                ringing.cancel()
            state = ear.state or state
        if not gone.done():
            await channel.close(_GOING_AWAY)
    finally:
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)


async def _gone(channel: WebSocket) -> None:
    while (await channel.receive())["type"] != "websocket.disconnect":
        pass


def _page(page: FeedPage) -> bytes:
    value = {
        "entries": [_row(entry) for entry in page.entries],
        "cursor": page.cursor,
        "more": page.more,
        "head": orjson.Fragment(page.head.envelope),
    }
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def _row(entry: Entry) -> dict[str, object]:
    return {
        "kind": entry.id.kind.value,
        "key": entry.id.key,
        "seq": entry.seq,
        "rev": entry.rev,
        "sha256": entry.sha256,
        "deleted": entry.deleted,
        "changed_at": entry.changed_at,
        "document": entry.document,
    }


async def _json(request: Request, content: bytes) -> Response:
    """Compressed where that is asked for and pays."""
    headers = {"Vary": "Accept-Encoding"}
    if len(content) >= _COMPRESSED_FROM and _takes_gzip(request.headers.get("accept-encoding", "")):
        headers["Content-Encoding"] = "gzip"
        large = len(content) >= _IN_A_THREAD_FROM
        content = await asyncio.to_thread(_gzip, content) if large else _gzip(content)
    return Response(content, media_type="application/json", headers=headers)


def _takes_gzip(accepted: str) -> bool:
    names = (part.partition(";") for part in accepted.lower().split(","))
    return any(name.strip() == "gzip" and weight.strip() not in ("q=0", "q=0.0") for name, _, weight in names)


def _gzip(content: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()
