"""The writable folders of a sandbox: laid out before a call, filled with its input, harvested and wiped after it.

Everything a call left is hostile: names, links, permissions, depth. Nothing here follows a link, recurses, or runs
while a process of the call is alive, so that nothing moves under it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat

from skillyard.sandbox.guest.frames import MAX_FILES, path_problem
from skillyard.sandbox.guest.plain import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORK = "/scratch/work"
HOME = "/scratch/home"
TEMPORARY = "/scratch/tmp"
CACHE = "/scratch/cache"
WRITABLE_MOUNTS = ("/scratch", "/tmp", "/dev/shm")  # noqa: S108 - these are the container's own, and what is wiped
_FOLDERS = (WORK, HOME, TEMPORARY, CACHE)
_MESSAGE_QUEUES = "/dev/mqueue"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_INPUT_AGE_NS = 10_000_000_000

_LIBC = ctypes.CDLL(None, use_errno=True)
# The flags that file systems keep of an inode besides its mode (ioctl_iflags(2)), on machines of 64 bits.
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
_IPC_RMID = 0
_SYSTEM_V: dict[str, Callable[[int], int]] = {
    "shm": lambda key: int(_LIBC.shmctl(key, _IPC_RMID, None)),
    "sem": lambda key: int(_LIBC.semctl(key, 0, _IPC_RMID, 0)),
    "msg": lambda key: int(_LIBC.msgctl(key, _IPC_RMID, None)),
}


Stamp = tuple[int, int, int]
"""Inode, size and time of modification: enough to see that a file was replaced or written."""


class Harvested:
    """A regular file the call left, open for reading."""

    def __init__(self, path: str, size: int, descriptor: int) -> None:
        self.path = path
        self.size = size
        self.descriptor = descriptor


class HarvestError(Exception):
    """The files that a call left are more, or larger, than it may hand back."""


def is_no_space(number: int) -> bool:
    """Whether an errno says that a write found no room: disk, quota, or the largest file size."""
    return number in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def create_input(path: str) -> int:
    """A new file below the working directory, open for writing. Raises ``OSError`` (``ENOSPC``, ``EEXIST`` …)."""
    problem = path_problem(path)
    if problem is not None:
        raise ValueError(f"input file {path!r}: {problem}")
    target = f"{WORK}/{path}"
    os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
    return os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def finish_input(descriptor: int) -> Stamp:
    """Close an input file, dated back, so that any later write shows in its time of modification."""
    made = os.fstat(descriptor).st_mtime_ns - _INPUT_AGE_NS
    os.utime(descriptor, ns=(made, made))
    result = _stamp(os.fstat(descriptor))
    os.close(descriptor)
    return result


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns


def harvest(inputs: dict[str, Stamp], limit: int, left_out: list[str]) -> Iterator[Harvested]:
    """Regular files below the working directory that are new or changed, sorted within each folder.

    What cannot be handed back (links, devices, files with a second name, unusable paths) is named in ``left_out``.
    Raises ``HarvestError`` as soon as there are more than ``MAX_FILES`` or more than ``limit`` bytes.
    """
    count = total = 0
    for path, descriptor in _regular_files(left_out):
        status = os.fstat(descriptor)
        if inputs.get(path) == _stamp(status):
            os.close(descriptor)
            continue
        count, total = count + 1, total + status.st_size
        if count > MAX_FILES or total > limit:
            os.close(descriptor)
            raise HarvestError(
                f"the call left more than {MAX_FILES} files"
                if count > MAX_FILES
                else f"the call left {total} bytes in files, and may hand back {limit}"
            )
        yield Harvested(path, status.st_size, descriptor)


def _regular_files(left_out: list[str]) -> Iterator[tuple[str, int]]:
    os.chmod(os.path.dirname(WORK), 0o700)
    if not os.path.isdir(WORK) or os.path.islink(WORK):
        left_out.append("everything: the call removed its working folder")
        return
    os.chmod(WORK, 0o700)
    pending = [""]
    while pending:
        prefix = pending.pop()
        folder = os.open(f"{WORK}/{prefix}", _FOLDER)
        try:
            for name in sorted(os.listdir(folder)):
                path = prefix + name
                problem, mode = _problem(folder, name, path)
                if problem is not None:
                    left_out.append(f"{path[:200]!a}: {problem}")
                elif stat.S_ISDIR(mode):
                    pending.append(f"{path}/")
                else:
                    os.chmod(name, 0o600, dir_fd=folder)
                    yield path, os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)


def _problem(folder: int, name: str, path: str) -> tuple[str | None, int]:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    problem = path_problem(path)
    if problem is not None:
        return problem, status.st_mode
    if stat.S_ISDIR(status.st_mode):
        os.chmod(name, 0o700, dir_fd=folder)
        return None, status.st_mode
    if not stat.S_ISREG(status.st_mode):
        return "it is a link or a special file", status.st_mode
    if status.st_nlink != 1:
        return "it has a second name (hard link)", status.st_mode
    return None, status.st_mode


class Scratch:
    """The writable mounts as every call finds them: four empty folders, and nothing else.

    Made before anything foreign runs: the inodes that are in use then are what an untouched scratch uses.
    """

    def __init__(self) -> None:
        self._tables = [
            (os.open(f"/proc/sysvipc/{kind}", os.O_RDONLY | os.O_CLOEXEC), remove)
            for kind, remove in _SYSTEM_V.items()
            if os.path.exists(f"/proc/sysvipc/{kind}")
        ]
        # Kept open, since the mounts themselves stay whatever a call does to their modes.
        self._mounts = [os.open(mount, _FOLDER) for mount in WRITABLE_MOUNTS]
        self._folders: list[int] = []
        self._lay_out()
        self._used = _used_inodes()
        self._verify()

    def _lay_out(self) -> None:
        for descriptor in self._folders:
            os.close(descriptor)
        self._folders = []
        for folder in _FOLDERS:
            os.mkdir(folder, 0o700)
            self._folders.append(os.open(folder, _FOLDER))
        self._inodes = [os.fstat(descriptor).st_ino for descriptor in self._folders]

    def restore(self) -> None:
        """Remove everything that a call left, in folders and in System V and POSIX interprocess communication.

        Raises ``OSError`` where something stays; the container must then not serve another call.
        """
        for mount in self._mounts:
            os.chmod(mount, 0o700)
        touched = not self.untouched()
        if touched:
            for path in WRITABLE_MOUNTS:
                _empty(path)
            self._lay_out()
        for descriptor in (*self._mounts, *self._folders):
            _strip(descriptor)
        with suppress(FileNotFoundError):
            _remove_queues()
        for table, remove in self._tables:
            _remove_system_v(table, remove)
        if touched:
            self._verify()

    def untouched(self) -> bool:
        """Whether the mounts hold exactly our folders: as many inodes as these, and these among them.

        The number is that of the very beginning. Taken anew after a wipe it could be too high (attributes count, and
        so do files without a name that something still holds), and a later file would fit into the gap.
        """
        if _used_inodes() != self._used:
            return False
        try:
            return [os.lstat(folder).st_ino for folder in _FOLDERS] == self._inodes
        except OSError:
            return False

    def _verify(self) -> None:
        """Look that it is so, rather than trust in having removed everything. Raises ``OSError``."""
        wanted = {os.path.dirname(_FOLDERS[0]): {os.path.basename(folder) for folder in _FOLDERS}}
        for path, mount in zip(WRITABLE_MOUNTS, self._mounts, strict=True):
            if set(os.listdir(mount)) != wanted.get(path, set()):
                raise OSError(f"{path} is not as a call should find it")
        if any(os.listdir(folder) for folder in self._folders):
            raise OSError("a folder that was just made is not empty")


def _used_inodes() -> list[int]:
    statuses = [os.statvfs(mount) for mount in WRITABLE_MOUNTS]
    return [status.f_files - status.f_ffree for status in statuses]


def _strip(folder: int) -> None:
    """Reset what an empty folder can still carry: mode, times, extended attributes, flags."""
    os.chmod(folder, 0o700)
    for name in os.listxattr(folder):
        os.removexattr(folder, name)
    flags = ctypes.c_long(0)
    # A file system that keeps no flags says so; there is nothing to reset then.
    marked = _LIBC.ioctl(folder, _GET_FLAGS, ctypes.byref(flags)) == 0 and flags.value != 0
    if marked and _LIBC.ioctl(folder, _SET_FLAGS, ctypes.byref(ctypes.c_long(0))) != 0:
        raise OSError(ctypes.get_errno(), "the flags of a folder stay")
    os.utime(folder)


def _empty(mount: str) -> None:
    """Without recursion: a nested folder is moved up to the top before its turn, so that no depth is too much."""
    top = os.open(mount, _FOLDER)
    try:
        pending = _unlink_files(top)
        moved = 0
        while pending:
            name = pending.pop()
            os.chmod(name, 0o700, dir_fd=top)
            folder = os.open(name, _FOLDER, dir_fd=top)
            try:
                for nested in _unlink_files(folder):
                    moved += 1
                    target = f".wiped-{os.getpid()}-{moved}"
                    os.chmod(nested, 0o700, dir_fd=folder)
                    os.rename(nested, target, src_dir_fd=folder, dst_dir_fd=top)
                    pending.append(target)
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=top)
        if os.listdir(top):
            raise OSError(f"{mount} is not empty after the wipe")
    finally:
        os.close(top)


def _unlink_files(folder: int) -> list[str]:
    """Unlink everything but folders; returns those."""
    folders = []
    for name in os.listdir(folder):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            folders.append(name)
        else:
            os.unlink(name, dir_fd=folder)
    return folders


def _remove_queues() -> None:
    """POSIX message queues, which are files of a file system of their own."""
    for name in os.listdir(_MESSAGE_QUEUES):
        os.unlink(f"{_MESSAGE_QUEUES}/{name}")
    if os.listdir(_MESSAGE_QUEUES):
        raise OSError("a message queue stays")


def _remove_system_v(table: int, remove: Callable[[int], int]) -> None:
    """One table of proc(5) ``/proc/sysvipc``: a line of titles, then one object each with its id second.

    One read shows a page of it; so it is read until nothing is left.
    """
    removed: set[int] = set()
    while found := [int(line.split()[1]) for line in os.pread(table, 64 * 1024, 0).splitlines()[1:]]:
        for number in found:
            # Memory that a process still has is only marked by its removal.
            if number in removed or remove(number) != 0:
                raise OSError(ctypes.get_errno(), "a System V object stays")
            removed.add(number)


def full() -> bool:
    """Whether a writable mount has no block or no inode left."""
    for mount in WRITABLE_MOUNTS:
        status = os.statvfs(mount)
        if status.f_bavail == 0 or status.f_favail == 0:
            return True
    return False
