"""The feed over the wire: who may read it, what an answer weighs, and channels that end when they should."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from skillyard.governance.signing import PublicKey
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.envelope import HEAD_TYPE
from skillyard.marketplace_sync.errors import RemoteRefusedError, RemoteUnavailableError
from skillyard.marketplace_sync.remotes.skillyard import SkillyardRemote
from tests.api.conftest import Server, made, serving
from tests.marketplace_sync.envelopes import opened
from tests.marketplace_sync.hubs import Hub, category, emptied, remote_market, settings_of


@pytest.fixture(scope="module")
def market_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("hub") / "home", marketplace_max_listeners="3") as running:
        yield running


@pytest.fixture
async def hub(market_server: Server) -> AsyncIterator[Hub]:
    async with emptied(market_server) as found:
        yield found


def instance_token(server: Server, *scopes: str) -> str:
    with server.client(server.token) as admin:
        until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        body = {"name": "follower", "scopes": list(scopes), "expires_at": until}
        return str(made(admin.post("/v1/marketplace/tokens", json=body))["token"])


async def test_a_marketplace_says_who_it_is_and_signs_what_it_says(hub: Hub) -> None:
    await hub.write(category("a"))
    with hub.server.client(hub.server.token) as client:
        about = made(client.get("/v1/marketplace"))
        head = client.get("/v1/marketplace/head").text
    catalogue = await hub.catalogue()
    assert (about["protocol"], about["feed_id"]) == ("skillyard-marketplace/1", catalogue.feed_id)
    key = PublicKey(bytes.fromhex(str(about["public_key"])))
    payload = json.loads(opened(head, HEAD_TYPE, key) or "")
    assert (payload["seq"], payload["live"], payload["digest"]) == (1, 1, catalogue.digest_hex)
    lifetime = datetime.fromisoformat(payload["expires_at"]) - datetime.fromisoformat(payload["issued_at"])
    assert lifetime == timedelta(hours=1)


async def test_only_holders_of_a_token_that_reads_follow_the_feed(hub: Hub, tmp_path: Path) -> None:
    reading, rating = (instance_token(hub.server, scope) for scope in ("read", "rate"))
    with hub.server.client(None) as nobody:
        assert nobody.get("/v1/marketplace/changes").status_code == 401
    for token, error in ((rating, RemoteRefusedError), ("wrong", RemoteRefusedError)):
        remote = SkillyardRemote(remote_market(hub.server.url, token), settings_of(tmp_path))
        with pytest.raises(error):
            await remote.changes(None, limit=1)
        with pytest.raises(error):
            await anext(remote.heads())
        await remote.close()
    remote = SkillyardRemote(remote_market(hub.server.url, reading), settings_of(tmp_path))
    assert (await remote.changes(None, limit=1)).more is False
    await remote.close()
    with hub.server.client(reading) as instance:
        assert instance.get("/v1/remotes").status_code == 401


async def test_a_page_is_compressed_where_that_is_asked_for(hub: Hub) -> None:
    await hub.write(*(category(f"c{n}") for n in range(1000)))
    with hub.server.client(hub.server.token) as client:
        plain = client.get("/v1/marketplace/snapshot?limit=1000", headers={"Accept-Encoding": "identity"})
        with client.stream(
            "GET", "/v1/marketplace/snapshot?limit=1000", headers={"Accept-Encoding": "gzip"}
        ) as response:
            raw = b"".join(response.iter_raw())
    assert len(plain.json()["entries"]) == 1000
    assert json.loads(gzip.decompress(raw))["entries"] == plain.json()["entries"]
    assert len(raw) < len(plain.content) / 3


async def test_a_page_ends_at_its_bytes_and_goes_on(hub: Hub) -> None:
    large = {"title": "x", "description": "y" * 60_000}
    changes = [category(f"c{n:03}") for n in range(150)]
    await hub.write(*(store.Change(one.id, json.dumps(large, separators=(",", ":"))) for one in changes))
    with hub.server.client(hub.server.token) as client:
        page = client.get("/v1/marketplace/snapshot?limit=1000").json()
        assert 1 <= len(page["entries"]) < 100
        assert page["more"] is True
        seen = len(page["entries"])
        while page["more"]:
            page = client.get("/v1/marketplace/changes", params={"cursor": page["cursor"], "limit": 1000}).json()
            seen += len(page["entries"])
    assert seen == 150


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("cursor=abc", 410, "cursor_gone"),
        ("cursor=" + "A" * 600, 422, "invalid_request"),
        ("limit=0", 422, "invalid_request"),
        ("limit=1001", 422, "invalid_request"),
        ("wait=61", 422, "invalid_request"),
    ],
)
async def test_a_question_that_is_none_is_refused(hub: Hub, query: str, status: int, code: str) -> None:
    with hub.server.client(hub.server.token) as client:
        answer = client.get(f"/v1/marketplace/changes?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_cursor_that_the_feed_cannot_go_on_from_is_gone_with_the_way_back(hub: Hub) -> None:
    await hub.write(category("a"), category("b"))
    with hub.server.client(hub.server.token) as client:
        first = client.get("/v1/marketplace/changes?limit=1").json()["cursor"]
        await hub.write(category("b", None))
        async with hub.database.transaction() as session:
            catalogue = await store.own(session, at=datetime.now(UTC))
            await store.purge(session, catalogue, deleted_before=datetime.now(UTC) + timedelta(seconds=1))
        gone = client.get("/v1/marketplace/changes", params={"cursor": first})
        assert (gone.status_code, gone.json()["code"]) == (410, "cursor_gone")
        assert client.get(gone.json()["snapshot"]).json()["entries"][0]["key"] == "a"
        last = client.get("/v1/marketplace/changes?limit=10").json()["cursor"]
        async with hub.database.transaction() as session:
            catalogue = await store.own(session, at=datetime.now(UTC))
            await store.save(session, store.replace(catalogue, epoch=catalogue.epoch + 1))
        assert client.get("/v1/marketplace/changes", params={"cursor": last}).status_code == 410


async def test_as_many_follow_at_once_as_the_setting_lets(hub: Hub, tmp_path: Path) -> None:
    remotes = [
        SkillyardRemote(remote_market(hub.server.url, hub.server.token), settings_of(tmp_path)) for _ in range(4)
    ]
    channels = [remote.heads() for remote in remotes]
    try:
        for channel in channels[:3]:
            assert await anext(channel) == 0
        with pytest.raises(RemoteUnavailableError) as caught:
            await anext(channels[3])
        assert caught.value.retry_after == 5
        with pytest.raises(RemoteUnavailableError):
            await remotes[3].changes((await remotes[3].changes(None, limit=1)).cursor, limit=1, wait=5)
        await channels[0].aclose()  # type: ignore[attr-defined]
        deadline = time.monotonic() + 60
        while True:
            try:
                again = remotes[3].heads()
                assert await anext(again) == 0
                await again.aclose()  # type: ignore[attr-defined]
                break
            except RemoteUnavailableError:
                assert time.monotonic() < deadline
    finally:
        for channel in channels:
            await channel.aclose()  # type: ignore[attr-defined]
        for remote in remotes:
            await remote.close()


async def test_a_burst_is_told_with_few_messages_and_its_last_number(hub: Hub, tmp_path: Path) -> None:
    remote = SkillyardRemote(remote_market(hub.server.url, hub.server.token), settings_of(tmp_path))
    try:
        async with asyncio.timeout(120), aclosing(remote.heads()) as heads:  # type: ignore[type-var]
            assert await anext(heads) == 0
            began = time.monotonic()
            for n in range(60):
                await hub.write(category(f"c{n}"))
            heard = [await anext(heads)]
            while heard[-1] < 60:
                heard.append(await anext(heads))
            seconds = time.monotonic() - began
    finally:
        await remote.close()
    assert heard == sorted(set(heard))
    assert len(heard) <= 12 * seconds + 2


def test_a_server_told_to_stop_does_not_wait_for_who_only_waits(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server:
        with server.client(server.token) as client:
            cursor = client.get("/v1/marketplace/changes").json()["cursor"]
            asyncio.run(_stopped_meanwhile(server, cursor))
        server.process.wait(timeout=40)  # and not for the minute that the other one wants to wait


async def _stopped_meanwhile(server: Server, cursor: str) -> None:
    remote = SkillyardRemote(remote_market(server.url, server.token), settings_of(server.home))
    try:
        assert (await remote.changes(cursor, limit=1)).entries == ()
        async with aclosing(remote.heads()) as heads:  # type: ignore[type-var]
            assert await anext(heads) == 0
            waiting = asyncio.create_task(remote.changes(cursor, limit=1, wait=60))
            await asyncio.sleep(2)  # until it is there: nobody tells who waits
            server.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(40):
                assert (await waiting).entries == ()
                with pytest.raises(RemoteUnavailableError):
                    await anext(heads)
    finally:
        await remote.close()


def test_another_homes_key_serves_no_feed_of_a_catalogue_that_is_not_its_own(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server, server.client(server.token) as client:
        assert client.get("/v1/marketplace/head").is_success
        token = server.token
    (tmp_path / "home" / "keys" / "hub.ed25519").unlink()
    with serving(tmp_path / "home") as server, server.client(token) as client:
        refused = client.get("/v1/marketplace/head")
        assert (refused.status_code, refused.json()["code"]) == (503, "hub_key")
        assert client.get("/v1/skills").is_success


async def test_remotes_are_kept_over_http_without_ever_showing_their_token(hub: Hub, tmp_path: Path) -> None:
    token = instance_token(hub.server, "read")
    with (
        serving(tmp_path / "follower", marketplace_allow_private="true") as server,
        server.client(server.token) as client,
    ):
        body = {"name": "hub", "url": hub.server.url, "token": token}
        added = client.post("/v1/remotes", json=body)
        assert (added.status_code, added.json()["has_token"]) == (201, True)
        assert client.post("/v1/remotes", json=body).status_code == 409
        assert client.post("/v1/remotes/hub/token", json={"token": "wrong"}).status_code == 502
        assert client.post("/v1/remotes/hub/token", json={"token": instance_token(hub.server, "read")}).is_success
        assert client.put("/v1/remotes/hub", json={"strategy": "manual"}).json()["strategy"] == "manual"
        assert client.post("/v1/remotes/hub/disable").json()["state"] == "disabled"
        assert client.post("/v1/remotes/hub/enable").json()["state"] == "enabled"
        key = "ab" * 32
        assert client.post("/v1/remotes/hub/accept-key", json={"key": key}).json()["public_key"] == key
        shown = client.get("/v1/remotes").text + client.get("/v1/remotes/hub").text
        assert token not in shown
        assert client.delete("/v1/remotes/hub").status_code == 204
        assert client.get("/v1/remotes/hub").status_code == 404
    with serving(tmp_path / "strict") as server, server.client(server.token) as client:
        refused = client.post("/v1/remotes", json=body)
        assert (refused.status_code, refused.json()["field"]) == (422, "url")


async def test_a_hub_that_was_put_back_on_purpose_says_so_by_a_higher_epoch(hub: Hub) -> None:
    await hub.write(category("a"))
    with hub.server.client(hub.server.token) as client:
        before = client.get("/v1/marketplace/changes").json()
        done = client.post("/v1/marketplace/put-back", json={"reason": "the disk broke"}).json()
        again = client.post("/v1/marketplace/put-back", json={"reason": "and again"}).json()
        assert again["epoch"] > done["epoch"] > 1_700_000_000
        assert client.get("/v1/marketplace/changes", params={"cursor": before["cursor"]}).status_code == 410
        assert client.post("/v1/marketplace/put-back", json={"reason": ""}).status_code == 422
        # What moderators say from now on counts for more than what they said in the time that was lost.
        head = client.get("/v1/marketplace/changes").json()["head"]
        assert orjson.loads(base64.b64decode(head["payload"]))["moderation"] >= done["epoch"]
        records = client.get("/v1/audit/records?action=market.put_back").json()["items"]
        assert records[-1]["payload"]["reason"] == "the disk broke"
