"""Whatever a remote answers, a follower gets rows it can trust, rows that are set aside, or an error with a reason."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest
from skillyard.governance.signing import SigningKey
from skillyard.marketplace_sync.catalogue.envelope import HEAD_TYPE
from skillyard.marketplace_sync.errors import (
    CursorGoneError,
    FeedTrustError,
    RemoteAnswerError,
    RemoteRefusedError,
    RemoteUnavailableError,
)
from skillyard.marketplace_sync.remotes import http as remote_http
from tests.marketplace_sync.remotes.liar import KEY, Liar, envelope, page, read, row


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
        (500, {"Retry_After": "Mon, 1 Jan 99999999999 00:00:00 GMT"}, RemoteUnavailableError),
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
