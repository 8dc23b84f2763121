"""Which process owns what: a home folder's identity, and this process's lease on the things it starts.

A lease is a file that its process holds locked. The kernel drops the lock at any death of the process, so "is the
owner alive" needs no heartbeat: whoever can take the lock knows that the owner is gone.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Lease:
    """This process's lease. Holds an open, locked file until ``release``."""

    id: str
    _path: Path
    _descriptor: int

    def release(self) -> None:
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
    folder = home / "leases"
    folder.mkdir(parents=True, exist_ok=True)
    lease = uuid.uuid4().hex
    hidden, path = folder / f".{lease}", folder / lease
    descriptor = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    hidden.rename(path)
    return Lease(lease, path, descriptor)


def is_alive(home: Path, lease: str) -> bool:
    """Whether some process, this one included, holds the lease."""
    try:
        descriptor = os.open(home / "leases" / lease, os.O_RDWR | os.O_CLOEXEC)
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


def sweep_leases(home: Path) -> tuple[str, ...]:
    """Remove the lease files of dead processes; returns their ids."""
    folder = home / "leases"
    dead = tuple(path.name for path in folder.glob("[0-9a-f]*") if not is_alive(home, path.name))
    for lease in dead:
        (folder / lease).unlink(missing_ok=True)
    return dead
