"""Sites with an index are followed like other remotes: what they name is checked, read and searched; what is wrong with
one item is said of that item alone."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pytest
from skillyard.database import Database, Kind
from skillyard.governance.administrators import Administrator
from skillyard.governance.identity import Person
from skillyard.ids import BundleDigest
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.errors import CursorGoneError, RemoteAnswerError, RemoteError, RemoteRefusedError
from skillyard.marketplace_sync.follower.run import Run
from skillyard.marketplace_sync.remotes import indexed
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.claude import ClaudeRemote
from skillyard.marketplace_sync.remotes.indexed import IndexedRemote
from skillyard.marketplace_sync.remotes.remote import CLAUDE, WELL_KNOWN, Filters, RemoteKind, RemoteMarket
from skillyard.marketplace_sync.remotes.well_known import WellKnownRemote
from skillyard.marketplace_sync.search.index import SearchIndex
from skillyard.marketplace_sync.search.query import Query
from skillyard.settings import Settings
from skillyard.skills.bundle import make_bundle
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import Skill
from skillyard.times import utcnow
from structlog.testing import capture_logs
from tests.marketplace_sync.follower.hubs import Heard

INDEX = "/.well-known/agent-skills/index.json"
SCHEMA = "https://schemas.agentskills.io/discovery/0.2.0/schema.json"


def manifest(name: str, *, version: str | None = None, text: str = "Sums up a table.") -> bytes:
    said = "" if version is None else f'metadata:\n  version: "{version}"\n'
    return f"---\nname: {name}\ndescription: Writes a {name}.\n{said}---\n# Title\n\n{text}\n".encode()


def packed(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in files.items():
            archive.writestr(path.replace("__", "/"), content)
    return buffer.getvalue()


class Site:
    """A web server on loopback, and what it has."""

    def __init__(self, url: str, files: dict[str, bytes]) -> None:
        self.url = url
        self.files = files
        self.asked: list[str] = []
        self.items: list[object] = []

    def give(self, name: str, content: bytes, kind: str = "skill-md", /, **other: object) -> None:
        """Name a skill in the index."""
        path = f"/skills/{name}"
        self.files[path] = content
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        said = {
            "name": name,
            "type": kind,
            "description": "x",
            "url": f"../../skills/{name}",
            "digest": digest,
        }
        self.items = [one for one in self.items if not isinstance(one, dict) or one.get("name") != name]
        self.items.append(said | other)
        self.publish()

    def publish(self) -> None:
        self.files[INDEX] = json.dumps({"$schema": SCHEMA, "skills": self.items}).encode()


@pytest.fixture
def site() -> Iterator[Site]:
    files: dict[str, bytes] = {}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *arguments: object) -> None:
            del arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    made = Site(f"http://127.0.0.1:{server.server_port}", files)
    made.asked = asked
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


class Following:
    """A workspace that follows the site."""

    def __init__(self, database: Database, home: Path, market: RemoteMarket) -> None:
        self.database = database
        self.settings = Settings(home=home, marketplace_allow_private=True)
        self.market = market
        self.index = SearchIndex(database)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[IndexedRemote]:
        kind = WellKnownRemote if self.market.kind == WELL_KNOWN else ClaudeRemote
        client = kind(self.market, self.settings)
        try:
            yield client
        finally:
            await client.close()

    async def sync(self) -> int:
        """How many items are set aside."""
        async with self.client() as client:
            run = Run(
                self.market,
                client,
                database=self.database,
                projection=self.index,
                listener=Heard(),
                on_stopped=lambda _stopped: asyncio.sleep(0),
            )
            return (await run.to_the_head()).set_aside

    async def found(self, text: str = "") -> list[str]:
        page = await self.index.search([self.market.catalogue], Query(text=text))
        return sorted(f"{one.key}@{one.version}" for one in page.items)


async def following(database: Database, admin: Person, home: Path, site: Site, kind: RemoteKind) -> Following:
    async with database.transaction() as session:
        market = await remote_store.add(
            session,
            by=Administrator(admin.workspace, admin.id, admin.actor),
            at=utcnow(),
            name="site",
            url=site.url,
            token=None,
            kind=kind,
            filters=Filters(),
            strategy=Strategy.REMOTE_WINS,
            live=False,
            public_key=None,
        )
    return Following(database, home, market)


@pytest.fixture
async def here(database: Database, admin: Person, tmp_path: Path, site: Site) -> Following:
    return await following(database, admin, tmp_path / "home", site, WELL_KNOWN)


async def test_what_an_index_names_is_found_here_and_gone_when_it_names_it_no_more(here: Following, site: Site) -> None:
    site.give("report", manifest("report", version="1.2.0"))
    site.give("chart", packed(**{"SKILL.md": manifest("chart", text="Plots."), "data__one.txt": b"1"}), "archive")
    assert await here.sync() == 0
    chart, report = await here.found()
    assert report == "site/report@1.2.0"
    assert chart.startswith("site/chart@0.0.0+")
    assert await here.found("plots") == [chart]
    asked = len(site.asked)
    assert await here.sync() == 0
    assert site.asked[asked:] == [INDEX]  # nothing is fetched twice

    site.give("report", manifest("report", version="1.3.0"))
    site.items = [one for one in site.items if isinstance(one, dict) and one["name"] == "report"]
    site.publish()
    assert await here.sync() == 0
    assert await here.found() == ["site/report@1.3.0"]
    kept = here.settings.home / "marketplace" / "archives" / str(int(here.market.id))
    assert len(list(kept.iterdir())) == 1


async def test_a_version_is_its_archives_files_whole(here: Following, site: Site, tmp_path: Path) -> None:
    files = {"SKILL.md": manifest("chart"), "data__one.txt": b"1"}
    site.give("chart", packed(**files), "archive")
    await here.sync()
    (found,) = await here.found()
    async with here.client() as client:
        manifest_ = await client.manifest(EntryId(EntryKind.VERSION, found))
        entries = [one for one in (await client.changes(None, limit=10)).entries if one.id.kind is EntryKind.VERSION]
        said = orjson.loads(entries[0].document or "")
        assert said["verdict"] == "INDETERMINATE"
        folder = tmp_path / "whole"
        for file in manifest_:
            (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            await client.fetch_file(file, folder / file.path, bundle=BundleDigest(said["bundle"]))
        assert make_bundle(folder).digest == said["bundle"]
        with pytest.raises(RemoteRefusedError):
            await client.push(())
        with pytest.raises(RemoteError):
            await anext(client.heads())


@pytest.mark.database(Kind.SQLITE)
@pytest.mark.parametrize(
    "wrong",
    [
        {"digest": "sha256:" + "0" * 64},
        {"digest": None},
        {"digest": "md5:0"},
        {"url": "file:///etc/passwd"},
        {"url": "/nowhere"},
        {"url": "http://user:word@127.0.0.1/"},
        {"url": 7},
        {"type": "script"},
        {"name": "../escape"},
        {"name": "other"},
        {"url": "https://xn--a/x"},
        {"more": orjson.loads("[" * 300 + "]" * 300)},
    ],
)
async def test_what_is_wrong_with_one_item_is_set_aside_and_the_rest_is_taken(
    here: Following, site: Site, wrong: dict[str, object]
) -> None:
    site.give("good", manifest("good", version="1.0.0"))
    site.give("bad", manifest("bad"), **wrong)
    assert await here.sync() > 0
    assert await here.found() == ["site/good@1.0.0"]
    assert site.asked.count("/skills/bad") <= 1


@pytest.mark.database(Kind.SQLITE)
@pytest.mark.parametrize("content", [b"not an archive", b"PK\x03\x04 broken", b"", b"\x1f\x8b broken"])
async def test_an_archive_that_is_none_is_set_aside(here: Following, site: Site, content: bytes) -> None:
    site.give("bad", content, "archive")
    assert await here.sync() > 0
    assert await here.found() == []


def chained(headers: int) -> bytes:
    """A tar archive that begins with extended headers, one after the other."""
    text = b"10 path=a\n"
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, len(text)
    return (header.tobuf() + text.ljust(512, b"\0")) * headers + tarfile.TarInfo("SKILL.md").tobuf() + bytes(1024)


HOSTILE = {
    "headers": chained(1000),
    "number": packed(**{"SKILL.md": manifest("bad"), "pyproject.toml": b"a = " + b"1" * 5000}),
    "key": packed(**{"SKILL.md": manifest("bad"), "pyproject.toml": b"a" + b".a" * 4000 + b" = 1"}),
    "schema": packed(
        **{
            "SKILL.md": manifest("bad"),
            "scripts__main.py": b"",
            "scripts__main.schema.json": b'{"a":' * 300 + b"{}" + b"}" * 300,
        }
    ),
}


@pytest.mark.database(Kind.SQLITE)
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
async def test_an_archive_that_breaks_what_reads_it_is_set_aside_and_the_rest_is_taken(
    here: Following, site: Site, content: bytes
) -> None:
    site.give("bad", content, "archive")
    site.give("good", manifest("good", version="1.0.0"))
    with capture_logs() as logs:
        assert await here.sync() > 0
    assert await here.found() == ["site/good@1.0.0"]
    assert [line for line in logs if line["event"] == "index_item_not_read"] == []


@pytest.mark.database(Kind.SQLITE)
async def test_an_error_that_nobody_thought_of_is_said_of_its_item_and_logged(
    here: Following, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(folder: Path) -> Skill:
        if folder.name == "bad":
            raise KeyError("surprise")
        return parse_skill(folder)

    monkeypatch.setattr(indexed, "parse_skill", read)
    site.give("bad", manifest("bad"))
    site.give("good", manifest("good", version="1.0.0"))
    with capture_logs() as logs:
        async with here.client() as client:
            page = await client.changes(None, limit=10)
    assert {one.reason for one in page.unreadable} == {"what it gave cannot be read (KeyError)"}
    assert [(line["log_level"], line["skill"]) for line in logs] == [("error", "bad")]
    assert await here.sync() > 0
    assert await here.found() == ["site/good@1.0.0"]


@pytest.mark.database(Kind.SQLITE)
async def test_a_disk_that_fails_stops_the_following_and_is_not_held_against_the_item(
    here: Following, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(folder: Path) -> Skill:
        raise OSError(errno.ENOSPC, "full", str(folder))

    site.give("good", manifest("good", version="1.0.0"))
    with monkeypatch.context() as broken:
        broken.setattr(indexed, "parse_skill", read)
        with pytest.raises(OSError, match="full"):
            await here.sync()
    assert await here.sync() == 0
    assert await here.found() == ["site/good@1.0.0"]


@pytest.mark.database(Kind.SQLITE)
@pytest.mark.parametrize(
    "index", [b"<html>", b"[]", b"{}", b'{"skills": []}', b'{"$schema": "x/0.1.0", "skills": []}', b'{"skills": 1}']
)
async def test_an_index_that_is_none_changes_nothing(here: Following, site: Site, index: bytes) -> None:
    site.give("good", manifest("good", version="1.0.0"))
    await here.sync()
    site.files[INDEX] = index
    with pytest.raises(RemoteAnswerError):
        await here.sync()
    assert await here.found() == ["site/good@1.0.0"]


async def test_pages_go_on_within_one_index_and_a_cursor_of_another_is_gone(here: Following, site: Site) -> None:
    for one in range(3):
        site.give(f"skill-{one}", manifest(f"skill-{one}"))
    async with here.client() as client:
        found: list[Entry] = []
        cursor, more = None, True
        while more:
            page = await client.changes(cursor, limit=2)
            found += page.entries
            cursor, more = page.cursor, page.more
        assert len({one.id for one in found}) == len(found) == 7
        # However many an index names, they are not all unpacked at once.
        assert not client._taken
        assert await client.changes(cursor, limit=2) == replace(
            await client.changes(cursor, limit=2), received_bytes=len(site.files[INDEX])
        )
        site.give("more", manifest("more"))
        with pytest.raises(CursorGoneError):
            await client.changes(cursor, limit=2)
        with pytest.raises(CursorGoneError):
            await client.changes("x", limit=2)


async def test_a_claude_marketplace_gives_what_has_a_digest_and_says_why_not_the_rest(
    database: Database, admin: Person, tmp_path: Path, site: Site
) -> None:
    here = await following(database, admin, tmp_path / "home", site, CLAUDE)
    content = packed(**{"SKILL.md": manifest("chart", version="1.0.0")})
    site.files["/a.zip"] = content
    source = {"source": "archive", "url": f"{site.url}/a.zip", "sha256": hashlib.sha256(content).hexdigest()}
    plugins = [
        {"name": "chart", "source": source},
        {"name": "local", "source": "./plugins/local"},
        {"name": "far", "source": {"source": "github", "repo": "acme/far"}},
        {"name": "deep", "source": orjson.loads("[" * 300 + "]" * 300)},
    ]
    said = {"name": "market", "owner": {"name": "Acme"}, "plugins": plugins}
    site.files["/marketplace.json"] = json.dumps(said).encode()
    assert await here.sync() > 0
    assert await here.found() == ["site/chart@1.0.0"]
