"""Folders that only one process builds, that appear all at once, and that a killed process does not leave behind.

A ``Staging`` area holds one folder per piece of work in progress, each beside a lock file that its builder holds with
flock(2). The kernel lets go of the lock when the builder dies, by whatever death, so ``sweep`` can tell a dead
builder's folder from a living one's. Everything here blocks; callers on the event loop use ``asyncio.to_thread``.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import stat
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from skillyard.sandbox.errors import DiskFullError
from skillyard.threads import taken

_POLL = 0.02
"""Seconds between two looks at a lock that somebody else holds."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def disk_full_named(place: Path) -> Iterator[None]:
    """Turn "no space left" and "quota exceeded" of the operating system into ``DiskFullError``."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFullError(f"no space is left in {place}") from error
        raise


def remove_folder(folder: Path) -> None:
    """Remove a folder with all it holds, read-only folders included. One that is not there is no error."""
    try:
        _open_up(folder)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    remove_folder(Path(entry.path))
                else:
                    Path(entry.path).unlink(missing_ok=True)
        folder.rmdir()
    except FileNotFoundError:
        return


def _open_up(folder: Path) -> None:
    """Give ourselves the right to empty a folder, where it lacks it."""
    mode = folder.lstat().st_mode
    if stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
        folder.chmod(0o700)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut (fsync(2) of the directory)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(file: Path, data: bytes) -> None:
    """Write a new file and wait until it is on disk."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(descriptor)


def try_lock(file: Path) -> int | None:
    """Lock a file, making it if needed; the descriptor that holds the lock, or ``None`` if another one holds it.

    The lock is on the open file, so two tasks of one process exclude each other just as two processes do.
    """
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        if _is_still(file, descriptor):
            return descriptor
        os.close(descriptor)  # Whoever held it has removed it meanwhile: ours is a lock on a file without a name.


def _is_still(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextlib.asynccontextmanager
async def locked(file: Path) -> AsyncIterator[None]:
    """Hold a lock file, waiting for whoever holds it, in this process or another. Cancelling ends the wait."""
    file.parent.mkdir(parents=True, exist_ok=True)
    while (descriptor := try_lock(file)) is None:  # noqa: ASYNC110 - the kernel has no event for another's flock
        await asyncio.sleep(_POLL)
    try:
        yield
    finally:
        # The name goes before the lock does: whoever opens it from now on makes a new file.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file)  # noqa: PTH108 - one quick system call, and it must happen even if the task is cancelled
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder being built. ``lock`` is the descriptor that says its builder lives; tools may inherit it."""

    path: Path
    lock: int


class Staging:
    """The folders in the making below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        return self._root

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """A new, empty folder. What is still in it at the end is removed: rename away what shall stay."""
        place = await taken(self._make, self._drop)
        try:
            yield place
        finally:
            await asyncio.shield(asyncio.to_thread(self._drop, place))

    def sweep(self) -> int:
        """Remove the folders of builders that died; how many there were.

        Raises ``OSError`` for the first that cannot be removed, after all were tried.
        """
        swept = 0
        failure: OSError | None = None
        for file in sorted(self._root.glob("*.lock")) if self._root.is_dir() else ():
            descriptor = try_lock(file)
            if descriptor is None:
                continue
            try:
                self._drop(Place(file.with_suffix(""), descriptor))
                swept += 1
            except OSError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return swept

    def _make(self) -> Place:
        self._root.mkdir(parents=True, exist_ok=True)
        path = self._root / uuid.uuid4().hex
        with disk_full_named(self._root):
            descriptor = try_lock(path.with_suffix(".lock"))
            if descriptor is None:
                raise FileExistsError(path)
            try:
                path.mkdir()
            except BaseException:
                path.with_suffix(".lock").unlink(missing_ok=True)
                os.close(descriptor)
                raise
        return Place(path, descriptor)

    def _drop(self, place: Place) -> None:
        try:
            remove_folder(place.path)
            place.path.with_suffix(".lock").unlink(missing_ok=True)
        finally:
            os.close(place.lock)
