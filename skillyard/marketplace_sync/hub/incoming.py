"""Files that were sent ahead of a publication: kept by their SHA-256 until that is published, for a day at most.

``<home>/marketplace/incoming/<64 hex digits>.<workspace>`` is a whole file whose hash was checked. Each workspace has
its own: who knows a hash has not got the file, and does not learn that another sent it. What is on its way lies beside
it, one for each sender (``.part-<64 hex digits>.<workspace>.<sender>``), locked while it is being written; a sender
that was cut off goes on where it ended. Methods that block say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Iterable
from functools import partial
from pathlib import Path

from skillyard.errors import ConflictError, InputError
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.hub.room import Room
from skillyard.sandbox.folders import disk_full_named
from skillyard.skills.bundle import MAX_FILE_BYTES
from skillyard.threads import taken

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PART = ".part-"
_CHUNK = 256 * 1024
_SWEEP_SECONDS = 600.0


class Incoming:
    """One folder of uploads, shared by the processes of a home."""

    def __init__(self, root: Path, *, keep_seconds: float, most_bytes: int) -> None:
        self._root = root
        self._keep = keep_seconds
        self._room = Room(root, most_bytes=most_bytes)
        self._swept = 0.0

    def whole(self, sha256: str, *, workspace: WorkspaceId) -> Path | None:
        """Where a whole file of a workspace lies. Blocks on disk."""
        place = self._place(sha256, workspace)
        return place if place.is_file() else None

    def begun(self, sha256: str, *, workspace: WorkspaceId, sender: str) -> tuple[int, bool]:
        """How many bytes of a file this sender brought so far, and whether it is whole. Blocks on disk."""
        for place, whole in ((self._place(sha256, workspace), True), (self._part(sha256, workspace, sender), False)):
            with contextlib.suppress(FileNotFoundError):
                return place.stat().st_size, whole
        return 0, False

    async def take(
        self,
        sha256: str,
        chunks: AsyncIterator[bytes],
        *,
        workspace: WorkspaceId,
        sender: str,
        offset: int,
        size: int | None,
    ) -> bool:
        """Keep what comes, behind the ``offset`` bytes that are there; whether the file is whole then.

        ``size`` is of the whole file, where it is known: less than that is kept for later. Raises ``InputError`` for
        another hash (nothing is kept then) or a file that is too large, ``ConflictError`` where the bytes before are
        not those, ``IncomingFullError``.
        """
        place = self._place(sha256, workspace)
        if size is not None and size > MAX_FILE_BYTES:
            raise InputError(f"larger than {MAX_FILE_BYTES} bytes", field="size")
        await asyncio.to_thread(self._make_ready)
        if await asyncio.to_thread(place.is_file):
            return True
        wanted = max(0, (MAX_FILE_BYTES if size is None else size) - offset)
        await asyncio.to_thread(self._room.look)
        # Not in a thread: who is cancelled while waiting for one could never give the room back.
        counts = self._room.reserve(workspace, wanted)
        part = self._part(sha256, workspace, sender)
        grown = 0
        try:
            descriptor = await taken(partial(_opened, part), os.close)
            try:
                before = os.fstat(descriptor).st_size
                try:
                    return await self._written(descriptor, part, place, chunks, offset=offset, size=size)
                finally:
                    grown = (os.fstat(descriptor).st_size if os.fstat(descriptor).st_nlink else 0) - before
            finally:
                os.close(descriptor)
        finally:
            self._room.settle(workspace, wanted, counts=counts, grown=grown)

    async def _written(
        self, descriptor: int, part: Path, place: Path, chunks: AsyncIterator[bytes], *, offset: int, size: int | None
    ) -> bool:
        """Whether the file is whole, once all that came is in the part."""
        digest, there = await asyncio.to_thread(_hashed, descriptor)
        if there != offset:
            if offset:
                raise ConflictError(f"{there} bytes of this file are here; go on behind them")
            await asyncio.to_thread(os.ftruncate, descriptor, 0)
            digest, there = hashlib.sha256(), 0
        async for chunk in chunks:
            there += len(chunk)
            if there > (MAX_FILE_BYTES if size is None else size):
                await asyncio.to_thread(part.unlink, missing_ok=True)
                raise InputError("more bytes than were announced, or than a file may have", field="body")
            await asyncio.to_thread(_append, descriptor, chunk, digest, self._root)
        if size is not None and there < size:
            return False
        if digest.hexdigest() != place.name.partition(".")[0]:
            await asyncio.to_thread(part.unlink, missing_ok=True)
            raise InputError("the bytes that came have another SHA-256", field="sha256")
        await asyncio.to_thread(_finish, descriptor, part, place)
        return True

    def forget(self, digests: Iterable[str], *, workspace: WorkspaceId) -> None:
        """Whole files of a workspace that something was published of. Blocks on disk."""
        for sha256 in digests:
            self._place(sha256, workspace).unlink(missing_ok=True)
        self._room.recount()

    def sweep(self, now: float) -> int:
        """Forget what lies here longer than it is kept; returns how many files. Blocks on disk."""
        gone = 0
        for path in self._files():
            try:
                if now - path.stat().st_mtime > self._keep:
                    path.unlink()
                    gone += 1
            except FileNotFoundError:
                continue
        self._swept = now
        self._room.recount()
        return gone

    def _make_ready(self) -> None:
        with disk_full_named(self._root.parent):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        now = time.time()
        if now - self._swept > _SWEEP_SECONDS:
            self.sweep(now)

    def _files(self) -> list[Path]:
        return [path for path in self._root.glob("*") if path.is_file()] if self._root.is_dir() else []

    def _place(self, sha256: str, workspace: WorkspaceId) -> Path:
        _require_digest(sha256)
        return self._root / f"{sha256}.{workspace}"

    def _part(self, sha256: str, workspace: WorkspaceId, sender: str) -> Path:
        _require_digest(sha256)
        return self._root / f"{_PART}{sha256}.{workspace}.{hashlib.sha256(sender.encode()).hexdigest()[:16]}"


def _require_digest(sha256: str) -> None:
    if _DIGEST.fullmatch(sha256) is None:
        raise InputError("not 64 hex digits", field="sha256")


def _opened(part: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(part, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between our opening and our locking it, it may have become the whole file, or gone.
        there = part.stat().st_ino == os.fstat(descriptor).st_ino
    except (BlockingIOError, FileNotFoundError):
        there = False
    if not there:
        os.close(descriptor)
        raise ConflictError("this file is being uploaded already; ask again")
    return descriptor


def _hashed(descriptor: int) -> tuple[hashlib._Hash, int]:
    digest, there = hashlib.sha256(), 0
    os.lseek(descriptor, 0, os.SEEK_SET)
    while chunk := os.read(descriptor, _CHUNK):
        digest.update(chunk)
        there += len(chunk)
    return digest, there


def _append(descriptor: int, chunk: bytes, digest: hashlib._Hash, root: Path) -> None:
    digest.update(chunk)
    view = memoryview(chunk)
    with disk_full_named(root):
        while view:
            view = view[os.write(descriptor, view) :]


def _finish(descriptor: int, part: Path, place: Path) -> None:
    os.fsync(descriptor)
    part.rename(place)
