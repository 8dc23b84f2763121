"""Bundles kept on disk by digest, complete or not there at all.

``<root>/<64 hex digits>/`` is a bundle: files 0444 or 0555, folders 0555. What is being written or removed lives beside
it under a name that starts with ``.part-``, with a lock file that its process holds; the kernel drops the lock when the
process dies, however it dies, so the next put or sweep knows what nobody works on any more. Concurrent puts of one
digest, also from several processes, each write their own copy and the first to rename wins.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skillyard.errors import InputError, MachineError, NotFoundError
from skillyard.ids import BundleDigest
from skillyard.skills.bundle import copy_verified, padding, tar_header
from skillyard.skills.errors import SkillError
from skillyard.skills.skill import Bundle, BundleFile

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_NAME = re.compile(r"[0-9a-f]{64}")
_PART = ".part-"
_LOCK = ".lock"


class BundleStore:
    """One folder of bundles. Methods block on disk: call them in a thread."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, folder: Path, bundle: Bundle) -> Path:
        """Copy exactly the bundle's files out of a folder and return where they are kept.

        Raises ``SkillError`` if a file is not what the bundle says, ``MachineError`` if the disk does not take it; both
        leave nothing behind.
        """
        final = self._final(bundle.digest)
        try:
            if self._refreshed(final):
                return final
            # A leftover that does not go must not keep new bundles out; whoever sweeps for its own sake tells of it.
            with contextlib.suppress(OSError):
                self.sweep()
            with self._part() as part:
                _fill(part, folder, bundle)
                _publish(part, final)
        except OSError as error:
            raise MachineError(f"the bundle could not be stored: {error.strerror}") from error
        return final

    def has(self, digest: BundleDigest) -> bool:
        return self._final(digest).is_dir()

    def path(self, digest: BundleDigest) -> Path:
        """Where a bundle is kept; raises ``NotFoundError``."""
        final = self._final(digest)
        if not final.is_dir():
            raise NotFoundError(f"no bundle {digest} is stored")
        return final

    def remove(self, digest: BundleDigest) -> None:
        """Forget a bundle. It is gone at once, also if this process dies while deleting; idempotent."""
        final = self._final(digest)
        if not final.is_dir():
            return
        with self._part() as part:
            part.rmdir()
            with contextlib.suppress(FileNotFoundError):  # somebody else removed it first
                final.rename(part)

    def sweep(self) -> int:
        """Delete what killed puts and removes left behind; returns how many. What is in work is not touched.

        Raises ``OSError`` for the first that cannot be deleted, after all were tried.
        """
        if not self._root.is_dir():
            return 0
        swept = 0
        failure: OSError | None = None
        for lock in self._root.glob(f"{_PART}*{_LOCK}"):
            try:
                swept += self._sweep_one(lock)
            except OSError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return swept

    def digests(self) -> tuple[BundleDigest, ...]:
        """Every bundle that is stored, sorted."""
        names = (path.name for path in self._root.glob("*") if _NAME.fullmatch(path.name) and path.is_dir())
        return tuple(BundleDigest(f"sha256:{name}") for name in sorted(names))

    def last_put(self, digest: BundleDigest) -> float | None:
        """When a bundle was last put, seconds since 1970; ``None`` where it is not there."""
        try:
            return self._final(digest).stat().st_mtime
        except FileNotFoundError:
            return None

    @property
    def gate(self) -> Path:
        """A file that every put of a stored bundle locks shared for a moment.

        Who holds it exclusively can look at ``last_put`` and remove: no put takes a bundle for granted meanwhile.
        """
        return self._root.with_name(f".{self._root.name}.gate")

    def _refreshed(self, final: Path) -> bool:
        """Whether the bundle is there; ``last_put`` is now, then."""
        self.gate.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.gate, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            os.utime(final)
        except FileNotFoundError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _sweep_one(self, lock: Path) -> int:
        with _locked(lock, wait=False) as mine:
            if not mine:
                return 0
            _delete_tree(lock.with_name(lock.name.removesuffix(_LOCK)))
            lock.unlink(missing_ok=True)
            return 1

    @contextmanager
    def _part(self) -> Iterator[Path]:
        """A folder of our own to write in, locked while we do and gone afterwards unless it was renamed."""
        self._root.mkdir(parents=True, exist_ok=True)
        part = self._root / f"{_PART}{uuid.uuid4().hex}"
        lock = part.with_name(part.name + _LOCK)
        with _locked(lock, wait=True):
            part.mkdir(mode=0o755)
            try:
                yield part
            finally:
                _delete_tree(part)
                lock.unlink(missing_ok=True)

    def _final(self, digest: BundleDigest) -> Path:
        match = _DIGEST.fullmatch(digest)
        if match is None:
            raise InputError("not a bundle digest (sha256: and 64 hex digits)", field="digest")
        return self._root / match[1]


def _fill(part: Path, folder: Path, bundle: Bundle) -> None:
    digest = hashlib.sha256()
    for member in bundle.files:
        digest.update(tar_header(member.path, member.size, executable=member.executable))
        _copy(part, folder, member, digest)
        digest.update(padding(member.size))
    digest.update(bytes(1024))
    if f"sha256:{digest.hexdigest()}" != bundle.digest:
        raise SkillError("the files do not add up to the bundle's digest")


def _copy(part: Path, folder: Path, member: BundleFile, digest: hashlib._Hash) -> None:
    target = part / member.path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:

        def write(chunk: bytes) -> None:
            digest.update(chunk)
            file.write(chunk)

        copy_verified(folder, member, write)
        os.fchmod(file.fileno(), 0o555 if member.executable else 0o444)
        file.flush()
        os.fsync(file.fileno())


def _publish(part: Path, final: Path) -> None:
    """Make the folders read-only and rename: part and final share their parent, so no folder needs to be writable."""
    for inner, _folders, _files in os.walk(part):
        Path(inner).chmod(0o555)
        _sync_folder(Path(inner))
    try:
        part.rename(final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    _sync_folder(final.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _delete_tree(folder: Path) -> None:
    """Remove a tree whose folders are read-only. A tree that is gone already is fine: another sweep was faster."""
    with contextlib.suppress(FileNotFoundError):
        for inner, _folders, _files in os.walk(folder):
            Path(inner).chmod(stat.S_IRWXU)
        shutil.rmtree(folder)


@contextmanager
def _locked(lock: Path, *, wait: bool) -> Iterator[bool]:
    """Hold an exclusive lock on a file. Without ``wait``, yields whether nobody else holds it."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            # A sweep may have locked and removed the file between our opening and our locking it.
            if not wait or _still_there(lock, descriptor):
                yield True
                return
        finally:
            os.close(descriptor)


def _still_there(lock: Path, descriptor: int) -> bool:
    try:
        return lock.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
