"""Leases in the database: which processes there are, for those who cannot try their locks.

A process writes a row when it starts, renews it while it lives and removes it when it ends. Where its lock can be
tried (same home, same machine) the lock decides, at once and for certain. For a process of another machine the row is
the only evidence, and clocks of two machines do not agree: an observer goes by how long *it* has watched the row
without seeing it change, and counts only time in which it did watch.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import delete, select, update

import skillyard
from skillyard.database import Session
from skillyard.runtime.instance import is_alive
from skillyard.runtime.tables import LeaseRow
from skillyard.times import utcnow

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Time that goes on while the machine sleeps, because the world does; POSIX clocks stop where Linux's does not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a process runs. ``boot_id`` tells kernels apart that call themselves the same."""

    host: str
    boot_id: str | None

    @classmethod
    def this(cls) -> Machine:
        boot_id = _BOOT_ID.read_text().strip() if _BOOT_ID.is_file() else None
        return cls(platform.node()[:255] or "localhost", boot_id)

    def is_same(self, other: Machine) -> bool:
        """Either fact is enough: containers of one kernel have names of their own, a reboot changes the kernel's."""
        return self.host == other.host or (self.boot_id is not None and self.boot_id == other.boot_id)


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A process as its row tells it. Times are UTC by the clock of the machine it runs on."""

    id: str
    home_id: str
    machine: Machine
    pid: int
    version: str
    started_at: datetime
    heartbeat_at: datetime
    beats: int


def boot_clock() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


async def register(session: Session, lease: str, *, home_id: str, machine: Machine) -> None:
    """Write this process's row."""
    now = utcnow()
    session.add(
        LeaseRow(
            id=lease,
            home_id=home_id,
            host=machine.host,
            boot_id=machine.boot_id,
            pid=os.getpid(),
            version=skillyard.__version__,
            started_at=now,
            heartbeat_at=now,
            beats=0,
        )
    )
    await session.flush()


async def renew(session: Session, lease: str) -> bool:
    """Say that this process lives; false where its row is gone, because somebody took it for dead."""
    renewed = update(LeaseRow).where(LeaseRow.id == lease).values(heartbeat_at=utcnow(), beats=LeaseRow.beats + 1)
    found = await session.scalar(renewed.returning(LeaseRow.id))
    return found is not None


async def withdraw(session: Session, lease: str) -> None:
    """Remove a process's row, whatever it says."""
    await session.execute(delete(LeaseRow).where(LeaseRow.id == lease))


async def take_away(session: Session, seen: LeaseRecord) -> bool:
    """Remove the row of a process that was found dead; false where it was renewed since it was seen, or is gone."""
    gone = delete(LeaseRow).where(LeaseRow.id == seen.id, LeaseRow.beats == seen.beats)
    return await session.scalar(gone.returning(LeaseRow.id)) is not None


async def every(session: Session) -> tuple[LeaseRecord, ...]:
    """All rows, oldest process first."""
    rows = await session.scalars(select(LeaseRow).order_by(LeaseRow.started_at, LeaseRow.id))
    return tuple(_record(row) for row in rows)


def _record(row: LeaseRow) -> LeaseRecord:
    return LeaseRecord(
        id=row.id,
        home_id=row.home_id,
        machine=Machine(row.host, row.boot_id),
        pid=row.pid,
        version=row.version,
        started_at=row.started_at,
        heartbeat_at=row.heartbeat_at,
        beats=row.beats,
    )


@dataclass(slots=True)
class _Sighting:
    """What an observer last saw of a row, and for how many watched seconds it has been the same."""

    record: LeaseRecord
    unchanged: float = 0.0


class Observer:
    """Judges which processes are alive. Look at the rows (``observe``) after whatever the judgement is about."""

    def __init__(self, *, home: Path, home_id: str, ttl: float, longest_gap: float) -> None:
        """``ttl`` in seconds. Between two looks at most ``longest_gap`` seconds count as watched: an observer that was
        stopped, or that could not read the database, has seen nothing meanwhile, and nor could the others renew."""
        self._home = home
        self._home_id = home_id
        self._machine = Machine.this()
        self._ttl = ttl
        self._longest_gap = longest_gap
        self._seen: dict[str, _Sighting] = {}
        self._looked: float | None = None

    def observe(self, records: Iterable[LeaseRecord], *, now: float) -> None:
        """Take in all rows as they are ``now`` on ``boot_clock``."""
        watched = 0.0 if self._looked is None else min(now - self._looked, self._longest_gap)
        self._looked = now
        before, self._seen = self._seen, {}
        for record in records:
            sighting = before.get(record.id)
            same = sighting is not None and sighting.record.beats == record.beats
            self._seen[record.id] = _Sighting(record, sighting.unchanged + watched if same and sighting else 0.0)

    def is_alive(self, lease: str) -> bool:
        """Whether the process may still be there. Whom no row tells of, only a lock can speak for."""
        sighting = self._seen.get(lease)
        if sighting is None or self.can_try_lock(sighting.record):
            return is_alive(self._home, lease)
        return sighting.unchanged < self._ttl

    def can_try_lock(self, record: LeaseRecord) -> bool:
        return record.home_id == self._home_id and self._machine.is_same(record.machine)
