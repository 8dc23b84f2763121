"""Replacing the index: fetch, build beside it, verify, rename. One update at a time, across processes.

Whoever reads the index sees the old file or the new one, whole. Whatever goes wrong, a kill included, leaves the old
one in place; what a killed update left behind is removed by the next.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from skillyard.governance.advisories.deliveries import Delivery
from skillyard.governance.advisories.index import AdvisoryIndex, IndexStatus, index_path, older_sources
from skillyard.governance.advisories.index_build import Built, OldIndex, build_index
from skillyard.governance.advisories.index_format import Dataset, Supplied
from skillyard.governance.advisories.intake import BuildWatch
from skillyard.governance.advisories.records import ReadLimits
from skillyard.governance.advisories.source import AdvisorySource, OnProgress, Progress, Unchanged, unobserved
from skillyard.governance.advisories.sources import EmbeddedSource
from skillyard.governance.errors import (
    AdvisoryIndexError,
    AdvisoryIndexMissingError,
    AdvisorySourceError,
    AdvisoryUpdateRunningError,
)
from skillyard.skills.skill import Ecosystem
from skillyard.threads import taken

LOCK_TIMEOUT: Final = 60.0
"""Seconds to wait for another process's update."""
_LOCK_POLL: Final = 0.05


@dataclass(frozen=True, slots=True)
class Updated:
    """A new index is in place. ``imported`` are the datasets that came in; ``ignored`` counts records about others."""

    status: IndexStatus
    imported: tuple[Dataset, ...]
    supplied: tuple[Supplied, ...]
    ignored: int
    replaced_damaged: str | None
    """Why the index that was there could not be read; nothing of it was kept."""


@dataclass(frozen=True, slots=True)
class NotUpdated:
    """The source has nothing newer; the index, and the age of its data, are as they were."""

    status: IndexStatus


async def update(
    path: Path,
    source: AdvisorySource,
    *,
    now: datetime,
    on_progress: OnProgress = unobserved,
    replace: bool = False,
    limits: ReadLimits | None = None,
    lock_timeout: float = LOCK_TIMEOUT,
) -> Updated | NotUpdated:
    """Bring what ``source`` has into the index. ``replace`` takes it as the base whatever its size (``index_build``).

    Raises ``AdvisorySourceError`` (the index is untouched), ``AdvisoryIndexError`` where the new file cannot be
    written, ``AdvisoryUpdateRunningError`` after ``lock_timeout`` seconds of waiting for another update.
    """
    async with exclusive(path, lock_timeout):
        return await replace_index(
            path, source, now=now, on_progress=on_progress, replace=replace, limits=limits or ReadLimits()
        )


async def ensure_index(
    home: Path, *, now: datetime, on_progress: OnProgress = unobserved, lock_timeout: float = LOCK_TIMEOUT
) -> Path:
    """The index of an instance, made from the embedded snapshot where there is none yet.

    A damaged index is left alone: it was somebody's newer data, and scanning says what is wrong with it. One that an
    earlier release made of its own snapshot, in a format that is not read any more, is made anew.
    """
    path = index_path(home)
    if not await asyncio.to_thread(_wanting, path):
        return path
    async with exclusive(path, lock_timeout):
        if await asyncio.to_thread(_wanting, path):
            embedded = EmbeddedSource()
            await replace_index(path, embedded, now=now, on_progress=on_progress, replace=False, limits=ReadLimits())
    return path


def _wanting(path: Path) -> bool:
    return not path.exists() or older_sources(path) == {EmbeddedSource.name}


