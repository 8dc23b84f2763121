"""Started sandboxes, kept warm per skill version and lent to one call at a time.

All state is touched on the event loop only and never across an ``await``, so no lock is needed. Starting a sandbox
runs in a task of its own: a caller waits for whichever comes first, a started sandbox or one that another call gives
back, and starting one never blocks calls to others.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import structlog

from skillyard.ids import SkillVersionId
from skillyard.runtime.errors import QueueFullError, ShuttingDownError
from skillyard.sandbox.sandbox import RunningSandbox

_log = structlog.get_logger("skillyard.pool")

Starter = Callable[[], Awaitable[RunningSandbox]]


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


@dataclass(slots=True)
class _Idle:
    sandbox: RunningSandbox
    since: float


@dataclass(slots=True)
class _Slot:
    """One skill version's share of the pool."""

    start: Starter | None = None
    idle: list[_Idle] = field(default_factory=list)
    busy: set[RunningSandbox] = field(default_factory=set)
    starting: int = 0
    waiters: deque[asyncio.Future[RunningSandbox]] = field(default_factory=deque)
    claims: int = 0
    stopped: str | None = None
    unclaimed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def size(self) -> int:
        return len(self.idle) + len(self.busy) + self.starting

    @property
    def empty(self) -> bool:
        return not (self.size or self.waiters or self.claims)


