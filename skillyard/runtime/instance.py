"""Which process owns what: a home folder's identity, and this process's lease on the things it starts.

A lease is a file that its process holds locked. The kernel drops the lock at any death of the process, so whoever
can take the lock knows that the owner is gone. That answer is quick and certain, and only on the machine where the
process runs: for all others there is a row in the database (see ``leases``).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
import uuid
from pathlib import Path

_ID = re.compile(r"[0-9a-f]{32}")
_HALF_MADE_SECONDS = 3600.0
"""A lease takes microseconds to make; what is still half made after this long was never finished."""


class Lease:
    """This process's lease: an open, locked file under the lease's name, until ``release``."""

    def __init__(self, home: Path, lease_id: str, descriptor: int) -> None:
        self.id = lease_id
        self._home = home
        self._descriptor = descriptor

    @property
    def _path(self) -> Path:
        return _folder(self._home) / self.id

    def intact(self) -> bool:
        """Whether others can still see that this lease is held: its file is there, and is the one we hold."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def restore(self) -> None:
        """Put a held file back under the lease's name, after somebody removed ours."""
        descriptor = _locked_file(self._home, self.id)
        os.close(self._descriptor)
        self._descriptor = descriptor

    def release(self) -> None:
        if self.intact():
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def home_id(home: Path) -> str:
    """A random identity of the home folder, made once; containers carry it as ``skillyard.instance``."""
    path = home / "instance-id"
    home.mkdir(parents=True, exist_ok=True)
    candidate = home / f".instance-id.{uuid.uuid4().hex}"
    if not path.exists():
        candidate.write_text(uuid.uuid4().hex)
        try:
            os.link(candidate, path)
        except FileExistsError:
            pass  # Another process was first; its identity is the one.
        finally:
            candidate.unlink()
    return path.read_text().strip()


def take_lease(home: Path) -> Lease:
    """A new lease, locked before anybody can see it."""
    lease = uuid.uuid4().hex
    return Lease(home, lease, _locked_file(home, lease))


def is_alive(home: Path, lease: str) -> bool:
    """Whether some process of this machine, this one included, holds the lease."""
    if not _ID.fullmatch(lease):
        return False  # Nobody took it here: labels and folder names may say anything.
    try:
        descriptor = os.open(_folder(home) / lease, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def lease_files(home: Path) -> tuple[str, ...]:
    """The leases that have a file, alive or dead, sorted."""
    return tuple(sorted(path.name for path in _folder(home).glob("*") if _ID.fullmatch(path.name)))


def sweep_leases(home: Path) -> tuple[str, ...]:
    """Remove the lease files of dead processes; returns their ids."""
    dead = tuple(lease for lease in lease_files(home) if not is_alive(home, lease))
    for lease in dead:
        (_folder(home) / lease).unlink(missing_ok=True)
    for half_made in _folder(home).glob(".*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - half_made.stat().st_mtime > _HALF_MADE_SECONDS:
                half_made.unlink()
    return dead


def _folder(home: Path) -> Path:
    return home / "leases"


def _locked_file(home: Path, lease: str) -> int:
    """A locked file under the lease's name; the descriptor holds the lock."""
    folder = _folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    hidden = folder / f".{lease}"
    descriptor = os.open(hidden, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    hidden.rename(folder / lease)
    return descriptor