async def replace_index(
    path: Path,
    source: AdvisorySource,
    *,
    now: datetime,
    on_progress: OnProgress,
    replace: bool,
    limits: ReadLimits,
    kept_bases: frozenset[Ecosystem] = frozenset(),
) -> Updated | NotUpdated:
    """``update`` for who holds the lock (``exclusive``). ``kept_bases`` stay what they are (``index_build``)."""
    old, damage = await asyncio.to_thread(_old_index, path)
    async with _staging(path) as staging:
        downloads, target = staging / "fetched", staging / "index.db"
        await asyncio.to_thread(downloads.mkdir)
        fetched = await source.fetch(
            downloads, validator=None if replace else _validator(old, source), on_progress=on_progress
        )
        if isinstance(fetched, Unchanged):
            if old is None:
                raise AdvisorySourceError("says that nothing changed, but there is no index yet", source=source.name)
            return NotUpdated(old.status)
        delivery = Delivery(source.name, fetched.sets, fetched.validator, replace, now, kept_bases)
        try:
            built = await _build(target, delivery, old, limits, on_progress)
            status = await asyncio.to_thread(_put_in_place, target, path)
        except (sqlite3.Error, OSError) as error:
            raise AdvisoryIndexError(f"the advisory index could not be written: {error}") from error
    return Updated(status, built.imported, built.supplied, built.ignored, damage)


def _old_index(path: Path) -> tuple[OldIndex | None, str | None]:
    """What is there now. A damaged index does not stop its own replacement; the reason travels into the result."""
    try:
        index = AdvisoryIndex.open(path)
    except AdvisoryIndexMissingError:
        return None, None
    except AdvisoryIndexError as error:
        return None, str(error)
    index.close()
    return OldIndex(path, index.status()), None


def _validator(old: OldIndex | None, source: AdvisorySource) -> str | None:
    if old is None:
        return None
    known: tuple[Dataset | Supplied, ...] = (*old.status.datasets, *old.status.supplied)
    return next((one.validator for one in known if one.source == source.name), None)


async def _build(
    target: Path, delivery: Delivery, old: OldIndex | None, limits: ReadLimits, on_progress: OnProgress
) -> Built:
    """Build in a thread; when cancelled, stop the thread and wait for it, so that nothing writes after the clean-up."""
    loop = asyncio.get_running_loop()

    def told(count: int) -> None:
        loop.call_soon_threadsafe(on_progress, Progress("read", count, None))

    watch = BuildWatch(told)
    work = partial(build_index, target, delivery, old=old, limits=limits, watch=watch)
    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        watch.stop()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # Looked at, so that asyncio does not report it as never retrieved.
        raise


def _put_in_place(target: Path, path: Path) -> IndexStatus:
    """Verify, make durable, rename, make the rename durable."""
    index = AdvisoryIndex.open(target)
    index.close()
    _sync(target)
    target.replace(path)
    _sync(path.parent)
    return index.status()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@asynccontextmanager
async def _staging(path: Path) -> AsyncIterator[Path]:
    """An empty folder beside the index, on the same file system, gone afterwards."""
    making = partial(tempfile.mkdtemp, prefix=_staging_prefix(path), dir=path.parent)
    folder = Path(await taken(making, shutil.rmtree))
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _staging_prefix(path: Path) -> str:
    return f".{path.name}.part-"


@asynccontextmanager
async def exclusive(path: Path, timeout: float) -> AsyncIterator[None]:
    """Hold the update lock, which ends with the process, and remove what killed updates left."""
    handle = await taken(partial(_open_lock, path), os.close)
    try:
        deadline = asyncio.get_running_loop().time() + timeout
        while not _try_lock(handle):
            if asyncio.get_running_loop().time() >= deadline:
                raise AdvisoryUpdateRunningError("another process is updating the advisory index")
            await asyncio.sleep(_LOCK_POLL)
        await asyncio.to_thread(_sweep, path)
        yield
    finally:
        os.close(handle)


def _open_lock(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AdvisoryIndexError(f"the advisory index could not be written: {error}") from error


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sweep(path: Path) -> None:
    for left in path.parent.glob(f"{_staging_prefix(path)}*"):
        shutil.rmtree(left, ignore_errors=True)