class Pool:
    """Lends sandboxes. ``close`` stops every one of them."""

    def __init__(self, *, limits: PoolLimits) -> None:
        self._limits = limits
        self._slots: dict[SkillVersionId, _Slot] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._sweeper: asyncio.Task[None] | None = None

    def counts(self, version: SkillVersionId | None = None) -> PoolCounts:
        slots = self._slots.values() if version is None else filter(None, [self._slots.get(version)])
        held = list(slots)
        return PoolCounts(
            idle=sum(len(slot.idle) for slot in held),
            busy=sum(len(slot.busy) for slot in held),
            starting=sum(slot.starting for slot in held),
            waiting=sum(len(slot.waiters) for slot in held),
        )

    @property
    def versions(self) -> tuple[SkillVersionId, ...]:
        """Versions that have a sandbox, or a call waiting for one."""
        return tuple(self._slots)

    @contextmanager
    def claim(self, version: SkillVersionId) -> Iterator[None]:
        """Counts a call from before its admission to its end, so that ``retire`` waits for it."""
        slot = self._slot(version)
        slot.claims += 1
        slot.unclaimed.clear()
        try:
            yield
        finally:
            slot.claims -= 1
            if not slot.claims:
                slot.unclaimed.set()
            self._forget(version)

    @asynccontextmanager
    async def lease(self, version: SkillVersionId, start: Starter) -> AsyncIterator[RunningSandbox]:
        """A sandbox of this version for one call; raises ``QueueFullError`` or what ``start`` raised."""
        sandbox = await self._take(version, start)
        try:
            yield sandbox
        finally:
            self._give_back(version, sandbox)

    def add(self, version: SkillVersionId, sandbox: RunningSandbox, start: Starter) -> None:
        """Hand over a sandbox that was started and checked elsewhere; from now on it is the pool's."""
        slot = self._slot(version)
        slot.start = start
        slot.busy.add(sandbox)
        self._give_back(version, sandbox)

    async def retire(self, version: SkillVersionId, *, timeout: float) -> bool:
        """Wait until no call claims the version, then stop its sandboxes. False where the time ran out first."""
        drained = True
        slot = self._slots.get(version)
        if slot is None:
            return True
        if slot.claims:
            try:
                async with asyncio.timeout(timeout):
                    await slot.unclaimed.wait()
            except TimeoutError:
                drained = False
        await self.stop(version)
        return drained

    def stop_reason(self, version: SkillVersionId) -> str | None:
        """Why calls in sandboxes of this version were cut short, if they were."""
        slot = self._slots.get(version)
        return slot.stopped if slot is not None else None

    async def stop(self, version: SkillVersionId, *, reason: str | None = None) -> int:
        """Stop every sandbox of the version now, also those with a call in them; how many there were."""
        slot = self._slots.get(version)
        if slot is None:
            return 0
        slot.stopped = reason
        victims = [item.sandbox for item in slot.idle] + list(slot.busy)
        slot.idle.clear()
        await asyncio.gather(*(sandbox.stop() for sandbox in victims))
        self._forget(version)
        self._serve()
        return len(victims)

    async def close(self) -> None:
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for slot in self._slots.values():
            for waiter in slot.waiters:
                if not waiter.done():
                    waiter.set_exception(ShuttingDownError("the server is stopping"))
            slot.waiters.clear()
        await asyncio.gather(*(self.stop(version) for version in list(self._slots)))
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # Taking and giving back

    async def _take(self, version: SkillVersionId, start: Starter) -> RunningSandbox:
        if self._closed:
            raise ShuttingDownError("the server is stopping")
        slot = self._slot(version)
        slot.start = start
        while slot.idle and not slot.waiters:
            sandbox = slot.idle.pop().sandbox
            if sandbox.alive:
                slot.busy.add(sandbox)
                return sandbox
            self._stop_soon(sandbox)
        waiting = sum(len(other.waiters) for other in self._slots.values())
        if waiting >= self._limits.queue:
            raise QueueFullError(waiting=waiting, retry_after=1.0)
        waiter: asyncio.Future[RunningSandbox] = asyncio.get_running_loop().create_future()
        slot.waiters.append(waiter)
        self._serve()
        try:
            return await waiter
        except asyncio.CancelledError:
            # A sandbox may have been lent to a caller who left in the same turn of the loop.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(version, waiter.result())
            elif waiter in slot.waiters:
                slot.waiters.remove(waiter)
            self._forget(version)
            raise

    def _give_back(self, version: SkillVersionId, sandbox: RunningSandbox) -> None:
        slot = self._slots[version]
        slot.busy.discard(sandbox)
        if sandbox.alive and not self._closed:
            self._lend_or_keep(slot, sandbox)
        else:
            self._stop_soon(sandbox)
        self._forget(version)
        self._serve()

    def _lend_or_keep(self, slot: _Slot, sandbox: RunningSandbox) -> None:
        while slot.waiters:
            waiter = slot.waiters.popleft()
            if not waiter.done():
                slot.busy.add(sandbox)
                waiter.set_result(sandbox)
                return
        slot.idle.append(_Idle(sandbox, time.monotonic()))
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep())

    # Starting and stopping

    def _serve(self) -> None:
        """Start what waiting calls need, within the limits; the least recently used idle sandbox makes room."""
        if self._closed:
            return
        for version, slot in list(self._slots.items()):
            while len(slot.waiters) > slot.starting and slot.size < self._limits.per_version:
                if self._size() >= self._limits.total and not self._evict(slot):
                    return
                self._start_soon(version, slot)

    def _size(self) -> int:
        return sum(slot.size for slot in self._slots.values())

    def _evict(self, wanting: _Slot) -> bool:
        candidates = [
            (item.since, slot, item) for slot in self._slots.values() if slot is not wanting for item in slot.idle
        ]
        if not candidates:
            return False
        _, slot, item = min(candidates, key=lambda candidate: candidate[0])
        slot.idle.remove(item)
        self._stop_soon(item.sandbox)
        return True

    def _start_soon(self, version: SkillVersionId, slot: _Slot) -> None:
        assert slot.start is not None, "a slot with waiters has been given its starter"  # noqa: S101 - invariant
        slot.starting += 1
        self._spawn(self._start(version, slot, slot.start))

    async def _start(self, version: SkillVersionId, slot: _Slot, start: Starter) -> None:
        try:
            sandbox = await start()
        except BaseException as error:
            slot.starting -= 1
            if not slot.size:
                self._fail(slot, error)
            else:
                _log.error("sandbox_start_failed", version=version, error=str(error))
            self._forget(version)
            if not isinstance(error, Exception):
                raise
            self._serve()
            return
        slot.starting -= 1
        slot.busy.add(sandbox)
        self._slots.setdefault(version, slot)
        self._give_back(version, sandbox)

    def _fail(self, slot: _Slot, error: BaseException) -> None:
        reason = error if isinstance(error, Exception) else ShuttingDownError("the server is stopping")
        for waiter in slot.waiters:
            if not waiter.done():
                waiter.set_exception(reason)
        slot.waiters.clear()

    def _stop_soon(self, sandbox: RunningSandbox) -> None:
        self._spawn(sandbox.stop())

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("pool_task_failed", error=str(error))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(max(self._limits.idle_seconds / 4, 0.05))
            limit = time.monotonic() - self._limits.idle_seconds
            for version, slot in list(self._slots.items()):
                for item in [item for item in slot.idle if item.since < limit or not item.sandbox.alive]:
                    slot.idle.remove(item)
                    self._stop_soon(item.sandbox)
                self._forget(version)

    # Slots

    def _slot(self, version: SkillVersionId) -> _Slot:
        return self._slots.setdefault(version, _Slot())

    def _forget(self, version: SkillVersionId) -> None:
        slot = self._slots.get(version)
        if slot is not None and slot.empty:
            del self._slots[version]
