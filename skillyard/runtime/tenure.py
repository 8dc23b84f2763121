"""This process's hold on what it owns: its lease registered, renewed, and given up at the end.

Who cannot renew for longer than the lease lasts may have been taken for dead: its calls recorded as lost, its
containers removed. It admits nothing before it has registered again, and stops what still runs: what others have ended
does not come back (``AdmissionWriter.finish`` refuses a second end).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from skillyard.database import Database
from skillyard.errors import MachineError
from skillyard.runtime import leases
from skillyard.runtime.instance import Lease
from skillyard.runtime.leases import Machine, boot_clock

_log = structlog.get_logger("skillyard.tenure")


class LeaseLapsedError(MachineError):
    """The server could not renew its lease in time and takes no calls until it has; try again in a moment."""

    code = "lease_lapsed"


class Tenure:
    """Holds one lease between ``begin`` and ``end``. ``beat`` has to be called every few seconds in between."""

    def __init__(
        self, *, database: Database, lease: Lease, home_id: str, ttl: float, give_up_all: Callable[[], Awaitable[None]]
    ) -> None:
        """``ttl`` in seconds. ``give_up_all`` stops every sandbox and call of this process."""
        self._database = database
        self._lease = lease
        self._home_id = home_id
        self._ttl = ttl
        self._give_up_all = give_up_all
        self._renewed: float | None = None
        """When the last renewal that went through began, on ``boot_clock``: others cannot have seen it before."""

    @property
    def lease(self) -> str:
        return self._lease.id

    def require(self) -> None:
        """Raises ``LeaseLapsedError`` where this process may have been taken for dead."""
        if self._renewed is None or boot_clock() - self._renewed > self._ttl:
            raise LeaseLapsedError(f"the lease was not renewed for {self._ttl:g} s")

    async def begin(self) -> None:
        started = boot_clock()
        async with self._database.transaction() as session:
            await leases.register(session, self._lease.id, home_id=self._home_id, machine=Machine.this())
        self._renewed = started

    async def beat(self) -> None:
        """Renew, or start over where somebody took the lease away. Raises what the database raises."""
        started = boot_clock()
        intact = await asyncio.to_thread(self._lease.intact)
        async with self._database.transaction() as session:
            renewed = await leases.renew(session, self._lease.id)
        if intact and renewed:
            self._renewed = started
        else:
            await self._start_over(intact=intact)

    async def end(self) -> None:
        """Leave no row. Where the database does not take it, the dropped lock tells whoever sweeps next."""
        async with self._database.transaction() as session:
            await leases.withdraw(session, self._lease.id)

    async def _start_over(self, *, intact: bool) -> None:
        """What ran under the lease is not ours any more; then the same lease is taken anew."""
        self._renewed = None
        _log.error("lease_lost", lease=self._lease.id, lock_file="held" if intact else "removed")
        if not intact:
            await asyncio.to_thread(self._lease.restore)
        await self._give_up_all()
        started = boot_clock()
        async with self._database.transaction() as session:
            await leases.withdraw(session, self._lease.id)
            await leases.register(session, self._lease.id, home_id=self._home_id, machine=Machine.this())
        self._renewed = started
        _log.warning("lease_taken_again", lease=self._lease.id)
