"""The pool's rules under many sequences of events: caps, fairness, the queue, and that nobody waits for nothing.

The pool asks of what it lends only whether it is alive and that it can be stopped, so small objects that keep count
are lent here, thousands a second. How the pool works with containers is in ``test_pool``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skillyard.errors import NotFoundError
from skillyard.ids import SkillVersionId, WorkspaceId
from skillyard.runtime.capacity import Caps
from skillyard.runtime.counts import PoolCounts
from skillyard.runtime.errors import QueueFullError, QueueTimeoutError, SandboxTooLargeError
from skillyard.runtime.ledger import PoolLimits
from skillyard.runtime.slots import Place
from skillyard.skills.permissions import MIB
from tests.runtime.conftest import until
from tests.runtime.pool_calls import (
    GRANTED,
    LIMITS,
    calls,
    check_books,
    place,
    run,
    served_at_once,
    turns,
    within,
)

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
