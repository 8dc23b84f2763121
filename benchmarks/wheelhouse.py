"""A package index on loopback over a folder of wheels, so that no figure depends on somebody's network.

Serves the simple repository interface (PEP 503) with core metadata beside each wheel (PEP 658 and 714), which is what
an index on the internet serves. Ours and the peers take their packages from it alike.
"""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from packaging.utils import parse_wheel_filename

_METADATA = ".metadata"


@dataclass(frozen=True, slots=True)
class _Wheel:
    project: str
    file: Path
    sha256: str
    metadata: bytes

    @property
    def link(self) -> str:
        core = f"sha256={hashlib.sha256(self.metadata).hexdigest()}"
        return (
            f'<a href="/files/{self.file.name}#sha256={self.sha256}" data-core-metadata="{core}" '
            f'data-dist-info-metadata="{core}">{self.file.name}</a><br>'
        )


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The index's address for as long as the block lasts."""
    wheels = [_read(file) for file in sorted(folder.glob("*.whl"))]
    pages = {f"/simple/{project}/": _page(wheels, project) for project in {wheel.project for wheel in wheels}}
    pages |= {f"/files/{wheel.file.name}{_METADATA}": wheel.metadata for wheel in wheels}
    files = {f"/files/{wheel.file.name}": wheel.file for wheel in wheels}
    server = ThreadingHTTPServer(("127.0.0.1", 0), _answering(pages, files))
    thread = threading.Thread(target=server.serve_forever, name="wheelhouse", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/simple/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _read(file: Path) -> _Wheel:
    project, _version, _build, _tags = parse_wheel_filename(file.name)
    with zipfile.ZipFile(file) as archive:
        (name,) = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith(".dist-info/METADATA")]
        return _Wheel(str(project), file, hashlib.sha256(file.read_bytes()).hexdigest(), archive.read(name))


def _page(wheels: list[_Wheel], project: str) -> bytes:
    links = "\n".join(wheel.link for wheel in wheels if wheel.project == project)
    return f"<!DOCTYPE html>\n<html><body>\n{links}\n</body></html>\n".encode()


def _answering(pages: Mapping[str, bytes], files: Mapping[str, Path]) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # the base class's name for it
            body = files[self.path].read_bytes() if self.path in files else pages.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
            del format, args

    return Answering
