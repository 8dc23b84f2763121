"""Another Skillyard as a remote: the client of the protocol in ``docs/reference/marketplace-protocol.md``.

Nothing that a remote says is taken on trust: answers have limits, heads a signature, entries a hash that is computed
here. What is wrong with one row makes that row unreadable, what is wrong with an answer makes it a ``RemoteError``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from skillyard.governance.signing import HEX_KEY, PublicKey
from skillyard.ids import BundleDigest
from skillyard.marketplace_sync.catalogue.entry import EntryId
from skillyard.marketplace_sync.catalogue.envelope import HEAD_TYPE, parse_envelope
from skillyard.marketplace_sync.errors import DocumentError, FeedTrustError, RemoteAnswerError
from skillyard.marketplace_sync.remotes import channel, transfer
from skillyard.marketplace_sync.remotes.http import RemoteHttp, Trust
from skillyard.marketplace_sync.remotes.remote import (
    ChangePage,
    Head,
    PushItem,
    PushResult,
    Remote,
    RemoteMarket,
)
from skillyard.marketplace_sync.remotes.rows import read_rows
from skillyard.settings import Settings
from skillyard.skills.skill import BundleFile

PROTOCOL = "skillyard-marketplace/1"
PREFIX = "/v1/marketplace"

_MOST_CURSOR = 512
_IN_A_THREAD_FROM = 64 * 1024
"""Bytes of a page; what is smaller is read sooner than a thread is found for it."""


def create_opener(settings: Settings) -> SkillyardOpener:
    """The plug-in of the group ``skillyard.remotes``."""
    return SkillyardOpener(settings)


class SkillyardOpener:
    """Opens remotes of the kind ``skillyard``. Its clients share the certificates that it read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._trust = Trust(settings.marketplace_ca_bundle)

    def open(self, market: RemoteMarket) -> Remote:
        return SkillyardRemote(market, self._settings, trust=self._trust)

    async def close(self) -> None:
        return


