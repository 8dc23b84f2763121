"""Whatever a remote answers, a follower gets rows it can trust, rows that are set aside, or an error with a reason."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from skillyard.governance.signing import SigningKey
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind, canonical, entry_hash
from skillyard.marketplace_sync.catalogue.envelope import HEAD_TYPE, sign
from skillyard.marketplace_sync.errors import (
    CursorGoneError,
    FeedTrustError,
    RemoteAddressError,
    RemoteAnswerError,
    RemoteError,
    RemoteRefusedError,
    RemoteUnavailableError,
)
from skillyard.marketplace_sync.remotes import http as remote_http
from skillyard.marketplace_sync.remotes.remote import ChangePage
from skillyard.marketplace_sync.remotes.skillyard import PROTOCOL, SkillyardRemote
from skillyard.runtime import addresses
from skillyard.runtime.addresses import Target
from skillyard.settings import Settings
from skillyard.skills.skill import BundleFile
from tests.fault_proxy import Answer, Corrupt, Cut, Delay, Drip, Endless, Refuse, Truncate, fault_proxy
from tests.marketplace_sync.hubs import remote_market, settings_of
from websockets.asyncio.server import ServerConnection, serve

KEY = SigningKey.new()


def row(name: str = "data", *, seq: int = 1, rev: int = 1, **other: object) -> dict[str, object]:
    """An entry as a hub sends it; ``other`` fields in the place of the right ones."""
    id_ = EntryId(EntryKind.CATEGORY, name)
    document = canonical({"title": name})
    return {
        "kind": "category",
        "key": name,
        "seq": seq,
        "rev": rev,
        "sha256": entry_hash(id_, rev, document, deleted=False),
        "deleted": False,
        "changed_at": "2026-05-01T00:00:00Z",
        "document": document,
    } | other


def envelope(key: SigningKey = KEY, **other: object) -> dict[str, object]:
    now = datetime.now(UTC)
    payload = {
        "feed_id": "6a6a6a6a-0000-0000-0000-000000000000",
        "epoch": 1,
        "seq": 100,
        "moderation": 0,
        "live": 1,
        "digest": "0" * 64,
        "issued_at": now.isoformat(),
        "expires_at": (now + timedelta(hours=1)).isoformat(),
    } | other
    value: dict[str, object] = orjson.loads(sign(HEAD_TYPE, orjson.dumps(payload), key))
    return value


def page(*rows: object, **other: object) -> dict[str, object]:
    return {"entries": list(rows), "cursor": "next", "more": False, "head": envelope()} | other


@dataclass
class Liar:
    """A server that answers what a test tells it to. ``asked`` are the requests it saw."""

    answers: dict[str, Callable[[], tuple[int, dict[str, str], bytes]]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def says(self, path: str, value: object, status: int = 200, **headers: str) -> None:
        content = value if isinstance(value, bytes) else orjson.dumps(value)
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self.answers[path] = lambda: (status, named, content)


@contextmanager
def _lying() -> Iterator[Liar]:
    liar = Liar()
    liar.says("/v1/marketplace", {"protocol": PROTOCOL, "public_key": KEY.public.hex, "features": []})

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            liar.asked.append((self.path, {name.lower(): text for name, text in self.headers.items()}))
            status, headers, content = liar.answers.get(path, lambda: (404, {}, b"{}"))()
            self.send_response(status)
            for name, text in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    liar.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield liar
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def liar() -> Iterator[Liar]:
    with _lying() as found:
        yield found


async def read(url: str, tmp_path: Path, *, limit: int = 10, key: str | None = None, **more: Any) -> ChangePage:
    remote = SkillyardRemote(
        remote_market(url, "secret-token", public_key=key), settings_of(tmp_path, marketplace_timeout=2.0, **more)
    )
    try:
        return await remote.changes(None, limit=limit)
    finally:
        await remote.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "potion"},
        {"key": "../../etc/passwd"},
        {"key": "Data"},
        {"key": "a" * 5000},
        {"kind": 7},
        {"seq": 0},
        {"seq": True},
        {"seq": 2**63},
        {"seq": 101},
        {"rev": "1"},
        {"rev": 2},
        {"sha256": "0" * 64},
        {"sha256": None},
        {"document": '{"title":"other"}'},
        {"document": None},
        {"document": {"title": "data"}},
        {"document": "x" * 70_000},
        {"document": "[]"},
        {"deleted": 1},
        {"changed_at": "yesterday"},
        {"changed_at": "2026-05-01T00:00:00+02:00"},
        {"changed_at": 5},
    ],
    ids=str,
)
async def test_a_wrong_row_is_unreadable_and_the_page_goes_on(
    liar: Liar, tmp_path: Path, wrong: dict[str, object]
) -> None:
    liar.says("/v1/marketplace/snapshot", page(row("one"), row() | wrong, "no row", row("two", seq=3)))
    found = await read(liar.url, tmp_path)
    assert [entry.id.key for entry in found.entries] == ["one", "two"]
    assert len(found.unreadable) == 2
    assert found.unreadable[0].reason
    assert len(found.unreadable[0].raw) <= 2000


@pytest.mark.parametrize(
    "answer",
    [
        b"<html><body>Welcome to the guest network</body></html>",
        b"",
        b"[]",
        b'{"entries": 7, "cursor": "x", "more": false}',
        orjson.dumps(page(cursor=7)),
        orjson.dumps(page(cursor="c" * 600)),
        orjson.dumps(page(more="no")),
        orjson.dumps(page(*[row(f"c{n}") for n in range(11)])),
        orjson.dumps(page(head=envelope(seq=-1))),
        orjson.dumps(page(head=envelope(digest="0"))),
        orjson.dumps(page(head=envelope(feed_id=""))),
        orjson.dumps(page(head=envelope(expires_at="soon"))),
        b"[" * 100_000,
    ],
)
async def test_an_answer_that_is_none_is_an_error_and_nothing_else(liar: Liar, tmp_path: Path, answer: bytes) -> None:
    liar.says("/v1/marketplace/snapshot", answer)
    with pytest.raises(RemoteAnswerError):
        await read(liar.url, tmp_path)


@pytest.mark.parametrize(
    "head",
    [
        None,
        {},
        {"payloadType": HEAD_TYPE, "payload": "e30=", "signatures": []},
        envelope() | {"payload": "e30="},
        envelope() | {"payloadType": "application/json"},
        envelope(SigningKey.new()),
    ],
)
async def test_a_head_that_is_not_signed_is_not_believed(liar: Liar, tmp_path: Path, head: object) -> None:
    liar.says("/v1/marketplace/snapshot", page(row(), head=head))
    with pytest.raises(FeedTrustError):
        await read(liar.url, tmp_path)


async def test_a_head_by_another_key_than_the_pinned_one_says_whose_it_is(liar: Liar, tmp_path: Path) -> None:
    liar.says("/v1/marketplace/snapshot", page(row()))
    pinned = SigningKey.new().public.hex
    found = await read(liar.url, tmp_path, key=pinned)
    assert found.head is not None
    assert found.head.public_key == KEY.public.hex != pinned


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (401, {}, RemoteRefusedError),
        (403, {}, RemoteRefusedError),
        (404, {}, RemoteAnswerError),
        (410, {}, CursorGoneError),
        (418, {}, RemoteAnswerError),
        (429, {"Retry_After": "17"}, RemoteUnavailableError),
        (503, {"Retry_After": "999999"}, RemoteUnavailableError),
        (500, {"Retry_After": "soon"}, RemoteUnavailableError),
    ],
)
async def test_each_refusal_has_its_error(
    liar: Liar, tmp_path: Path, status: int, headers: dict[str, str], error: type[Exception]
) -> None:
    liar.says("/v1/marketplace/snapshot", {"detail": "because\x1b[31m\n" + "x" * 9000}, status, **headers)
    with pytest.raises(error) as caught:
        await read(liar.url, tmp_path)
    assert "because" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400
    if isinstance(caught.value, RemoteUnavailableError):
        assert caught.value.retry_after == {429: 17.0, 503: 3600.0, 500: None}[status]


async def test_a_small_answer_cannot_become_a_huge_one(liar: Liar, tmp_path: Path) -> None:
    assert remote_http.MOST_JSON == 32 * 1024 * 1024
    bomb = gzip.compress(b" " * (40 * 1024 * 1024))
    liar.says("/v1/marketplace/snapshot", bomb, Content_Encoding="gzip")
    with pytest.raises(RemoteAnswerError, match="larger"):
        await read(liar.url, tmp_path)
    liar.says("/v1/marketplace/snapshot", b"not compressed", Content_Encoding="gzip")
    with pytest.raises(RemoteAnswerError, match="compressed"):
        await read(liar.url, tmp_path)
    liar.says("/v1/marketplace/snapshot", b"??", Content_Encoding="br")
    with pytest.raises(RemoteAnswerError, match="encoding"):
        await read(liar.url, tmp_path)
    liar.says("/v1/marketplace/snapshot", gzip.compress(orjson.dumps(page(row())))[:-9], Content_Encoding="gzip")
    with pytest.raises(RemoteUnavailableError, match="ended"):
        await read(liar.url, tmp_path)


async def test_a_redirect_is_followed_without_the_token_and_only_where_it_may_lead(tmp_path: Path) -> None:
    with _lying() as liar, _lying() as other:
        other.says("/v1/marketplace/snapshot", page(row()))
        target = f"{other.url}/v1/marketplace/snapshot"
        liar.says("/v1/marketplace/snapshot", b"", 307, Location=target)
        found = await read(liar.url, tmp_path)
        assert len(found.entries) == 1
        assert liar.asked[0][1]["authorization"] == "Bearer secret-token"
        assert "authorization" not in other.asked[0][1]
        liar.says("/v1/marketplace/snapshot", b"", 302, Location="http://[fe80::1]/v1/marketplace/snapshot")
        with pytest.raises(RemoteAddressError):
            await read(liar.url, tmp_path)
        for nowhere in ("file:///etc/passwd", "http://user:pass@127.0.0.1/", "http://", ""):
            liar.says("/v1/marketplace/snapshot", b"", 302, Location=nowhere)
            with pytest.raises(RemoteError):
                await read(liar.url, tmp_path)
        liar.says("/v1/marketplace/snapshot", b"", 302, Location="/v1/marketplace/snapshot")
        before = len(liar.asked)
        with pytest.raises(RemoteAnswerError, match="redirects more than 3 times"):
            await read(liar.url, tmp_path)
        assert len(liar.asked) - before == 4


async def test_nothing_is_sent_to_private_addresses_unless_a_setting_says_so(liar: Liar, tmp_path: Path) -> None:
    liar.says("/v1/marketplace/snapshot", page(row()))
    with pytest.raises(RemoteAddressError, match="private"):
        await read(liar.url, tmp_path, marketplace_allow_private=False)
    with pytest.raises(RemoteAddressError, match="private"):
        await read(liar.url, tmp_path, marketplace_allow_private=False, marketplace_allow_http=True)
    assert liar.asked == []
    remote = SkillyardRemote(remote_market(liar.url, None), Settings(home=tmp_path))
    with pytest.raises(RemoteAddressError):
        await anext(remote.heads())
    await remote.close()


async def test_a_slow_or_endless_remote_costs_its_time_limit_and_no_more(liar: Liar, tmp_path: Path) -> None:
    liar.says("/v1/marketplace/snapshot", page(row()))
    async with fault_proxy(liar.url) as proxy:
        for fault, error in (
            (Delay(30), RemoteUnavailableError),
            (Drip(0.2), RemoteUnavailableError),
            (Endless(), RemoteError),
            (Endless(b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n" * 500), RemoteError),
        ):
            proxy.plan.append(fault)
            began = time.monotonic()
            with pytest.raises(error):
                await read(proxy.url, tmp_path)
            assert time.monotonic() - began < 8, fault


async def test_a_connection_that_breaks_is_an_error_that_heals(liar: Liar, tmp_path: Path) -> None:
    liar.says("/v1/marketplace/snapshot", page(row()))
    async with fault_proxy(liar.url) as proxy:
        for fault in (Refuse(), Cut(), Cut(40), Cut(300), Truncate(40), Truncate(400), Answer(502), Corrupt(3)):
            proxy.plan.append(fault)
            with pytest.raises(RemoteError):
                await read(proxy.url, tmp_path)
        assert len((await read(proxy.url, tmp_path)).entries) == 1


async def test_a_corrupted_byte_is_never_taken_for_an_entry(liar: Liar, tmp_path: Path) -> None:
    liar.says("/v1/marketplace/snapshot", page(row("one"), row("two", seq=2)))
    good = {entry.sha256 for entry in (await read(liar.url, tmp_path)).entries}
    async with fault_proxy(liar.url) as proxy:
        for at in range(150, 700, 23):
            proxy.plan.extend((Corrupt(at), Corrupt(at)))
            try:
                found = await read(proxy.url, tmp_path)
            except (RemoteError, CursorGoneError):
                continue
            finally:
                proxy.plan.clear()
            assert {entry.sha256 for entry in found.entries} <= good


async def test_a_file_is_gone_on_from_where_it_ended_and_checked(liar: Liar, tmp_path: Path) -> None:
    content = bytes(range(256)) * 400
    file = BundleFile("data.bin", _sha256(content), len(content), executable=False)
    place = f"/v1/marketplace/files/{file.sha256}"
    target = tmp_path / "data.bin"
    liar.answers[place] = lambda: _ranged(content, liar.asked[-1][1].get("range"))
    remote = SkillyardRemote(remote_market(liar.url, "t"), settings_of(tmp_path))
    try:
        async with fault_proxy(liar.url) as proxy:
            broken = SkillyardRemote(remote_market(proxy.url, "t"), settings_of(tmp_path))
            proxy.plan.append(Cut(50_000))
            with pytest.raises(RemoteError):
                await broken.fetch_file(file, target, bundle=_NO_BUNDLE)
            await broken.close()
        have = (tmp_path / "data.bin.part").stat().st_size
        assert 0 < have < len(content)
        await remote.fetch_file(file, target, bundle=_NO_BUNDLE)
        assert target.read_bytes() == content
        assert liar.asked[-1][1]["range"] == f"bytes={have}-"
        # Another content under the same name is thrown away as a whole; so is one that does not end.
        for other in (bytes(len(content)), content + b"x"):
            liar.says(place, other)
            with pytest.raises(RemoteAnswerError):
                await remote.fetch_file(file, tmp_path / "other", bundle=_NO_BUNDLE)
            assert not (tmp_path / "other").exists()
            assert not (tmp_path / "other.part").exists()
    finally:
        await remote.close()


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ([b"hello"], RemoteAnswerError),
        ([b'{"head": "5"}'], RemoteAnswerError),
        ([b"[" * (1024 * 1024 + 1)], RemoteAnswerError),
        ([b'{"head": 5, "epoch": 1}'] * 200, RemoteAnswerError),
        ([b'{"head": 5, "epoch": 1}'], RemoteUnavailableError),
    ],
    ids=["text", "no number", "large", "many", "ended"],
)
async def test_a_channel_that_says_nonsense_is_closed(
    tmp_path: Path, frames: list[bytes], error: type[RemoteError]
) -> None:
    async def talk(connection: ServerConnection) -> None:
        for frame in frames:
            await connection.send(frame)

    async with serve(talk, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        remote = SkillyardRemote(remote_market(f"http://127.0.0.1:{port}", None), settings_of(tmp_path))
        heard: list[int] = []
        with pytest.raises(error):
            await _listen(remote, heard)
        assert len(heard) <= 100
        await remote.close()


async def test_a_channel_is_opened_at_the_next_address_where_the_first_cannot_be_reached(tmp_path: Path) -> None:
    """A name with an address of each kind, on a machine that has a way to one of them alone."""

    async def talk(connection: ServerConnection) -> None:
        await connection.send(b'{"head": 5, "epoch": 1}')

    async with serve(talk, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        remote = SkillyardRemote(remote_market(f"http://127.0.0.1:{port}", None), settings_of(tmp_path))
        http = remote._http
        url = httpx.URL(http.base)
        ips = (IPv4Address("255.255.255.255"), IPv4Address("127.0.0.1"))
        http._targets[addresses.origin(url)] = (float("inf"), Target(url, ips))
        heard: list[int] = []
        with pytest.raises(RemoteUnavailableError, match="closed"):
            await _listen(remote, heard)
        assert heard == [5]
        await remote.close()


async def test_a_channel_that_is_refused_says_why(liar: Liar, tmp_path: Path) -> None:
    remote = SkillyardRemote(remote_market(liar.url, "t"), settings_of(tmp_path))
    for status, error in (
        (401, RemoteRefusedError),
        (429, RemoteUnavailableError),
        (200, RemoteAnswerError),
        (302, RemoteAnswerError),
    ):
        liar.says("/v1/marketplace/live", b"{}", status, Location="http://127.0.0.1:1/")
        with pytest.raises(error):
            await anext(remote.heads())
    await remote.close()


async def _listen(remote: SkillyardRemote, heard: list[int]) -> None:
    async with asyncio.timeout(10), aclosing(remote.heads()) as heads:  # type: ignore[type-var]
        async for head in heads:
            heard.append(head)  # noqa: PERF401 - what was heard before the error counts


_NO_BUNDLE: Any = f"sha256:{'0' * 64}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _ranged(content: bytes, asked: str | None) -> tuple[int, dict[str, str], bytes]:
    if asked is None:
        return 200, {}, content
    begin = int(asked.removeprefix("bytes=").rstrip("-"))
    return 206, {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"}, content[begin:]
