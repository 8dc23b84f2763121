"""Searching a hub over HTTP: what was published is found, with figures that are somebody's, by whoever may read."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from skillyard.marketplace_sync.remotes.claude import ClaudeRemote
from skillyard.marketplace_sync.remotes.remote import WELL_KNOWN
from skillyard.marketplace_sync.remotes.well_known import WellKnownRemote
from skillyard.settings import Settings
from skillyard.skills.bundle import make_bundle
from tests.api.conftest import Server, made, serving
from tests.api.test_marketplace import FILES, KEY, WHERE, push, sha, version
from tests.marketplace_sync.hubs import remote_market
from tests.runtime.test_webhooks import certificate

SEARCH = "/v1/marketplace/skills"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home: Path = tmp_path_factory.mktemp("searched") / "home"
    with serving(home, marketplace_public="true") as running:
        yield running


@pytest.fixture(scope="module")
def market(server: Server) -> Iterator[httpx.Client]:
    """A person's client of a server at which one skill was published."""
    with server.client(server.token) as client:
        made(client.post("/v1/marketplace/publishers", json={"name": "acme", "display_name": "Acme"}))
        for content in FILES.values():
            made(client.put(f"/v1/marketplace/files/{sha(content)}", content=content))
        assert push(client, version("one"))[0]["status"] == "applied"
        yield client


@asynccontextmanager
async def behind_tls(url: str, folder: Path) -> AsyncIterator[tuple[str, Path]]:
    """A proxy that speaks TLS in front of a server, and its certificate."""
    own = certificate(folder, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    inner = httpx.URL(url)

    connections: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection(inner.host, inner.port)
        both = {asyncio.create_task(carry(reader, to_writer)), asyncio.create_task(carry(to_reader, writer))}
        try:
            # Whichever side ends first, the other one has nobody to talk to any more.
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            for end in (writer, to_writer):
                end.close()
                with suppress(OSError):
                    await end.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.create_task(connect(reader, writer)))

    async with await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context) as proxy:
        yield f"https://localhost:{proxy.sockets[0].getsockname()[1]}", own
        for one in connections:
            one.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


def test_what_is_published_is_found_and_has_no_rating_until_somebody_gives_one(market: httpx.Client) -> None:
    found = made(market.get(SEARCH, params={"q": "csv report"}))
    (one,) = found["items"]
    assert (one["skill"], one["version"], one["rating"], one["ratings"]) == ("acme/csv-report", "1.0.0", None, 0)
    assert (found["total"], found["mirror"], found["next_cursor"]) == (1, None, None)
    counts = {facet["name"]: facet["values"] for facet in found["facets"]}
    assert counts["verdict"] == [{"value": one["verdict"], "count": 1}]
    assert counts["publisher"] == [{"value": "acme", "count": 1}]
    made(market.put(f"{WHERE}/rating", json={"stars": 4, "review": "Good."}))
    (one,) = made(market.get(SEARCH, params={"q": "sums table", "stars": 4}))["items"]
    assert (one["rating"], one["ratings"]) == (4.0, 1)
    (said,) = made(market.get(f"{WHERE}/ratings"))["items"]
    assert (said["stars"], said["review"]) == (4, "Good.")


def test_one_skill_is_shown_whole_also_when_search_hides_it(market: httpx.Client) -> None:
    shown = made(market.get(WHERE))
    assert shown["latest"]["version"] == "1.0.0"
    assert shown["channels"] == {"latest": "1.0.0"}
    (listed,) = made(market.get(f"{WHERE}/versions"))["items"]
    assert listed == shown["latest"]
    word = {"key": KEY, "state": "quarantined", "reason": "looks odd"}
    made(market.post("/v1/marketplace/moderation", json=word))
    assert made(market.get(SEARCH))["items"] == []
    hidden = made(market.get(WHERE))
    assert hidden["listing"] is None
    assert hidden["latest"]["moderation"] == {"state": "quarantined", "stops": True, "reason": "looks odd"}
    made(market.post("/v1/marketplace/moderation", json={**word, "state": "visible"}))
    assert len(made(market.get(SEARCH))["items"]) == 1
    assert market.get(f"{SEARCH}/acme/nothing").status_code == 404


@pytest.mark.parametrize(
    "params", [{"limit": 101}, {"limit": 0}, {"stars": 6}, {"sort": "x"}, {"cursor": "x"}, {"q": "a" * 201}]
)
def test_what_is_no_search_is_refused(market: httpx.Client, params: dict[str, str | int]) -> None:
    assert market.get(SEARCH, params=params).status_code == 422


