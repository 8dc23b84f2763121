"""Calls of a pool that lends small objects which keep count, thousands a second, and what a test does with them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from skillyard.ids import LockDigest, SkillVersionId, WorkspaceId
from skillyard.runtime.capacity import Caps
from skillyard.runtime.counts import PoolCounts
from skillyard.runtime.ledger import PoolLimits
from skillyard.runtime.pool import Pool
from skillyard.runtime.slots import Place
from skillyard.skills.permissions import MIB, Granted

LIMITS = PoolLimits(total=Caps(), workspace=Caps(), per_version=4, idle_seconds=300, wait_seconds=300)
GRANTED = Granted(256 * MIB, 20.0, 64, 1024, None, 32 * MIB, MIB, MIB, 8 * MIB, 256, 16 * MIB)


class Yard:
    """Counts what there is of each workspace, the way an engine would: from the start's begin to the stop's end."""

    def __init__(self) -> None:
        self.there: Counter[int] = Counter()
        self.memory: Counter[int] = Counter()
        self.per_place: Counter[Place] = Counter()
        self.most: Counter[str] = Counter()
        self.made = 0

    def add(self, place: Place, memory: int, by: int) -> None:
        self.there[place.workspace] += by
        self.memory[place.workspace] += by * memory
        self.per_place[place] += by
        self.made += by > 0
        figures = {
            "sandboxes": self.there.total(),
            "memory": self.memory.total(),
            "of a workspace": max(self.there.values()),
            "memory of a workspace": max(self.memory.values()),
            "of a place": max(self.per_place.values()),
        }
        for name, figure in figures.items():
            self.most[name] = max(self.most[name], figure)


@dataclass(eq=False)
class Lent:
    """Alive until it is stopped, which takes ``removal`` to happen. Like a container's, every stop waits for that."""

    yard: Yard
    place: Place
    memory: int
    removal: asyncio.Event
    alive: bool = True
    stopping: bool = False

    async def stop(self) -> None:
        self.alive = False
        first, self.stopping = not self.stopping, True
        await self.removal.wait()
        if first:
            self.yard.add(self.place, self.memory, -1)


@dataclass(eq=False)
class Calls:
    """Calls to one pool whose starts, ends and removals happen when a test says so, or at once."""

    pool: Pool
    yard: Yard = field(default_factory=Yard)
    hold_starts: bool = False
    hold_removals: bool = False
    check_start: Callable[[Place], None] = lambda _place: None
    starting: list[tuple[Place, asyncio.Event]] = field(default_factory=list)
    removing: list[asyncio.Event] = field(default_factory=list)
    running: dict[asyncio.Task[None], asyncio.Event] = field(default_factory=dict)
    served: list[int] = field(default_factory=list)
    """Workspaces in the order in which their calls got a sandbox."""
    lent: list[Lent] = field(default_factory=list)

    def call(self, place: Place, granted: Granted = GRANTED) -> asyncio.Task[None]:
        return asyncio.create_task(self._call(place, granted))

    async def _call(self, place: Place, granted: Granted) -> None:
        async def start() -> Any:
            self.yard.add(place, granted.memory_bytes, 1)
            ready = asyncio.Event()
            try:
                if self.hold_starts:
                    self.starting.append((place, ready))
                    await ready.wait()
                self.check_start(place)
            except BaseException:
                self.yard.add(place, granted.memory_bytes, -1)
                raise
            removal = asyncio.Event()
            if self.hold_removals:
                self.removing.append(removal)
            else:
                removal.set()
            return Lent(self.yard, place, granted.memory_bytes, removal)

        with self.pool.claim(place, granted) as claim:
            async with self.pool.lease(claim, start) as sandbox:
                self.served.append(place.workspace)
                self.lent.append(sandbox)
                done = asyncio.Event()
                task = asyncio.current_task()
                assert task is not None
                self.running[task] = done
                try:
                    await done.wait()
                finally:
                    del self.running[task]

    def end_one(self, index: int = 0) -> None:
        done = [event for event in self.running.values() if not event.is_set()]
        if done:
            done[index % len(done)].set()

    async def end_all(self) -> None:
        """Let everything happen until nothing is left to happen."""
        self.hold_starts = self.hold_removals = False
        idle = 0
        while idle < 20:
            before = (len(self.running), len(self.starting), len(self.removing), self.pool.counts())
            for _, ready in self.starting:
                ready.set()
            for removal in self.removing:
                removal.set()
            for done in self.running.values():
                done.set()
            await asyncio.sleep(0)
            now = (len(self.running), len(self.starting), len(self.removing), self.pool.counts())
            idle = idle + 1 if now == before and not self.running else 0


def place(workspace: int, skill: int = 0) -> Place:
    return Place(SkillVersionId(workspace * 100 + skill), LockDigest("sha256:0"), WorkspaceId(workspace))


@asynccontextmanager
async def calls(limits: PoolLimits) -> AsyncIterator[Calls]:
    """Ends with everything ended, nothing waiting and nothing left."""
    made = Calls(Pool(limits=limits))
    try:
        yield made
        await made.end_all()
    finally:
        for removal in made.removing:
            removal.set()
        await made.pool.close()
    assert made.pool.counts() == PoolCounts()
    assert made.yard.there.total() == 0
    assert made.yard.memory.total() == 0


async def turns(count: int = 10) -> None:
    """Let everything happen that needs nobody's leave."""
    for _ in range(count):
        await asyncio.sleep(0)


def run(test: Callable[[], Any]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(limited())


def check_books(pool: Pool) -> None:
    """Every running total is what counting gives, and who waits is somebody who waits."""
    ledger = pool._ledger
    slots = ledger.slots
    for share in (ledger.total, *(party.share for party in ledger._parties.values())):
        mine = [slot for slot in slots if share in {slot.room.workspace, slot.room.total}]
        assert share.sandboxes == sum(slot.living for slot in mine)
        assert share.memory_bytes == sum(slot.living * slot.room.memory_bytes for slot in mine)
        assert share.calls == sum(len(slot.busy) for slot in mine)
        assert share.queued == sum(max(0, len(slot.waiting) - len(slot.starts)) for slot in mine)
        assert share.stopping == sum(slot.room.place.stopping for slot in mine)
        assert share.present_bytes == sum(slot.room.place.present * slot.room.memory_bytes for slot in mine)
    assert not any(claim.waiter is None or claim.waiter.done() for slot in slots for claim in slot.waiting)
    assert not any(slot.empty for slot in slots)


def within(value: int, cap: int | None) -> bool:
    return cap is None or value <= cap


async def served_at_once(some: Calls, where: Place) -> None:
    before = len(some.served)
    call = some.call(where)
    await turns()
    assert len(some.served) == before + 1
    some.end_one()
    await call
