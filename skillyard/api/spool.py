"""A call's files as they come in: written to disk piece by piece, so that none is ever in memory as a whole.

They lie in a folder that carries this process's lease and goes when the call has ended. What a killed process leaves
is removed with its lease (``runtime.reconcile``).
"""

from __future__ import annotations

import asyncio
import os
import uuid
from pathlib import Path

from skillyard.sandbox.folders import disk_full_named, remove_folder

_BEHIND = 512 * 1024
"""Bytes that are collected before they are written."""


class Spool:
    """One request's folder. Nothing is made before something is added; ``discard`` ends it."""

    def __init__(self, folder: Path, *, lease: str) -> None:
        self._folder = folder / f"{lease}.{uuid.uuid4().hex}"
        self._count = 0
        self._waiting: list[tuple[Path, bytes]] = []
        self._behind = 0

    def new_file(self) -> Path:
        """A place for the next file; its name says nothing of the client's."""
        self._count += 1
        place = self._folder / str(self._count)
        self.add(place, b"")
        return place

    def add(self, place: Path, data: bytes) -> None:
        """More bytes of a file. They are written by ``flush``."""
        self._waiting.append((place, data))
        self._behind += len(data)

    async def flush(self, *, all_of_it: bool = False) -> None:
        """Write what was added, once it is worth it. Raises ``DiskFullError``."""
        if self._waiting and (all_of_it or self._behind >= _BEHIND):
            batch, self._waiting, self._behind = self._waiting, [], 0
            await asyncio.to_thread(self._write, batch)

    async def discard(self) -> None:
        """Remove everything; goes through when the caller is cancelled, too."""
        self._waiting.clear()
        if self._count:
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, remove_folder, self._folder))

    def _write(self, batch: list[tuple[Path, bytes]]) -> None:
        with disk_full_named(self._folder.parent):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for place, data in _joined(batch):
                descriptor = os.open(
                    place, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
                )
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)


def _joined(batch: list[tuple[Path, bytes]]) -> list[tuple[Path, bytes]]:
    pieces: dict[Path, list[bytes]] = {}
    for place, data in batch:
        pieces.setdefault(place, []).append(data)
    return [(place, b"".join(parts)) for place, parts in pieces.items()]
