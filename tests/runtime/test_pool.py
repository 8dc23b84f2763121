"""The pool, with real containers: caps, a bounded queue, eviction, idle sandboxes that go away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from skillyard.errors import NotFoundError
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Allow
from skillyard.governance.rules import draft_ban
from skillyard.runtime.counts import PoolCounts
from skillyard.runtime.errors import QueueFullError, QueueTimeoutError, SandboxTooLargeError
from skillyard.runtime.instance import home_id
from skillyard.runtime.invocations import invocations
from skillyard.runtime.states import InvocationState
from skillyard.runtime.values import SkillRef
from skillyard.settings import Settings
from skillyard.skills.permissions import MIB
from skillyard.times import utcnow
from tests.runtime.conftest import UNTIL_LET_GO, Yard, let_go, no_containers, open_yard, until
from tests.runtime.engines import SlowEngine

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
    installed = await small.install(small.skill(UNTIL_LET_GO))
    bot = await small.agent("bot")
    pool = small.runtime.pool
    first = asyncio.create_task(small.invoke(bot, given={"x": -1}))
    await until(lambda: pool.counts().busy == 1)
    second = asyncio.create_task(small.invoke(bot, given={"x": 0}))
    await until(lambda: pool.counts().waiting == 1)
    with pytest.raises(QueueFullError, match="1 calls wait"):
        await small.invoke(bot, given={"x": 0})
    assert pool.status(bot.workspace).since_start.queue_full == 1
    let_go(small.bundle(installed))
    assert [one.outcome.result_json for one in await asyncio.gather(first, second)] == [b"-1", b"0"]
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
    await until(lambda: small.runtime.pool.counts() == PoolCounts())
    assert small.runtime.pool.status(bot.workspace).since_start.expiries == 1
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
    installed = await small.install(small.skill(UNTIL_LET_GO))
    bot = await small.agent("bot")
    pool = small.runtime.pool
    first = asyncio.create_task(small.invoke(bot, given={"x": -1}))
    await until(lambda: pool.counts().busy == 1)
    second = asyncio.create_task(small.invoke(bot, given={"x": 0}))
    await until(lambda: pool.counts().waiting == 1)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert second.cancelled()
    let_go(small.bundle(installed))
    await first
    assert (await small.invoke(bot, given={"x": 0})).outcome.result_json == b"0"
    assert pool.counts().busy == 0


async def test_without_a_queue_calls_that_need_not_wait_are_served_all_the_same(
    settings: Settings, tmp_path: Path
) -> None:
    limits = {"max_sandboxes": 1, "max_queue": 0}
    yard = await open_yard(settings.model_copy(update=limits), tmp_path / "skills")
    async with yard.runtime:
        installed = await yard.install(yard.skill(UNTIL_LET_GO))
        bot = await yard.agent("bot")
        running = asyncio.create_task(yard.invoke(bot, given={"x": -1}))
        await until(lambda: yard.runtime.pool.counts().busy == 1)
        with pytest.raises(QueueFullError):
            await yard.invoke(bot, given={"x": 0})
        let_go(yard.bundle(installed))
        assert (await running).outcome.result_json == b"-1"


@asynccontextmanager
async def opened(settings: Settings, folder: Path, **changed: object) -> AsyncIterator[Yard]:
    yard = await open_yard(settings.model_copy(update=changed), folder / "skills")
    async with yard.runtime:
        yield yard
    await no_containers(yard.runtime.engine, settings)
    await yard.runtime.engine.close()


async def test_granted_memory_is_capped_by_the_containers_that_are_really_there(
    settings: Settings, tmp_path: Path
) -> None:
    async with opened(settings, tmp_path, max_sandbox_memory_mib=1024) as yard:
        bot = await yard.agent("bot")
        for name in ("one", "two", "three"):
            await yard.install(yard.skill(SLEEP, name=name))
        mine = {"skillyard.instance": home_id(settings.home)}
        calls = [
            asyncio.create_task(yard.invoke(bot, f"acme/{name}", given={"x": 0.2}))
            for name in ("one", "two", "three") * 2
        ]
        most = 0
        while not all(call.done() for call in calls):
            # One whose processes are gone is listed for a moment more, while the engine removes it.
            found = await yard.runtime.engine.containers(mine)
            most = max(most, sum(one.state in ("created", "running") for one in found))
            await asyncio.sleep(0)
        assert [call.result().outcome.result_json for call in calls] == [b"0.2"] * 6
        assert most == 2, "512 MiB each"
        status = yard.runtime.pool.status(bot.workspace)
        assert status.since_start.evictions >= 1
        assert status.now.memory_bytes == 1024 * MIB


async def test_a_skill_that_is_granted_more_than_all_may_have_is_refused_and_recorded(
    settings: Settings, tmp_path: Path
) -> None:
    async with opened(settings, tmp_path, max_sandbox_memory_mib=256) as yard:
        await yard.install(yard.skill())
        bot = await yard.agent("bot")
        with pytest.raises(SandboxTooLargeError, match="512 MiB"):
            await yard.invoke(bot)
        async with yard.runtime.database.reading() as session:
            (kept,) = await invocations(session, bot.workspace, limit=10)
        assert kept.state is InvocationState.REFUSED


async def test_who_waits_too_long_is_told_so_and_what_runs_is_not_disturbed(settings: Settings, tmp_path: Path) -> None:
    async with opened(settings, tmp_path, max_sandboxes=1, queue_timeout=0.3) as yard:
        installed = await yard.install(yard.skill(UNTIL_LET_GO))
        bot = await yard.agent("bot")
        running = asyncio.create_task(yard.invoke(bot, given={"x": -1}))
        await until(lambda: yard.runtime.pool.counts().busy == 1)
        with pytest.raises(QueueTimeoutError):
            await yard.invoke(bot, given={"x": 0})
        assert not running.done()
        let_go(yard.bundle(installed))
        assert (await running).outcome.result_json == b"-1"
        assert yard.runtime.pool.status().since_start.queue_timeouts == 1


async def test_an_untrusted_publishers_calls_each_get_a_container_of_their_own(
    settings: Settings, tmp_path: Path
) -> None:
    async with opened(settings, tmp_path, single_use_publishers=("ac*",)) as yard:
        await yard.install(yard.skill())
        bot = await yard.agent("bot")
        calls = [await yard.invoke(bot) for _ in range(3)]
        assert yard.runtime.pool.status().since_start.starts == 3
        decision = calls[0].decision
        assert isinstance(decision, Allow)
        assert decision.granted.single_use
        assert [one.message for one in decision.reasons if one.code == "single_use"] != []
        assert yard.runtime.pool.counts().idle == 0


async def test_a_version_that_was_called_stays_warm_and_so_does_the_one_that_replaces_it(
    settings: Settings, tmp_path: Path
) -> None:
    async with opened(settings, tmp_path, min_warm=2, idle_timeout=0.2) as yard:
        first = (await yard.install(yard.skill())).version
        bot = await yard.agent("bot")
        pool = yard.runtime.pool
        assert pool.counts() == PoolCounts()
        await yard.invoke(bot)
        await until(lambda: pool.counts(first.id).idle == 2)
        await yard.upgrade(yard.skill(version="2.0.0"))
        second = await yard.runtime.version(bot.workspace, SkillRef("acme", "adder"))
        await until(lambda: pool.counts(second.id).idle == 2)
        await until(lambda: pool.counts(first.id) == PoolCounts())


async def test_a_ban_ends_what_stands_ready_and_nothing_is_started_ahead_again(
    settings: Settings, tmp_path: Path
) -> None:
    async with opened(settings, tmp_path, min_warm=1, idle_timeout=0.2) as yard:
        await yard.install(yard.skill(python="iniconfig==2.1.0"))
        bot = await yard.agent("bot")
        held = await yard.invoke(bot)
        assert held.approval is not None
        await yard.runtime.approver.approve(held.approval, person=yard.second)
        await yard.invoke(bot)
        draft = draft_ban(ecosystem="pypi", name="iniconfig", reason="for the test", now=utcnow())
        await yard.runtime.packages.add(draft, by=Administrator.of(yard.admin))
        pool = yard.runtime.pool
        await until(lambda: pool.counts() == PoolCounts())
        starts = pool.status().since_start.starts
        # Another skill's sandbox is swept meanwhile, so that there was time to start one.
        await yard.install(yard.skill(name="other"))
        await yard.invoke(bot, "acme/other")
        await until(lambda: pool.status().since_start.starts == starts + 1)
        assert {place.version for place in pool.places} == {
            (await yard.runtime.version(bot.workspace, SkillRef("acme", "other"))).id
        }


async def test_a_start_that_hangs_keeps_nobody_else_waiting(settings: Settings, tmp_path: Path) -> None:
    engine = await SlowEngine.open(tmp_path / "engine.sock", held=b"/containers/create")
    try:
        async with opened(settings, tmp_path, docker_host=f"unix://{engine.path}") as yard:
            await yard.install(yard.skill(name="slow"))
            await yard.install(yard.skill(name="quick"))
            bot = await yard.agent("bot")
            await yard.invoke(bot, "acme/quick")
            engine.answers.clear()
            cold = asyncio.create_task(yard.invoke(bot, "acme/slow"))
            await until(lambda: yard.runtime.pool.counts().starting == 1)
            for _ in range(20):
                assert (await yard.invoke(bot, "acme/quick")).outcome.result_json == b"2"
            assert yard.runtime.pool.counts().starting == 1
            engine.answers.set()
            assert (await cold).outcome.result_json == b"2"
    finally:
        await engine.close()
