"""Records made to measure, an HTTP server that can misbehave, and the known facts of the embedded snapshot."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from skillyard.governance.advisories.advisory import Advisory
from skillyard.governance.advisories.osv import parse_record
from skillyard.governance.advisories.records import read_records
from skillyard.governance.advisories.sources import SNAPSHOT
from skillyard.governance.advisories.update import ensure_index

MakeRecord = Callable[..., bytes]


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def record() -> MakeRecord:
    """``record(id, package, fixed="2.0")`` is one OSV record as JSON; any OSV field can be given by name."""

    def make(
        identity: str = "TEST-1",
        package: str = "demo",
        *,
        ecosystem: str = "PyPI",
        fixed: str = "2.0",
        modified: str = "2026-05-01T00:00:00Z",
        **fields: Any,
    ) -> bytes:
        kind = "SEMVER" if ecosystem == "npm" else "ECOSYSTEM"
        ranges = [{"type": kind, "events": [{"introduced": "0"}, {"fixed": fixed}]}]
        affected = [{"package": {"ecosystem": ecosystem, "name": package}, "ranges": ranges}]
        return json.dumps({"id": identity, "modified": modified, "affected": affected} | fields).encode()

    return make


@cache
def _snapshot() -> dict[str, tuple[Advisory, ...]]:
    raws = (raw for name in ("pypi", "npm") for raw in read_records(SNAPSHOT / f"{name}.osv.jsonl.gz"))
    parsed = (parse_record(raw.data, source=raw.source, line=raw.line) for raw in raws)
    return {advisories[0].id: advisories for advisories in parsed}


@pytest.fixture
def snapshot() -> dict[str, tuple[Advisory, ...]]:
    """Every advisory of the embedded snapshot, by record id."""
    return _snapshot()


@pytest.fixture(scope="session")
def embedded_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index made of the embedded snapshot, for tests to read or to copy."""
    return asyncio.run(ensure_index(tmp_path_factory.mktemp("embedded"), now=datetime(2026, 6, 1, tzinfo=UTC)))


class Site:
    """What the test server serves: path → (status, headers, body); and the requests that it saw."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.seen: list[tuple[str, str | None]] = []
        self.dates: list[str | None] = []
        self.url = ""
        self.released = threading.Event()


@pytest.fixture
def site() -> Iterator[Site]:
    """A real HTTP server on this machine. A page with status 0 never answers until the test is over."""
    served = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            validator = self.headers.get("If-None-Match")
            served.seen.append((self.path, validator))
            since = self.headers.get("If-Modified-Since")
            served.dates.append(since)
            status, headers, body = served.pages.get(self.path, (404, {}, b""))
            if status == 0:
                served.released.wait()
                return
            if validator is not None and validator == headers.get("ETag"):
                status, body = 304, b""
            if since is not None and since == headers.get("Last-Modified"):
                status, body = 304, b""
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.released.set()
    server.shutdown()
    thread.join()
    server.server_close()
