"""The pool, with real containers: caps, a bounded queue, eviction, idle sandboxes that go away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from skillyard.errors import NotFoundError
from skillyard.runtime.errors import QueueFullError
from skillyard.runtime.invocations import invocations
from skillyard.runtime.pool import PoolCounts
from skillyard.runtime.tables import InvocationState
from skillyard.settings import Settings
from tests.runtime.conftest import Yard, no_containers, open_yard, until

SLEEP = "import time\n\n\ndef run(x: float) -> float:\n    time.sleep(x)\n    return x\n"


@pytest.fixture
async def small(settings: Settings, tmp_path: Path) -> AsyncIterator[Yard]:
    """At most two sandboxes in all, one a version, one call waiting, idle ones gone after a moment."""
    limits = {"max_sandboxes": 2, "max_sandboxes_per_skill": 1, "max_queue": 1, "idle_timeout": 0.5}
    opened = await open_yard(settings.model_copy(update=limits), tmp_path / "skills")
    try:
        yield opened
    finally:
        await opened.runtime.close()


async def test_a_call_beyond_the_queue_is_refused_and_recorded(small: Yard) -> None:
    await small.install(small.skill(SLEEP))
    bot = await small.agent("bot")
    pool = small.runtime.pool
    first = asyncio.create_task(small.invoke(bot, given={"x": 2}))
    await until(lambda: pool.counts().busy == 1)
    second = asyncio.create_task(small.invoke(bot, given={"x": 0}))
    await until(lambda: pool.counts().waiting == 1)
    with pytest.raises(QueueFullError) as refused:
        await small.invoke(bot, given={"x": 0})
    assert refused.value.retry_after > 0
    assert [one.outcome.result_json for one in await asyncio.gather(first, second)] == [b"2", b"0"]
    async with small.runtime.database.reading() as session:
        states = [one.state for one in await invocations(session, bot.workspace, limit=10)]
    assert sorted(states) == sorted([InvocationState.REFUSED, InvocationState.SUCCEEDED, InvocationState.SUCCEEDED])


async def test_a_third_skill_takes_the_place_of_the_one_unused_longest(small: Yard) -> None:
    bot = await small.agent("bot")
    for name in ("one", "two", "three"):
        await small.install(small.skill(name=name))
    for name in ("one", "two", "three"):
        assert (await small.invoke(bot, f"acme/{name}")).outcome.result_json == b"2"
        counts = small.runtime.pool.counts()
        assert counts.idle + counts.busy + counts.starting <= 2


async def test_unused_sandboxes_go_away_and_the_next_call_starts_one(small: Yard) -> None:
    await small.install(small.skill())
    bot = await small.agent("bot")
    await small.invoke(bot)
    await until(lambda: small.runtime.pool.counts() == PoolCounts(0, 0, 0, 0))
    await no_containers(small.runtime.engine, small.runtime.settings)
    assert (await small.invoke(bot)).outcome.result_json == b"2"


async def test_a_sandbox_that_cannot_start_fails_its_callers_and_nobody_waits_forever(small: Yard) -> None:
    installed = await small.install(small.skill())
    bot = await small.agent("bot")
    bundle = small.runtime.bundles.path(installed.version.skill.bundle.digest)
    bundle.rename(bundle.with_name("moved-away"))
    with pytest.raises(NotFoundError, match="no bundle"):
        await small.invoke(bot)
    bundle.with_name("moved-away").rename(bundle)
    assert (await small.invoke(bot)).outcome.result_json == b"2"


async def test_a_caller_who_leaves_while_waiting_takes_no_sandbox_with_him(small: Yard) -> None:
    await small.install(small.skill(SLEEP))
    bot = await small.agent("bot")
    pool = small.runtime.pool
    first = asyncio.create_task(small.invoke(bot, given={"x": 1}))
    await until(lambda: pool.counts().busy == 1)
    second = asyncio.create_task(small.invoke(bot, given={"x": 0}))
    await until(lambda: pool.counts().waiting == 1)
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert second.cancelled()
    assert (await small.invoke(bot, given={"x": 0})).outcome.result_json == b"0"
    assert pool.counts().busy == 0


async def test_without_a_queue_calls_that_need_not_wait_are_served_all_the_same(
    settings: Settings, tmp_path: Path
) -> None:
    limits = {"max_sandboxes": 1, "max_queue": 0}
    yard = await open_yard(settings.model_copy(update=limits), tmp_path / "skills")
    async with yard.runtime:
        await yard.install(yard.skill(SLEEP))
        bot = await yard.agent("bot")
        running = asyncio.create_task(yard.invoke(bot, given={"x": 2}))
        await until(lambda: yard.runtime.pool.counts().busy == 1)
        with pytest.raises(QueueFullError):
            await yard.invoke(bot, given={"x": 0})
        assert (await running).outcome.result_json == b"2"