def test_a_list_of_versions_takes_no_cursor_of_another(market: httpx.Client) -> None:
    for after in ("../x", "1.0.0#", "é", " "):
        assert market.get(f"{WHERE}/versions", params={"cursor": after}).status_code == 422


def test_a_stranger_and_an_instance_without_the_scope_search_nothing(server: Server, market: httpx.Client) -> None:
    with server.client(None) as stranger:
        assert stranger.get(SEARCH).status_code == 401
    body = {"name": "rater", "scopes": ["rate"], "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    token = made(market.post("/v1/marketplace/tokens", json=body))["token"]
    with server.client(str(token)) as rater:
        assert rater.get(SEARCH).status_code == 403
    assert market.get(SEARCH, params={"remote": "none"}).status_code == 404


def test_other_installers_read_the_catalogue_and_what_they_fetch_has_the_digest(
    server: Server, market: httpx.Client, tmp_path: Path
) -> None:
    with server.client(None) as stranger:
        index = stranger.get("/.well-known/agent-skills/index.json")
        again = stranger.get("/.well-known/agent-skills/index.json", headers={"If-None-Match": index.headers["ETag"]})
        assert again.status_code == 304
        (one,) = made(index)["skills"]
        assert (one["name"], one["type"]) == ("csv-report", "archive")
        answer = stranger.get(one["url"])
        content = answer.content
        assert f"sha256:{sha(content)}" == one["digest"]
        # Nobody on the way may keep it for others, and who has a copy asks whether it still counts.
        assert answer.headers["Cache-Control"] == "private, no-cache"
        known = {"If-None-Match": f'W/{answer.headers["ETag"]}, "other"'}
        assert stranger.get(one["url"], headers=known).status_code == 304
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(tmp_path / "csv-report", filter="data")
        found = {path: (tmp_path / "csv-report" / path).read_bytes() for path in FILES}
        assert found == FILES
        assert make_bundle(tmp_path / "csv-report").digest == made(market.get(WHERE))["latest"]["bundle"]
        other = one["url"].replace(sha(content), "0" * 64)
        assert stranger.get(other).status_code == 404
        assert made(stranger.get("/publishers/acme/.well-known/agent-skills/index.json"))["skills"] == [one]
        assert made(stranger.get("/publishers/nobody/.well-known/agent-skills/index.json"))["skills"] == []
        plugins = made(stranger.get("/marketplace.json"))["plugins"]
        assert plugins[0]["source"]["sha256"] == sha(content)
        assert stranger.get(plugins[0]["source"]["url"]).content == content
        # What a moderator hides is offered no more, and its archive is there for nobody.
        word = {"key": KEY, "state": "revoked", "reason": "bad"}
        made(market.post("/v1/marketplace/moderation", json=word))
        assert made(stranger.get("/.well-known/agent-skills/index.json"))["skills"] == []
        assert stranger.get(one["url"], headers=known).status_code == 404
        made(market.post("/v1/marketplace/moderation", json={**word, "state": "visible"}))


async def test_a_skillyard_behind_tls_is_followed_by_its_index_as_well(
    server: Server, market: httpx.Client, tmp_path: Path
) -> None:
    shown = await asyncio.to_thread(market.get, WHERE)
    wanted = made(shown)["latest"]["bundle"]
    async with behind_tls(server.url, tmp_path) as (url, own):
        settings = Settings(home=tmp_path, marketplace_allow_private=True, marketplace_ca_bundle=own)
        for kind in (WellKnownRemote, ClaudeRemote):
            client = kind(remote_market(url, None, name="site", kind=WELL_KNOWN), settings)
            page = await client.changes(None, limit=10)
            assert page.unreadable == ()
            assert [one.id.key for one in page.entries] == ["site", "site/csv-report", "site/csv-report@1.0.0"]
            assert json.loads(page.entries[2].document or "")["bundle"] == wanted
            assert not page.more
            await client.close()


def test_the_catalogue_is_open_to_nobody_where_no_setting_says_so(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as closed:
        for path in ("/.well-known/agent-skills/index.json", "/marketplace.json", "/publishers/acme/x"):
            with closed.client(None) as stranger:
                assert stranger.get(path).status_code == 401, path
        with closed.client(closed.token) as person:
            assert made(person.get("/.well-known/agent-skills/index.json"))["skills"] == []
