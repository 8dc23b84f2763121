"""What every ``AdvisorySource`` promises, our own and the in-memory twin alike."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from skillyard.conformance import mismatches
from skillyard.governance.advisories.index import AdvisoryIndex
from skillyard.governance.advisories.source import AdvisorySource, Fetched, unobserved
from skillyard.governance.advisories.sources import EmbeddedSource, FileSource, UrlSource
from skillyard.governance.advisories.testing import MemorySource
from skillyard.governance.advisories.update import Updated, update
from skillyard.skills.skill import Ecosystem

RECORD = json.dumps(
    {
        "id": "TEST-1",
        "modified": "2026-05-01T00:00:00Z",
        "affected": [
            {"package": {"ecosystem": "PyPI", "name": "jinja2"}, "versions": ["2.10"]},
        ],
    }
).encode()
NOW = datetime(2026, 6, 1, tzinfo=UTC)


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=folder))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(params=["file", "folder", "url", "embedded", "memory"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AdvisorySource]:
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "one.json").write_bytes(RECORD)
    with _served(folder) as url:
        sources: dict[str, AdvisorySource] = {
            "file": FileSource(folder / "one.json"),
            "folder": FileSource(folder),
            "url": UrlSource(f"{url}/one.json"),
            "embedded": EmbeddedSource(),
            "memory": MemorySource([RECORD]),
        }
        yield sources[request.param]


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _outside(staging: Path) -> set[Path]:
    return {path for path in staging.parent.rglob("*") if staging not in path.parents}


@asynccontextmanager
async def _nothing_leaked() -> AsyncIterator[None]:
    gc.collect()  # What earlier tests of this process left must not be closed in the middle.
    before = _open_files()
    yield
    give_up = time.monotonic() + 30
    while (left := _open_files()) > before:
        # The web server is of this process as well: a thread of its own closes the other end of a connection.
        assert time.monotonic() < give_up, f"{left} files are open, and {before} were"
        await asyncio.sleep(0.01)


def test_it_is_an_advisory_source(source: AdvisorySource) -> None:
    assert list(mismatches(source, AdvisorySource)) == []
    assert source.name == source.name != ""


async def test_it_writes_into_its_staging_folder_alone(source: AdvisorySource, tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    before = _outside(staging)
    fetched = await source.fetch(staging, validator=None, on_progress=unobserved)
    assert isinstance(fetched, Fetched)
    assert fetched.sets
    assert all(one.path.exists() for one in fetched.sets)
    assert _outside(staging) == before


async def test_what_it_delivers_makes_an_index_and_leaks_nothing(source: AdvisorySource, tmp_path: Path) -> None:
    path = tmp_path / "home" / "i.db"
    async with _nothing_leaked():
        done = await update(path, source, now=NOW)
        index = AdvisoryIndex.open(path)
        assert index.matches(Ecosystem.PYPI, "jinja2", "2.10")
        index.close()
    assert isinstance(done, Updated)
    assert {one.source for one in done.imported} == {source.name}
    assert {entry.name for entry in path.parent.iterdir()} == {"i.db", "i.db.lock"}
