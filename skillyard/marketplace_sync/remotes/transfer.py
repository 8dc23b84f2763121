"""Bundles' files and pushed items on the wire, both ways."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind
from skillyard.marketplace_sync.errors import RemoteAnswerError, RemoteUnavailableError
from skillyard.marketplace_sync.remotes.http import LEAST_RATE, MIB, RemoteHttp, said
from skillyard.marketplace_sync.remotes.remote import PushItem, PushResult
from skillyard.marketplace_sync.remotes.rows import read_result
from skillyard.skills.skill import BundleFile
from skillyard.threads import taken

PREFIX = "/v1/marketplace"
MOST_FILES = 512
MOST_FILE = 10 * MIB

_PIECE = 256 * 1024
_RESUMED_FROM = 256 * 1024
_HEX = frozenset("0123456789abcdef")


async def manifest(http: RemoteHttp, version: EntryId) -> tuple[BundleFile, ...]:
    """The files of a version, as the hub lists them; whether they make the bundle is for its digest to say."""
    if version.kind is not EntryKind.VERSION:
        raise ValueError(f"{version} is no version")
    skill, _, number = version.key.partition("@")
    path = f"{PREFIX}/skills/{skill}/versions/{quote(number, safe='')}/files"
    value = (await http.ask("GET", path)).json()
    rows = value.get("files") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_FILES:
        raise RemoteAnswerError(f"its list of files is none, or names more than {MOST_FILES}")
    files = tuple(_file(row) for row in rows)
    if len({file.path for file in files}) != len(files):
        raise RemoteAnswerError("its list of files names one twice")
    return files


async def fetch_file(http: RemoteHttp, file: BundleFile, into: Path) -> None:
    """Bring a file to ``into``. What an earlier try left in ``<into>.part`` is gone on from.

    Raises ``RemoteAnswerError`` for content of another size or hash, of which nothing is kept.
    """
    part = into.with_name(f"{into.name}.part")
    have = await asyncio.to_thread(_size, part)
    if have > file.size:
        await asyncio.to_thread(part.unlink)
        have = 0
    if have < file.size or file.size == 0:
        headers = {"Range": f"bytes={have}-"} if have else {}
        seconds = http.seconds + file.size / LEAST_RATE
        async with http.stream("GET", f"{PREFIX}/files/{file.sha256}", headers=headers, seconds=seconds) as response:
            begin = _begin(response.status_code, response.headers.get("content-range", ""), have)
            await _write(part, begin, response.aiter_raw(), file)
    digest, size = await asyncio.to_thread(_digest, part)
    if size < file.size:
        raise RemoteUnavailableError(f"{said(file.path)} ended after {size} of {file.size} bytes")
    if (digest, size) != (file.sha256, file.size):
        await asyncio.to_thread(part.unlink)
        raise RemoteAnswerError(f"{said(file.path)} is not the file that its hash names")
    await asyncio.to_thread(part.replace, into)


async def push(http: RemoteHttp, items: Sequence[PushItem]) -> tuple[PushResult, ...]:
    """What became of each, in the items' order."""
    body = {"items": [_item(item) for item in items]}
    value = (await http.ask("POST", f"{PREFIX}/push", body=body)).json()
    rows = value.get("results") if isinstance(value, dict) else None
    if not isinstance(rows, list) or len(rows) != len(items):
        raise RemoteAnswerError(f"it answered {len(items)} items with another number of results")
    results = tuple(read_result(row) for row in rows)
    if [one.item for one in results] != [one.item for one in items]:
        raise RemoteAnswerError("its results are of other items")
    return results


async def send_file(http: RemoteHttp, sha256: str, content: Path) -> None:
    """Upload one file that a push found missing; a large one is gone on with where an earlier try ended."""
    size = (await asyncio.to_thread(content.stat)).st_size
    begin = await _received(http, sha256, size) if size > _RESUMED_FROM else 0
    if begin == size and size:
        return
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(size - begin),
        "Accept": "application/json",
    }
    if begin:
        headers["Content-Range"] = f"bytes {begin}-{size - 1}/{size}"
    path = f"{PREFIX}/files/{sha256}"
    seconds = http.seconds + size / LEAST_RATE
    async with http.stream("PUT", path, headers=headers, content=_pieces(content, begin), seconds=seconds):
        return


async def _received(http: RemoteHttp, sha256: str, size: int) -> int:
    """How much of a file the hub has."""
    value = (await http.ask("GET", f"{PREFIX}/uploads/{sha256}")).json()
    received = value.get("received") if isinstance(value, dict) else None
    if not isinstance(received, int) or isinstance(received, bool) or not 0 <= received <= size:
        raise RemoteAnswerError("it has more of a file than there is")
    return received


async def _pieces(content: Path, begin: int) -> AsyncIterator[bytes]:
    file = await taken(partial(content.open, "rb"), methodcaller("close"))
    try:
        await asyncio.to_thread(file.seek, begin)
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
    finally:
        file.close()


async def _write(part: Path, begin: int, pieces: AsyncIterator[bytes], file: BundleFile) -> None:
    """Never more than the file has: an endless answer ends here."""
    target: BinaryIO = await taken(lambda: part.open("ab" if begin else "wb"), methodcaller("close"))
    try:
        size = begin
        async for piece in pieces:
            size += len(piece)
            if size > file.size:
                target.close()
                await asyncio.to_thread(part.unlink)
                raise RemoteAnswerError(f"{said(file.path)} is larger than the {file.size} bytes it should have")
            await asyncio.to_thread(target.write, piece)
    finally:
        target.close()


def _begin(status: int, content_range: str, have: int) -> int:
    """Where what comes belongs: from the beginning, or behind what is there."""
    if status == 200:
        return 0
    if status == 206 and have and content_range.startswith(f"bytes {have}-"):
        return have
    raise RemoteAnswerError(f"it answered with status {status} and another part of the file than was asked for")


def _file(row: object) -> BundleFile:
    values = row if isinstance(row, dict) else {}
    path, sha256, size, executable = (values.get(name) for name in ("path", "sha256", "size", "executable"))
    if (
        not isinstance(path, str)
        or not 1 <= len(path) <= 1024
        or not isinstance(sha256, str)
        or len(sha256) != 64
        or not set(sha256) <= _HEX
        or not isinstance(size, int)
        or isinstance(size, bool)
        or not 0 <= size <= MOST_FILE
        or not isinstance(executable, bool)
    ):
        raise RemoteAnswerError("its list of files has one that is none")
    require_relative(path)
    return BundleFile(path, sha256, size, executable)


def require_relative(path: str) -> None:
    """Raises ``RemoteAnswerError`` for a path that could lead out of a folder."""
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise RemoteAnswerError(f"its list of files has the path {said(path)!r}")


def _item(item: PushItem) -> dict[str, object]:
    files = [
        {"path": file.path, "sha256": file.sha256, "size": file.size, "executable": file.executable}
        for file in item.files
    ]
    return {
        "item": item.item,
        "kind": item.kind.value,
        "key": item.key,
        "base_rev": item.base_rev,
        "document": item.document,
        "files": files,
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), file.tell()