class SkillyardRemote:
    """``Remote`` over HTTP and WebSocket. ``market`` says where, with which token, and under which key."""

    def __init__(self, market: RemoteMarket, settings: Settings, *, trust: Trust | None = None) -> None:
        self._http = RemoteHttp(market.url, token=market.token, settings=settings, trust=trust)
        self._pinned = None if market.public_key is None else PublicKey(bytes.fromhex(market.public_key))
        self._said: PublicKey | None = None

    async def changes(self, cursor: str | None, *, limit: int, wait: float = 0.0) -> ChangePage:
        """See ``Remote``. ``Head.public_key`` is the key that signed: for the follower to pin, or to distrust."""
        if cursor is None:
            received = await self._http.ask("GET", f"{PREFIX}/snapshot", params={"limit": limit})
        else:
            params: dict[str, str | int | float] = {"cursor": cursor, "limit": limit}
            if wait > 0:
                params["wait"] = wait
            seconds = self._http.seconds + wait
            received = await self._http.ask("GET", f"{PREFIX}/changes", params=params, seconds=seconds)
        large = len(received.content) >= _IN_A_THREAD_FROM
        value = _object(await asyncio.to_thread(received.json) if large else received.json())
        rows, following, more = value.get("entries"), value.get("cursor"), value.get("more")
        if not isinstance(rows, list) or not isinstance(following, str) or not isinstance(more, bool):
            raise RemoteAnswerError("its page has no entries, cursor or more, or they are of another kind")
        if len(rows) > limit:
            raise RemoteAnswerError(f"its page has {len(rows)} entries where {limit} were asked for")
        if len(following) > _MOST_CURSOR or not following.isprintable() or (more and following == cursor):
            raise RemoteAnswerError("its cursor does not go on")
        head = await self._head(value.get("head"))
        entries, unreadable = await asyncio.to_thread(read_rows, rows, head) if large else read_rows(rows, head)
        return ChangePage(entries, unreadable, following, more, head, received.wire_bytes)

    async def head(self) -> Head:
        """The signed head alone. Raises ``FeedTrustError`` where it is not signed."""
        return await self._head((await self._http.ask("GET", f"{PREFIX}/head")).json())

    async def manifest(self, version: EntryId) -> tuple[BundleFile, ...]:
        return await transfer.manifest(self._http, version)

    async def fetch_file(self, file: BundleFile, into: Path, *, bundle: BundleDigest) -> None:
        """See ``Remote``. What came so far is kept in ``<into>.part`` until it is whole, or turns out to be another."""
        del bundle  # The hub finds a file by its own hash.
        await transfer.fetch_file(self._http, file, into)

    async def push(self, items: Sequence[PushItem]) -> tuple[PushResult, ...]:
        return await transfer.push(self._http, items)

    async def send_file(self, sha256: str, content: Path) -> None:
        await transfer.send_file(self._http, sha256, content)

    def heads(self) -> AsyncIterator[int]:
        """See ``Remote``. Close the iterator to let go of the connection (``contextlib.aclosing``)."""
        return channel.heads(self._http, f"{PREFIX}/live")

    async def close(self) -> None:
        await self._http.close()

    async def _head(self, value: object) -> Head:
        """Signed by the pinned key, or else by the one that the remote says is its own."""
        try:
            text = orjson.dumps(value).decode()
            envelope = parse_envelope(text, HEAD_TYPE)
        except DocumentError as error:
            raise FeedTrustError(f"its head is not signed: {error}") from error
        except TypeError as error:
            raise RemoteAnswerError("its head cannot be read") from error
        key = None if self._pinned is None else envelope.verified_by((self._pinned,))
        key = key or envelope.verified_by((await self._own_key(),))
        if key is None:
            raise FeedTrustError("its head is signed by none of the keys that are known of it")
        return _read_head(envelope.payload, key, text)

    async def _own_key(self) -> PublicKey:
        """What it says its key is."""
        if self._said is None:
            value = _object((await self._http.ask("GET", PREFIX, most_bytes=64 * 1024)).json())
            if value.get("protocol") != PROTOCOL:
                raise RemoteAnswerError(f"it is no marketplace that speaks {PROTOCOL}")
            key = value.get("public_key")
            if not isinstance(key, str) or not HEX_KEY.fullmatch(key):
                raise RemoteAnswerError("it names no public key")
            self._said = PublicKey(bytes.fromhex(key))
        return self._said


def _read_head(payload: bytes, key: PublicKey, envelope: str) -> Head:
    try:
        value = _object(orjson.loads(payload))
        numbers = [value[name] for name in ("epoch", "seq", "moderation", "live")]
        if any(not isinstance(one, int) or isinstance(one, bool) or not 0 <= one < 2**63 for one in numbers):
            raise RemoteAnswerError("its head has numbers that are none")
        epoch, seq, moderation, live = numbers
        feed_id, digest = value["feed_id"], value["digest"]
        issued, expires = (_moment(value[name]) for name in ("issued_at", "expires_at"))
    except (KeyError, ValueError, TypeError) as error:
        raise RemoteAnswerError("its head has a field missing or of another kind") from error
    if (
        not isinstance(feed_id, str)
        or not 1 <= len(feed_id) <= 36
        or not feed_id.isascii()
        or not feed_id.isprintable()
    ):
        raise RemoteAnswerError("its head names no feed")
    if not isinstance(digest, str) or not HEX_KEY.fullmatch(digest):
        raise RemoteAnswerError("its head has no digest")
    return Head(feed_id, epoch, seq, moderation, live, digest, issued, expires, key.hex, envelope)


def _moment(text: object) -> datetime:
    if not isinstance(text, str) or len(text) > 40:
        raise ValueError("no moment")
    found = datetime.fromisoformat(text)
    if found.utcoffset() != timedelta(0):
        raise ValueError("not in UTC")
    return found


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RemoteAnswerError("it answered with something else than an object")
    return value
