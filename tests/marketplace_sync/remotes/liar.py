"""A remote that answers what a test tells it to, and right answers to begin with."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from skillyard.governance.signing import SigningKey
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind, canonical, entry_hash
from skillyard.marketplace_sync.catalogue.envelope import HEAD_TYPE, sign
from skillyard.marketplace_sync.remotes.remote import ChangePage
from skillyard.marketplace_sync.remotes.skillyard import PROTOCOL, SkillyardRemote
from tests.marketplace_sync.hubs import remote_market, settings_of

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
def lying() -> Iterator[Liar]:
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


async def read(url: str, tmp_path: Path, *, limit: int = 10, key: str | None = None, **more: Any) -> ChangePage:
    remote = SkillyardRemote(remote_market(url, "secret-token", public_key=key), settings_of(tmp_path, **more))
    try:
        return await remote.changes(None, limit=limit)
    finally:
        await remote.close()
