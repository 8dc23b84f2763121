"""Turns on an SQLite file: who writes next, among all processes.

SQLite lets one writer in at a time. Who finds its lock taken sleeps, longer each time, and tries again, so a writer
that begins anew as soon as it has ended is never caught between two transactions: under load the writer of calls kept
a ban waiting for a second. Hence a gate, a lock on a file beside the database: whoever wants to write passes it, waits
for SQLite's lock inside, and leaves it as soon as it has that. One who has just written finds the gate taken by who is
next, and has to wait like everybody else.

The kernel opens the gate when its holder dies. One that is stopped while it holds it is passed after a while: the gate
is for fairness alone, and SQLite's lock is what counts.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from pathlib import Path

GATE_SECONDS = 2.0
"""How long anybody waits at the gate, at most."""

LOOK_SECONDS = 0.0005
"""How long who waits sleeps between two looks."""

_DISTRUST_SECONDS = 5.0


class Gate:
    """One who may want to write. For one thread."""

    def __init__(self, path: Path) -> None:
        """``path`` is the database. Raises ``OSError`` where there is no place for the file."""
        self._descriptor = os.open(path.with_name(path.name + ".gate"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._ignored_until = 0.0

    def try_enter(self) -> bool:
        """True inside the gate, and where there is none: some file systems have no such locks."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def enter(self) -> None:
        """Return inside the gate, or after two seconds in front of it; it is then passed by for some more."""
        began = time.monotonic()
        if began < self._ignored_until:
            return
        while not self.try_enter():
            time.sleep(LOOK_SECONDS)
            if time.monotonic() - began > GATE_SECONDS:
                self._ignored_until = time.monotonic() + _DISTRUST_SECONDS
                return

    def leave(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._descriptor)


def is_locked(error: BaseException | None) -> bool:
    """Whether another connection holds the lock, which time will heal."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
