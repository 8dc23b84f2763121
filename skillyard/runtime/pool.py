"""Started sandboxes, kept warm per place (a version and its lock) and lent to one call at a time.

All state is touched on the event loop only and never across an ``await``, so no lock is needed. Starting a sandbox
runs in a task of its own: a caller waits for whichever comes first, a started sandbox or one that another call gives
back, and starting one never blocks calls to others. A call claims its place before it is admitted, so that whatever
stops a version finds every call that may still run in it: running, waiting, or on its way to the pool.

Who is served when is in ``lending`` and ``line``, what there is room for in ``capacity``, the containers in ``stock``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType

import structlog

from skillyard.governance.quotas import Quotas
from skillyard.ids import SkillVersionId, WorkspaceId
from skillyard.runtime.counts import PoolCounts, PoolStatus
from skillyard.runtime.errors import RuntimeRefusalError, ShuttingDownError, VersionStoppedError
from skillyard.runtime.ledger import Ledger, PoolLimits
from skillyard.runtime.lending import Lender
from skillyard.runtime.slots import Claim, Place, Slot, StartSandbox
from skillyard.runtime.warm import Upkeep, Warmth
from skillyard.sandbox.sandbox import RunningSandbox
from skillyard.skills.permissions import Granted

_log = structlog.get_logger("skillyard.pool")

_SETTLE_SECONDS = 30.0
"""How long stopping waits for starts to undo themselves, and closing for calls to record their ends."""


class Pool:
    """Lends sandboxes. ``close`` stops every one of them."""

    def __init__(self, *, limits: PoolLimits) -> None:
        self._ledger = Ledger(limits)
        self._lender = Lender(
            ledger=self._ledger, wait_seconds=limits.wait_seconds, used=self._used, unwanted_start=self._not_warmed
        )
        self._upkeep = Upkeep(ledger=self._ledger, lender=self._lender, idle_seconds=limits.idle_seconds)
        self._closed = False

    def keep_warm(self, warmth: Warmth) -> None:
        """From now on keep some sandboxes warm of every place that is called."""
        self._upkeep.keep(warmth)

    def counts(self, version: SkillVersionId | None = None) -> PoolCounts:
        """What is there now, of one version or of all."""
        return self._ledger.counts(version)

    def status(self, workspace: WorkspaceId | None = None) -> PoolStatus:
        """What is there now and what happened since the start, of one workspace or of all."""
        return self._ledger.status(workspace)

    @property
    def places(self) -> tuple[Place, ...]:
        """Places that have a sandbox, or a call that claims them."""
        return tuple(slot.place for slot in self._ledger.slots)

    @contextmanager
    def claim(self, place: Place, granted: Granted) -> Iterator[Claim]:
        """Counts a call from before its admission to its end, so that ``retire`` waits for it and ``stop`` finds it.

        Raises ``ShuttingDownError`` once the pool is closed: then nothing is admitted that could not be served.
        """
        if self._closed:
            raise ShuttingDownError("the server is stopping")
        slot = self._ledger.slot(place, granted)
        claim = Claim(slot)
        slot.claims.add(claim)
        try:
            yield claim
        finally:
            slot.claims.discard(claim)
            claim.end()
            if slot.retired:
                # It may have come by just as the idle sandboxes were to go.
                self.drop_idle(place)
            self._ledger.forget(slot)

    def lease(self, claim: Claim, start: StartSandbox) -> Lease:
        """A sandbox of the claimed place, for an ``async with`` block inside the claim's.

        Entering it raises ``QueueFullError``, ``QueueTimeoutError``, ``SandboxTooLargeError``, why the claim was
        stopped, or what ``start`` raised.
        """
        return Lease(self._lender, claim, start)

    def cap(self, workspace: WorkspaceId, quotas: Quotas) -> None:
        """From now on these are the workspace's quotas: caps in the place of the defaults. Costs nothing where it
        has been told so before."""
        party = self._ledger.cap(workspace, quotas)
        if party is not None:
            self._lender.fit(party)

    # Stopping

    async def retire(self, version: SkillVersionId, *, timeout: float, reason: str) -> bool:
        """Wait for the calls that claim the version now, then stop what is idle. False where the time ran out first.

        Those calls are cut short then. Calls that came later, for one to a version that was pinned, are left alone,
        and so is what they keep busy.
        """
        claims = [claim for slot in self._ledger.of(version) for claim in slot.claims]
        try:
            async with asyncio.timeout(timeout):
                for claim in claims:
                    await claim.ended()
        except TimeoutError:
            late = [claim for claim in claims if not claim.is_over]
            self._keep_nothing(version)
            await _all_done(_stop_each(self._cut(late, VersionStoppedError(reason))))
            return False
        # Whoever cancels this does so because the version is called again: then it stays as warm as it is.
        self._keep_nothing(version)
        return True

    def _keep_nothing(self, version: SkillVersionId) -> None:
        for slot in self._ledger.of(version):
            slot.retired = True
            self._upkeep.forget(slot.place)
            self.drop_idle(slot.place)

    def drop_idle(self, place: Place) -> None:
        """Stop the sandboxes that stand ready and that no call is about to take; busy ones are left to their calls."""
        slot = self._ledger.find(place)
        if slot is not None and not slot.claims:
            self._upkeep.forget(place)
            self._lender.stock.drop(slot, slot.idle)
            self._ledger.forget(slot)
            self._lender.serve()

    async def stop(self, version: SkillVersionId, *, reason: str) -> int:
        """Stop everything of a version now: calls that run or wait, and sandboxes that stand ready or are starting.

        Answers how many sandboxes that were, once they are gone. Raises what stopping raised, after all were tried.
        """
        slots = self._ledger.of(version)
        starts = [task for slot in slots for task in slot.starts]
        busy = {sandbox for slot in slots for sandbox in slot.busy}
        self._cut([claim for slot in slots for claim in slot.claims], VersionStoppedError(reason))
        stops = [*_stop_each(busy), *(task for slot in slots for task in self._lender.stock.drop(slot, slot.idle))]
        self._lender.stock.cancel(starts)
        for slot in slots:
            self._upkeep.forget(slot.place)
        await _all_done(stops)
        if starts:
            await asyncio.wait(starts, timeout=_SETTLE_SECONDS)
        self._lender.serve()
        return len(stops) + len(starts)

    async def close(self) -> None:
        """Cut every call short, stop every sandbox, and wait until the calls have ended. Failures are logged.

        A container whose removal fails is removed by its guest, whose channel is closed, or at the next start.
        """
        self._closed = True
        self._lender.close()
        await self._upkeep.close()
        slots = self._ledger.slots
        claims = [claim for slot in slots for claim in slot.claims]
        running = self._cut(claims, ShuttingDownError("the server is stopping"))
        stops = _stop_each(running)
        for slot in slots:
            self._lender.stock.drop(slot, slot.idle)
            self._lender.stock.cancel(slot.starts)
        for failure in await asyncio.gather(*stops, return_exceptions=True):
            if failure is not None:
                _log.error("sandbox_not_stopped", error=str(failure))
        await self._settle(claims)

    async def _settle(self, claims: Iterable[Claim]) -> None:
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                for claim in claims:
                    await claim.ended()
        except TimeoutError:
            _log.error("calls_did_not_end", calls=sum(not claim.is_over for claim in claims))
        await self._lender.stock.settle()

    def _cut(self, claims: Iterable[Claim], error: RuntimeRefusalError) -> set[RunningSandbox]:
        """End calls; answers the sandboxes that those were lent which run already."""
        every = list(claims)
        for claim in every:
            self._lender.cut(claim, error)
        return {claim.sandbox for claim in every if claim.sandbox is not None}

    # What the lender tells

    def _used(self, slot: Slot) -> None:
        self._upkeep.used(slot)

    def _not_warmed(self, slot: Slot) -> None:
        self._upkeep.failed(slot)


class Lease:
    """A sandbox for the length of an ``async with`` block. Entering waits for nothing where one stands ready."""

    __slots__ = ("_claim", "_lender", "_sandbox", "_start")

    def __init__(self, lender: Lender, claim: Claim, start: StartSandbox) -> None:
        self._lender = lender
        self._claim = claim
        self._start = start

    async def __aenter__(self) -> RunningSandbox:
        self._sandbox = await self._lender.take(self._claim, self._start)
        return self._sandbox

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lender.give_back(self._claim, self._sandbox)


def _stop_each(sandboxes: Iterable[RunningSandbox]) -> list[asyncio.Task[None]]:
    """As tasks of their own: whoever waits for them and leaves must not take them along."""
    return [asyncio.create_task(_stop(sandbox)) for sandbox in sandboxes]


async def _stop(sandbox: RunningSandbox) -> None:
    await sandbox.stop()


async def _all_done(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Raises what the first one that failed raised, after all have ended."""
    for done in await asyncio.shield(asyncio.gather(*tasks, return_exceptions=True)):
        if isinstance(done, BaseException):
            raise done
