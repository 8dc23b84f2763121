"""Files that calls left: kept for their time, then deleted. The row stays and says when that was.

The file goes first and its row is marked after it: a process killed in between leaves a row whose file is gone, which
the next look marks. Nothing here touches the folder of a call that still runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

from sqlalchemy import select, update

from skillyard.database import Database, Session
from skillyard.ids import InvocationId
from skillyard.runtime.states import InvocationState
from skillyard.runtime.tables import InvocationFileRow, InvocationRow
from skillyard.sandbox.shelf import Removal, Scale, delete_counted

_INVOCATION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PAGE = 500


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A row of a file that is still there, as far as the row knows."""

    id: int
    invocation: InvocationId
    path: str


async def expired(session: Session, now: datetime, *, after: int = 0, limit: int = _PAGE) -> tuple[KeptFile, ...]:
    """Files whose time is over, in the order of their ids, beginning behind ``after``."""
    query = (
        select(InvocationFileRow.id, InvocationFileRow.invocation_id, InvocationFileRow.path)
        .where(
            InvocationFileRow.removed_at.is_(None),
            InvocationFileRow.expires_at <= now,
            InvocationFileRow.id > after,
        )
        .order_by(InvocationFileRow.id)
        .limit(limit)
    )
    return tuple(KeptFile(id_, InvocationId(call), path) for id_, call, path in await session.execute(query))


async def mark_removed(session: Session, files: Collection[int], now: datetime) -> None:
    await session.execute(
        update(InvocationFileRow)
        .where(InvocationFileRow.id.in_(files), InvocationFileRow.removed_at.is_(None))
        .values(removed_at=now)
    )


async def _spoken_for(session: Session, calls: Collection[str]) -> frozenset[str]:
    """Of these calls, the ones that run, and the ones with files that are to be kept."""
    running = select(InvocationRow.id).where(
        InvocationRow.id.in_(calls), InvocationRow.state == InvocationState.ACCEPTED
    )
    kept = select(InvocationFileRow.invocation_id).where(
        InvocationFileRow.invocation_id.in_(calls), InvocationFileRow.removed_at.is_(None)
    )
    return frozenset(await session.scalars(running)) | frozenset(await session.scalars(kept))


class KeptFiles:
    """The files below one folder, one folder a call."""

    def __init__(self, *, root: Path, database: Database) -> None:
        self._root = root
        self._database = database

    async def folders(self) -> tuple[str, ...]:
        """The calls that have a folder, sorted."""
        return await asyncio.to_thread(self._folders)

    async def weigh(self, now: datetime, grace: timedelta) -> Removal:
        """What ``collect`` would remove."""
        scale, names, freed, after = Scale(), [], 0, 0
        while files := await self._expired(now, after):
            after = files[-1].id
            sizes = await asyncio.to_thread(self._sizes, files)
            names += [f"{one.invocation}/{one.path}" for one, size in zip(files, sizes, strict=True) if size]
            freed += sum(sizes)
        for call in await self._orphans(grace):
            names.append(call)
            freed += await asyncio.to_thread(scale.add, self._root / call)
        return Removal(tuple(names), freed, ())

    async def collect(self, now: datetime, grace: timedelta) -> Removal:
        """Delete what is expired, and old folders that no row speaks for. Failures are said and tried again later."""
        removed: list[str] = []
        failures: list[str] = []
        freed, after = 0, 0
        while files := await self._expired(now, after):
            after = files[-1].id
            done, size, failed = await asyncio.to_thread(self._delete, files)
            async with self._database.transaction() as session:
                await mark_removed(session, [one.id for one in done], now)
            removed += [f"{one.invocation}/{one.path}" for one in done]
            failures += failed
            freed += size
        for call in await self._orphans(grace):
            try:
                freed += await asyncio.to_thread(delete_counted, self._root / call)
                removed.append(call)
            except OSError as error:
                failures.append(f"{call}: {error.strerror}: {error.filename}")
        return Removal(tuple(removed), freed, tuple(failures))

    async def _expired(self, now: datetime, after: int) -> tuple[KeptFile, ...]:
        async with self._database.reading() as session:
            return await expired(session, now, after=after)

    async def _orphans(self, grace: timedelta) -> list[str]:
        """Folders older than ``grace`` that hold nothing which is to be kept: of before files had rows, or emptied."""
        old = await asyncio.to_thread(self._older_than, grace.total_seconds())
        orphans: list[str] = []
        for start in range(0, len(old), _PAGE):
            page = old[start : start + _PAGE]
            async with self._database.reading() as session:
                spoken_for = await _spoken_for(session, page)
            orphans += [call for call in page if call not in spoken_for]
        return orphans

    def _folders(self) -> tuple[str, ...]:
        return tuple(sorted(path.name for path in self._root.glob("*") if _INVOCATION.fullmatch(path.name)))

    def _older_than(self, seconds: float) -> Sequence[str]:
        now, old = time.time(), []
        for call in self._folders():
            with contextlib.suppress(FileNotFoundError):
                if now - (self._root / call).stat().st_mtime >= seconds:
                    old.append(call)
        return old

    def _sizes(self, files: Sequence[KeptFile]) -> list[int]:
        return [_size(self._location(file)) for file in files]

    def _location(self, file: KeptFile) -> Path:
        return self._root / file.invocation / PurePosixPath(file.path)

    def _delete(self, files: Sequence[KeptFile]) -> tuple[list[KeptFile], int, list[str]]:
        """Files that are gone now, the bytes that this freed, and a sentence for each that stays."""
        done, freed, failures = [], 0, []
        for file in files:
            location = self._location(file)
            try:
                size = _size(location)
                location.unlink(missing_ok=True)
                self._remove_empty(location.parent)
            except NotADirectoryError:
                size = 0  # A file lies where a folder was: ours is gone.
            except OSError as error:
                failures.append(f"{file.invocation}/{file.path}: {error.strerror}")
                continue
            done.append(file)
            freed += size
        return done, freed, failures

    def _remove_empty(self, folder: Path) -> None:
        """The folders that held nothing else, up to the call's own."""
        while folder != self._root and folder.is_relative_to(self._root):
            try:
                folder.rmdir()
            except OSError:
                return  # It holds something else, or is gone already.
            folder = folder.parent


def _size(file: Path) -> int:
    """Bytes on disk that deleting a file frees; 0 where there is none."""
    try:
        status = file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return 0
    return status.st_blocks * 512 if status.st_nlink == 1 else 0
