"""Started sandboxes, kept warm per place (a version and its lock) and lent to one call at a time.

All state is touched on the event loop only and never across an ``await``, so no lock is needed. Starting a sandbox
runs in a task of its own: a caller waits for whichever comes first, a started sandbox or one that another call gives
back, and starting one never blocks calls to others. A call claims its place before it is admitted, so that whatever
stops a version finds every call that may still run in it: running, waiting, or on its way to the pool.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import structlog

from skillyard.ids import SkillVersionId
from skillyard.runtime.errors import QueueFullError, RuntimeRefusalError, ShuttingDownError, VersionStoppedError
from skillyard.runtime.slots import Claim, Idle, Place, Slot, StartSandbox
from skillyard.sandbox.sandbox import RunningSandbox

_log = structlog.get_logger("skillyard.pool")

_SETTLE_SECONDS = 30.0
"""How long stopping waits for starts to undo themselves, and closing for calls to record their ends."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Counts, and seconds a warm sandbox may be unused."""

    total: int
    per_version: int
    queue: int
    idle_seconds: float


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """What the pool holds at this moment; every figure is counted, none is remembered."""

    idle: int
    busy: int
    starting: int
    waiting: int


class Pool:
    """Lends sandboxes. ``close`` stops every one of them."""

    def __init__(self, *, limits: PoolLimits) -> None:
        self._limits = limits
        self._slots: dict[Place, Slot] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = 0
        self._closed = False
        self._sweeper: asyncio.Task[None] | None = None

    def counts(self, version: SkillVersionId | None = None) -> PoolCounts:
        slots = list(self._slots.values()) if version is None else self._of(version)
        return PoolCounts(
            idle=sum(len(slot.idle) for slot in slots),
            busy=sum(len(slot.busy) for slot in slots),
            starting=sum(len(slot.starts) for slot in slots),
            waiting=sum(len(slot.waiting) for slot in slots),
        )

    @property
    def places(self) -> tuple[Place, ...]:
        """Places that have a sandbox, or a call that claims them."""
        return tuple(self._slots)

    @contextmanager
    def claim(self, place: Place) -> Iterator[Claim]:
        """Counts a call from before its admission to its end, so that ``retire`` waits for it and ``stop`` finds it.

        Raises ``ShuttingDownError`` once the pool is closed: then nothing is admitted that could not be served.
        """
        if self._closed:
            raise ShuttingDownError("the server is stopping")
        claim = Claim(place)
        slot = self._slots.get(place) or self._slots.setdefault(place, Slot())
        slot.claims.add(claim)
        try:
            yield claim
        finally:
            slot.claims.discard(claim)
            claim.ended.set()
            self._forget(place, slot)

    @asynccontextmanager
    async def lease(self, claim: Claim, start: StartSandbox) -> AsyncIterator[RunningSandbox]:
        """A sandbox of the claimed place, for a block inside the claim's.

        Raises ``QueueFullError``, why the claim was stopped, or what ``start`` raised.
        """
        slot = self._slots[claim.place]
        sandbox = await self._take(slot, claim, start)
        try:
            yield sandbox
        finally:
            self._give_back(slot, claim, sandbox)

    # Stopping

    async def retire(self, version: SkillVersionId, *, timeout: float, reason: str) -> bool:
        """Wait for the calls that claim the version now, then stop what is idle. False where the time ran out first.

        Those calls are cut short then. Calls that came later, for one to a version that was pinned, are left alone,
        and so is what they keep busy.
        """
        claims = [claim for slot in self._of(version) for claim in slot.claims]
        try:
            async with asyncio.timeout(timeout):
                for claim in claims:
                    await claim.ended.wait()
        except TimeoutError:
            late = [claim for claim in claims if not claim.ended.is_set()]
            await self._stop_all(self._cut(late, VersionStoppedError(reason)))
            return False
        finally:
            for place in [place for place in self._slots if place.version == version]:
                self.drop_idle(place)
        return True

    def drop_idle(self, place: Place) -> None:
        """Stop the sandboxes that stand ready and that no call is about to take; busy ones are left to their calls."""
        slot = self._slots.get(place)
        if slot is not None and not slot.claims:
            self._drop(slot)
            self._forget(place, slot)

    async def stop(self, version: SkillVersionId, *, reason: str) -> int:
        """Stop everything of a version now: calls that run or wait, and sandboxes that stand ready or are starting.

        Answers how many sandboxes that were, once they are gone. Raises what stopping raised, after all were tried.
        """
        slots = self._of(version)
        starts = [task for slot in slots for task in slot.starts]
        running = self._cut([claim for slot in slots for claim in slot.claims], VersionStoppedError(reason))
        victims = {*running, *(item.sandbox for slot in slots for item in slot.idle)}
        victims |= {sandbox for slot in slots for sandbox in slot.busy}
        for slot in slots:
            slot.idle.clear()
        self._cancel(starts)
        await self._stop_all(victims)
        if starts:
            await asyncio.wait(starts, timeout=_SETTLE_SECONDS)
        self._forget_empty()
        self._serve()
        return len(victims) + len(starts)

    async def close(self) -> None:
        """Cut every call short, stop every sandbox, and wait until the calls have ended. Failures are logged.

        A container whose removal fails is removed by its guest, whose channel is closed, or at the next start.
        """
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        slots = list(self._slots.values())
        claims = [claim for slot in slots for claim in slot.claims]
        running = self._cut(claims, ShuttingDownError("the server is stopping"))
        victims = {*running, *(item.sandbox for slot in slots for item in slot.idle)}
        for slot in slots:
            slot.idle.clear()
            self._cancel(slot.starts)
        for sandbox in victims:
            self._stop_soon(sandbox)
        await self._settle(claims)

    async def _settle(self, claims: Iterable[Claim]) -> None:
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                for claim in claims:
                    await claim.ended.wait()
        except TimeoutError:
            _log.error("calls_did_not_end", calls=sum(not claim.ended.is_set() for claim in claims))
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cut(self, claims: Iterable[Claim], error: RuntimeRefusalError) -> set[RunningSandbox]:
        cut = (self._slots[claim.place].cut(claim, error) for claim in claims)
        return {sandbox for sandbox in cut if sandbox is not None}

    async def _stop_all(self, sandboxes: Iterable[RunningSandbox]) -> None:
        done = await asyncio.gather(*(sandbox.stop() for sandbox in sandboxes), return_exceptions=True)
        for failure in done:
            if isinstance(failure, BaseException):
                raise failure

    @staticmethod
    def _cancel(starts: Iterable[asyncio.Task[None]]) -> None:
        for task in starts:
            # Once is enough: a start that is undoing itself must not be disturbed in that.
            if not task.cancelling():
                task.cancel()

    # Taking and giving back

    async def _take(self, slot: Slot, claim: Claim, start: StartSandbox) -> RunningSandbox:
        if claim.stopped is not None:
            raise claim.stopped
        slot.start = start
        while slot.idle and not slot.waiting:
            sandbox = slot.idle.pop().sandbox
            if sandbox.alive:
                slot.busy.add(sandbox)
                claim.sandbox, claim.served = sandbox, True
                return sandbox
            self._stop_soon(sandbox)
        return await self._wait(slot, claim)

    async def _wait(self, slot: Slot, claim: Claim) -> RunningSandbox:
        # A call that a sandbox is started for at once is not in the queue: it waits for nobody.
        waiting = sum(max(0, len(other.waiting) - len(other.starts)) for other in self._slots.values())
        if waiting >= self._limits.queue and not self._can_start(slot):
            raise QueueFullError(waiting=waiting, retry_after=1.0)
        self._turns += 1
        claim.turn = self._turns
        claim.waiter = asyncio.get_running_loop().create_future()
        slot.waiting.append(claim)
        self._serve()
        try:
            return await claim.waiter
        except asyncio.CancelledError:
            # A sandbox may have been lent to a caller who left in the same turn of the loop.
            if claim.sandbox is not None:
                self._give_back(slot, claim, claim.sandbox)
            elif claim in slot.waiting:
                slot.waiting.remove(claim)
            raise

    def _give_back(self, slot: Slot, claim: Claim, sandbox: RunningSandbox) -> None:
        claim.sandbox = None
        slot.busy.discard(sandbox)
        slot.start_failed = False
        if claim.stopped is None:
            self._keep(slot, sandbox)
        else:
            self._stop_soon(sandbox)
        self._serve()

    def _keep(self, slot: Slot, sandbox: RunningSandbox) -> None:
        """Lend the sandbox on, or keep it warm; a place where calls waited longer and that has none comes first."""
        if self._closed or not sandbox.alive or self._yields(slot):
            self._stop_soon(sandbox)
        elif not slot.lend(sandbox):
            slot.idle.append(Idle(sandbox, time.monotonic()))
            if self._sweeper is None:
                self._sweeper = asyncio.create_task(self._sweep())

    def _yields(self, slot: Slot) -> bool:
        if not slot.waiting or self._size() + 1 < self._limits.total:
            return False
        turn = slot.waiting[0].turn
        return any(other.waiting and not other.size and other.waiting[0].turn < turn for other in self._slots.values())

    # Starting

    def _serve(self) -> None:
        """Start what waiting calls need, within the limits; the least recently used idle sandbox makes room."""
        hungry = [slot for slot in self._slots.values() if slot.waiting]
        if not hungry or self._closed:
            return
        for slot in sorted(hungry, key=lambda slot: slot.waiting[0].turn):
            while slot.wants_start and slot.size < self._limits.per_version:
                if self._size() >= self._limits.total and not self._evict(slot):
                    return
                self._start_soon(slot)

    def _can_start(self, slot: Slot) -> bool:
        if slot.size >= self._limits.per_version or (slot.start_failed and slot.size):
            return False
        return self._size() < self._limits.total or any(
            other.idle for other in self._slots.values() if other is not slot
        )

    def _size(self) -> int:
        return sum(slot.size for slot in self._slots.values())

    def _evict(self, wanting: Slot) -> bool:
        candidates = [
            (item.since, slot, item) for slot in self._slots.values() if slot is not wanting for item in slot.idle
        ]
        if not candidates:
            return False
        _, slot, item = min(candidates, key=lambda candidate: candidate[0])
        slot.idle.remove(item)
        self._stop_soon(item.sandbox)
        return True

    def _start_soon(self, slot: Slot) -> None:
        assert slot.start is not None, "a slot with waiting calls has been given its starter"  # noqa: S101 - invariant
        task = asyncio.create_task(self._start(slot, slot.start))
        slot.starts.add(task)
        self._track(task)
        task.add_done_callback(lambda done: self._started(slot, done))

    async def _start(self, slot: Slot, start: StartSandbox) -> None:
        task = asyncio.current_task()
        assert task is not None, "starts are tasks"  # noqa: S101 - invariant
        sandbox = await start()
        if task.cancelling():
            # Whoever cancelled it counts on this sandbox not being there, also where the start did not notice.
            await sandbox.stop()
            return
        # From being started to being lent in one step: nothing can come between.
        slot.starts.discard(task)
        slot.start_failed = False
        self._keep(slot, sandbox)

    def _started(self, slot: Slot, done: asyncio.Task[None]) -> None:
        slot.starts.discard(done)
        if not done.cancelled() and (error := done.exception()) is not None:
            self._start_failed(slot, error)
        self._forget_empty()
        self._serve()

    def _start_failed(self, slot: Slot, error: BaseException) -> None:
        if slot.size:
            slot.start_failed = True
            _log.error("sandbox_start_failed", error=str(error))
        else:
            slot.fail(error if isinstance(error, Exception) else ShuttingDownError("the server is stopping"))

    # Tasks

    def _drop(self, slot: Slot) -> None:
        for item in slot.idle:
            self._stop_soon(item.sandbox)
        slot.idle.clear()

    def _stop_soon(self, sandbox: RunningSandbox) -> None:
        task = asyncio.create_task(self._stop_one(sandbox))
        self._track(task)

    @staticmethod
    async def _stop_one(sandbox: RunningSandbox) -> None:
        try:
            await sandbox.stop()
        except Exception as error:  # noqa: BLE001 - nobody waits for this: the log is who must hear it
            _log.error("sandbox_not_stopped", error=str(error))

    def _track(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(max(self._limits.idle_seconds / 4, 0.05))
            limit = time.monotonic() - self._limits.idle_seconds
            for slot in self._slots.values():
                for item in [item for item in slot.idle if item.since < limit or not item.sandbox.alive]:
                    slot.idle.remove(item)
                    self._stop_soon(item.sandbox)
            self._forget_empty()

    # Slots

    def _of(self, version: SkillVersionId) -> list[Slot]:
        return [slot for place, slot in self._slots.items() if place.version == version]

    def _forget(self, place: Place, slot: Slot) -> None:
        if slot.empty and self._slots.get(place) is slot:
            del self._slots[place]

    def _forget_empty(self) -> None:
        for place, slot in list(self._slots.items()):
            self._forget(place, slot)
