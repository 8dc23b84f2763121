"""What a pool keeps ready unasked, and what becomes of it when a version is retired or a caller leaves."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from skillyard.errors import NotFoundError
from skillyard.governance.quotas import Quota, Quotas
from skillyard.runtime.capacity import Caps
from skillyard.runtime.counts import PoolCounts
from skillyard.runtime.errors import VersionStoppedError
from skillyard.runtime.slots import Place
from tests.runtime.conftest import until
from tests.runtime.pool_calls import (
    GRANTED,
    LIMITS,
    Calls,
    Lent,
    calls,
    check_books,
    place,
    served_at_once,
    turns,
)


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
    async with calls(replace(LIMITS, idle_seconds=0.5)) as some:
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


async def test_what_a_lowered_cap_found_busy_or_starting_does_not_stay_ready_beyond_it() -> None:
    async with calls(LIMITS) as some:
        some.hold_starts = True
        made = [some.call(place(1)) for _ in range(3)]
        await turns()
        some.starting.pop()[1].set()
        await turns()
        assert (some.pool.counts().busy, some.pool.counts().starting) == (1, 2)
        some.pool.cap(place(1).workspace, Quotas({Quota.SANDBOXES: 1}))
        await some.end_all()
        await asyncio.gather(*made)
        await turns()
        assert some.pool.counts().idle == 1
