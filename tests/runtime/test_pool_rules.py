"""The pool's rules under many sequences of events: caps, fairness, the queue, and that nobody waits for nothing.

The pool asks of what it lends only whether it is alive and that it can be stopped, so small objects that keep count
are lent here, thousands a second. How the pool works with containers is in ``test_pool``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skillyard.errors import NotFoundError
from skillyard.ids import LockDigest, SkillVersionId, WorkspaceId
from skillyard.runtime.capacity import Caps
from skillyard.runtime.counts import PoolCounts
from skillyard.runtime.errors import QueueFullError, QueueTimeoutError, SandboxTooLargeError, VersionStoppedError
from skillyard.runtime.ledger import PoolLimits
from skillyard.runtime.pool import Pool
from skillyard.runtime.slots import Place
from skillyard.skills.permissions import MIB, Granted
from tests.runtime.conftest import until

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


caps = st.builds(
    Caps,
    sandboxes=st.none() | st.integers(1, 4),
    memory_bytes=st.none() | st.integers(2, 6).map(lambda units: units * 256 * MIB),
    calls=st.none() | st.integers(1, 4),
    queue=st.none() | st.integers(0, 4),
)
limits = st.builds(replace, st.just(LIMITS), total=caps, workspace=caps, per_version=st.integers(1, 3))
events = st.one_of(
    st.tuples(st.just("call"), st.integers(1, 3), st.integers(0, 2)),
    st.tuples(st.sampled_from(["end", "ready", "gone", "leave", "stop"]), st.integers(0, 5)),
)
steps = st.lists(st.tuples(events, st.sampled_from([0, 1, 5, 5])), max_size=60)
"""Events, and how many turns of the loop come before the next: what comes in the same turn meets halfway."""


@settings(max_examples=300, deadline=None)
@given(limits=limits, steps=steps, failing=st.sets(st.integers(0, 2), max_size=1))
def test_no_sequence_of_events_passes_a_cap_or_leaves_a_call_waiting_for_nothing(
    limits: PoolLimits, steps: list[Any], failing: set[int]
) -> None:
    async def test() -> None:
        async with calls(limits) as some:
            some.hold_starts = some.hold_removals = True

            def check(where: Place) -> None:
                if where.version % 100 in failing:
                    raise NotFoundError("it does not start")

            some.check_start = check
            made: list[asyncio.Task[None]] = []
            for event, pause in steps:
                match event:
                    case ("call", workspace, skill):
                        # What a skill is granted follows from the skill.
                        memory = (1 + skill % 2) * 256 * MIB
                        made.append(some.call(place(workspace, skill), replace(GRANTED, memory_bytes=memory)))
                    case ("end", index):
                        some.end_one(index)
                    case ("ready", index) if some.starting:
                        some.starting.pop(index % len(some.starting))[1].set()
                    case ("gone", index) if some.removing:
                        some.removing.pop(index % len(some.removing)).set()
                    case ("leave", index) if made:
                        made[index % len(made)].cancel()
                    case ("stop", index):
                        stopping = asyncio.create_task(some.pool.stop(SkillVersionId(100 + index), reason="for fun"))
                        made.append(stopping)
                    case _:
                        pass
                await turns(pause)
                if pause > 1:
                    check_books(some.pool)
            await some.end_all()
            ended = await asyncio.gather(*made, return_exceptions=True)
            expected = (type(None), int, QueueFullError, SandboxTooLargeError, NotFoundError, asyncio.CancelledError)
            unexpected = [end for end in ended if not isinstance(end, expected) and "for fun" not in str(end)]
            assert not unexpected
            shares = [some.pool._ledger.total, *(party.share for party in some.pool._ledger._parties.values())]
            assert [(s.calls, s.promised, s.queued, s.stopping) for s in shares] == [(0, 0, 0, 0)] * len(shares)
        most = some.yard.most
        assert within(most["sandboxes"], limits.total.sandboxes)
        assert within(most["memory"], limits.total.memory_bytes)
        assert within(most["of a workspace"], limits.workspace.sandboxes)
        assert within(most["memory of a workspace"], limits.workspace.memory_bytes)
        assert most["of a place"] <= limits.per_version

    run(test)


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


@settings(max_examples=150, deadline=None)
@given(
    room=st.integers(1, 4),
    floods=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    late=st.integers(0, 20),
    ends=st.lists(st.integers(0, 3), min_size=30, max_size=60),
)
def test_a_workspace_with_nothing_is_passed_over_at_most_once_by_each_other(
    room: int, floods: list[int], late: int, ends: list[int]
) -> None:
    """Several workspaces send more than there is room for; then one comes that has nothing yet."""

    async def test() -> None:
        limits = replace(LIMITS, total=Caps(sandboxes=room), per_version=room)
        async with calls(limits) as some:
            for workspace, count in enumerate(floods, start=1):
                for number in range(count):
                    some.call(place(workspace, number % 2))
            await turns()
            for index in ends[: late % len(ends)]:
                some.end_one(index)
                await turns()
            newcomer = 99
            some.served.clear()
            waiting = {p.workspace for p in some.pool.places}
            some.call(place(newcomer))
            await turns()
            for index in ends:
                some.end_one(index)
                await turns(30)
                if newcomer in some.served:
                    break
            else:
                raise AssertionError(f"never served: {some.served}")
            assert len(some.served[: some.served.index(newcomer)]) <= len(waiting)

    run(test)


async def test_a_flood_of_one_workspace_leaves_another_its_half_and_nobody_starts_over_and_over() -> None:
    async with calls(replace(LIMITS, total=Caps(sandboxes=4))) as some:
        for _ in range(40):
            some.call(place(1))
        await turns()
        for _ in range(40):
            some.call(place(2))
        for _ in range(2):
            some.end_one()
            await turns(20)
        assert some.yard.there == {1: 2, 2: 2}, "what is freed first goes to who has less"
        for _ in range(40):
            some.end_one()
            await turns(20)
        held = Counter(some.served[-20:])
        assert held[1] == held[2] == 10
        assert some.yard.made == 6, "containers are handed to and fro"


async def test_room_that_cannot_be_shared_evenly_is_not_handed_to_and_fro() -> None:
    async with calls(replace(LIMITS, total=Caps(sandboxes=3))) as some:
        for workspace in (1, 2):
            for _ in range(40):
                some.call(place(workspace))
            await turns()
        for _ in range(40):
            some.end_one()
            await turns(20)
        assert some.yard.there == {1: 2, 2: 1}
        assert some.yard.made == 4


async def test_one_workspace_cannot_fill_the_queue_of_all() -> None:
    limits = replace(LIMITS, total=Caps(sandboxes=1, queue=10), workspace=Caps(queue=4))
    async with calls(limits) as some:
        flood = [some.call(place(1)) for _ in range(20)]
        await turns()
        refused = [task for task in flood if task.done()]
        assert len(refused) == 20 - 1 - 4
        assert all(isinstance(task.exception(), QueueFullError) for task in refused)
        other = some.call(place(2))
        await turns()
        assert not other.done()
        assert some.pool.status(WorkspaceId(1)).since_start.queue_full == 15
        assert some.pool.status(WorkspaceId(2)).since_start.queue_full == 0


async def test_when_to_try_again_is_told_from_the_pace_of_ends_and_not_told_without_any() -> None:
    async with calls(replace(LIMITS, total=Caps(sandboxes=1, queue=2))) as some:
        first = [some.call(place(1)) for _ in range(3)]
        await turns()
        with pytest.raises(QueueFullError) as unknown:
            await some.call(place(1))
        assert unknown.value.retry_after is None
        for _ in range(3):
            some.end_one()
            await turns()
        await asyncio.gather(*first)
        waiting = [some.call(place(1)) for _ in range(3)]
        await turns()
        with pytest.raises(QueueFullError) as known:
            await some.call(place(1))
        assert known.value.retry_after is not None
        assert known.value.retry_after > 0
        await some.end_all()
        await asyncio.gather(*waiting)


async def test_a_call_waits_no_longer_than_the_limit_for_others_but_as_long_as_it_takes_for_its_own_start() -> None:
    async with calls(replace(LIMITS, total=Caps(sandboxes=1), wait_seconds=0.05)) as some:
        some.hold_starts = True
        own = some.call(place(1))
        await turns()
        behind = some.call(place(1))
        with pytest.raises(QueueTimeoutError):
            await behind
        assert not own.done()
        assert some.pool.status().since_start.queue_timeouts == 1


async def test_a_start_that_hangs_keeps_nobody_else_waiting() -> None:
    async with calls(replace(LIMITS, total=Caps(sandboxes=2))) as some:
        some.hold_starts = True
        hanging = some.call(place(1))
        await turns()
        some.hold_starts = False
        for _ in range(10):
            await served_at_once(some, place(2))
        assert not hanging.done()
        assert some.pool.counts().starting == 1


async def served_at_once(some: Calls, where: Place) -> None:
    before = len(some.served)
    call = some.call(where)
    await turns()
    assert len(some.served) == before + 1
    some.end_one()
    await call


async def test_a_start_waits_until_what_it_takes_the_place_of_is_really_gone() -> None:
    async with calls(replace(LIMITS, total=Caps(sandboxes=1))) as some:
        some.hold_removals = True
        await served_at_once(some, place(1))
        call = some.call(place(2))
        await turns()
        counts = some.pool.counts()
        assert (counts.stopping, counts.starting, some.yard.made) == (1, 1, 1)
        some.removing.pop().set()
        await turns()
        assert some.yard.made == 2
        some.end_one()
        await call


async def test_the_least_recently_used_goes_first_of_all_workspaces_or_of_the_one_whose_cap_it_is() -> None:
    limits = replace(LIMITS, total=Caps(sandboxes=3), workspace=Caps(sandboxes=2))
    async with calls(limits) as some:
        for where in (place(1), place(2, 0), place(2, 1)):
            await served_at_once(some, where)
        await served_at_once(some, place(2, 2))
        assert {p.version for p in some.pool.places} == {100, 201, 202}, "workspace 2 is at its own cap"
        await served_at_once(some, place(3))
        assert {p.version for p in some.pool.places} == {201, 202, 300}
        assert some.pool.status(WorkspaceId(1)).since_start.evictions == 1
        assert some.pool.status(WorkspaceId(2)).since_start.evictions == 1


async def test_memory_is_kept_for_who_needs_much_of_it_though_others_need_little() -> None:
    async with calls(replace(LIMITS, total=Caps(memory_bytes=1024 * MIB))) as some:
        for number in range(4):
            some.call(place(1, number))
        await turns()
        some.call(place(2), replace(GRANTED, memory_bytes=1024 * MIB))
        for number in range(8):
            some.call(place(1, number))
        await turns()
        for _ in range(4):
            assert 2 not in some.served
            some.end_one()
            await turns()
        assert some.served.count(2) == 1
        assert len(some.served) == 5


async def test_more_memory_than_there_may_be_is_refused_and_waits_for_nothing() -> None:
    async with calls(replace(LIMITS, total=Caps(memory_bytes=255 * MIB))) as some:
        with pytest.raises(SandboxTooLargeError, match="256 MiB"):
            await some.call(place(1))


async def test_calls_at_once_are_capped_though_sandboxes_stand_ready() -> None:
    async with calls(replace(LIMITS, workspace=Caps(calls=1))) as some:
        for number in (0, 1):
            await served_at_once(some, place(1, number))
        first, second = some.call(place(1, 0)), some.call(place(1, 1))
        await turns()
        assert (some.pool.counts().busy, some.pool.counts().idle) == (1, 1)
        other = some.call(place(2))
        await turns()
        assert some.pool.counts().busy == 2, "another workspace has a cap of its own"
        for _ in range(3):
            some.end_one()
            await turns()
        await asyncio.gather(first, second, other)


async def test_a_single_use_sandbox_serves_one_call_and_is_gone() -> None:
    once = replace(GRANTED, single_use=True)
    async with calls(LIMITS) as some:
        for _ in range(3):
            call = some.call(place(1), once)
            await turns()
            some.end_one()
            await call
        assert len({id(lent) for lent in some.lent}) == 3
        await until(lambda: some.pool.counts() == PoolCounts())


@dataclass
class Ahead:
    """Starts ahead what the test says is wanted."""

    some: Calls
    count: int = 1
    unwanted: set[int] = field(default_factory=set)
    refuse: bool = False
    asked: int = 0

    def wanted(self, where: Place) -> bool:
        return where.workspace not in self.unwanted

    async def start(self, place: Place) -> Any:
        self.asked += 1
        if self.refuse:
            raise NotFoundError("not any more")
        self.some.yard.add(place, GRANTED.memory_bytes, 1)
        removal = asyncio.Event()
        removal.set()
        return Lent(self.some.yard, place, GRANTED.memory_bytes, removal)


async def test_what_is_to_be_warm_is_started_ahead_after_the_first_call_and_not_before() -> None:
    async with calls(replace(LIMITS, idle_seconds=0.1)) as some:
        ahead = Ahead(some, count=2)
        some.pool.keep_warm(ahead)
        assert some.pool.counts() == PoolCounts()
        await served_at_once(some, place(1))
        await until(lambda: some.pool.counts().idle == 2)
        some.pool.keep_warm(Ahead(some, count=0))
        await served_at_once(some, place(2))
        some.pool.keep_warm(ahead)
        await until(lambda: {p.workspace for p in some.pool.places} == {1})
        assert (some.pool.counts().idle, some.pool.status().since_start.expiries) == (2, 1)
        assert some.yard.made == 3, "what is to be warm is kept, not stopped and started again"
        ahead.unwanted = {1}
        assert await some.pool.retire(place(1).version, timeout=1, reason="replaced")
        await until(lambda: some.pool.counts() == PoolCounts())


async def test_a_spare_single_use_sandbox_stands_ready_for_the_next_call_and_is_never_used_twice() -> None:
    once = replace(GRANTED, single_use=True)
    async with calls(LIMITS) as some:
        some.pool.keep_warm(Ahead(some))
        for _ in range(3):
            call = some.call(place(1), once)
            await turns()
            some.end_one()
            await call
            await until(lambda: some.pool.counts().idle == 1)
        assert len({id(lent) for lent in some.lent}) == 3
        assert some.yard.made == 4


async def test_what_stands_ready_unasked_makes_room_for_calls_and_does_not_come_back_for_it() -> None:
    async with calls(replace(LIMITS, total=Caps(sandboxes=2))) as some:
        ahead = Ahead(some)
        some.pool.keep_warm(ahead)
        for workspace in (1, 2, 3):
            await served_at_once(some, place(workspace))
        await turns()
        assert {p.workspace for p in some.pool.places} == {2, 3}
        assert ahead.asked == 0


async def test_a_start_ahead_that_fails_fails_no_call() -> None:
    async with calls(LIMITS) as some:
        ahead = Ahead(some, count=2, refuse=True)
        some.pool.keep_warm(ahead)
        await served_at_once(some, place(1))
        await until(lambda: some.pool.status().since_start.start_failures == 1)
        await served_at_once(some, place(1))
        assert ahead.asked == 1, "it is tried again at the next sweep only"


@pytest.mark.parametrize("pause", range(6))
async def test_a_caller_who_leaves_just_as_it_gets_a_sandbox_does_not_take_it_along(pause: int) -> None:
    async with calls(LIMITS) as some:
        some.hold_starts = True
        leaving = some.call(place(1))
        await turns()
        some.starting.pop()[1].set()
        await turns(pause)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await turns()
        check_books(some.pool)
        assert some.pool.counts().idle == 1
        await served_at_once(some, place(1))


async def test_a_start_that_does_not_notice_that_it_was_stopped_leaves_nothing_ready() -> None:
    async with calls(LIMITS) as some:
        begun, deaf = asyncio.Event(), asyncio.Event()

        async def start() -> Any:
            some.yard.add(place(1), GRANTED.memory_bytes, 1)
            begun.set()
            with contextlib.suppress(asyncio.CancelledError):
                await deaf.wait()
            removal = asyncio.Event()
            removal.set()
            return Lent(some.yard, place(1), GRANTED.memory_bytes, removal)

        async def call() -> None:
            with some.pool.claim(place(1), GRANTED) as claim:
                async with some.pool.lease(claim, start):
                    raise AssertionError("it was banned")

        calling = asyncio.create_task(call())
        await begun.wait()
        assert await some.pool.stop(place(1).version, reason="banned") == 1
        with pytest.raises(VersionStoppedError, match="banned"):
            await calling
        assert some.pool.counts() == PoolCounts()
        assert some.yard.there.total() == 0


async def test_a_claim_that_comes_by_while_a_version_is_retired_does_not_keep_its_sandboxes() -> None:
    """A call claims before its admission, which then says that the pointer has moved: it never runs there."""
    async with calls(LIMITS) as some:
        await served_at_once(some, place(1))
        with some.pool.claim(place(1), GRANTED):
            retiring = asyncio.create_task(some.pool.retire(place(1).version, timeout=5, reason="replaced"))
            await turns()
            assert not retiring.done()
            passing = some.pool.claim(place(1), GRANTED)
            passing.__enter__()
        assert await retiring
        passing.__exit__(None, None, None)
        await until(lambda: some.pool.counts() == PoolCounts())
        assert some.pool.places == ()


async def test_a_start_that_a_retired_version_did_not_need_any_more_leaves_nothing_ready() -> None:
    async with calls(LIMITS) as some:
        await served_at_once(some, place(1))
        first = some.call(place(1))
        await turns()
        some.hold_starts = True
        second = some.call(place(1))
        await turns()
        assert some.pool.counts().starting == 1
        some.end_one()
        await turns()
        some.end_one()
        await asyncio.gather(first, second)
        assert await some.pool.retire(place(1).version, timeout=5, reason="replaced")
        some.starting.pop()[1].set()
        await until(lambda: some.pool.counts() == PoolCounts())


async def test_a_version_that_is_called_again_after_it_was_retired_stays_warm_again() -> None:
    async with calls(LIMITS) as some:
        await served_at_once(some, place(1))
        assert await some.pool.retire(place(1).version, timeout=5, reason="replaced")
        await until(lambda: some.pool.counts() == PoolCounts())
        await served_at_once(some, place(1))
        await served_at_once(some, place(1))
        assert (some.pool.counts().idle, some.yard.made) == (1, 2)


async def test_a_drain_that_is_called_off_leaves_warm_what_is_active_again() -> None:
    async with calls(LIMITS) as some:
        await served_at_once(some, place(1))
        running = some.call(place(1))
        await turns()
        retiring = asyncio.create_task(some.pool.retire(place(1).version, timeout=5, reason="replaced"))
        await turns()
        retiring.cancel()
        await asyncio.gather(retiring, return_exceptions=True)
        some.end_one()
        await running
        await turns()
        assert some.pool.counts().idle == 1
