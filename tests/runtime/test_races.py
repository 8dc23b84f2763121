"""What overtakes what: bans and removals against starts, drains against rollbacks.

Each of these happens to somebody whose calls are lost, doubled, served by the wrong version, or never answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Agent, PackageRule, SkillState
from skillyard.governance.rules import draft_ban
from skillyard.runtime.errors import DecisionRefusedError, VersionStoppedError
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.runtime.states import InvocationState
from skillyard.sandbox.outcome import OutcomeState
from skillyard.settings import Settings
from skillyard.skills.lock import Lock
from skillyard.skills.skill import Ecosystem, Skill
from skillyard.skills.sources.folder import FolderSource
from skillyard.times import utcnow
from structlog.testing import capture_logs
from tests.runtime.conftest import (
    ADD_ONE,
    REF,
    SLEEP,
    UNTIL_LET_GO,
    Yard,
    let_go,
    no_containers,
    open_yard,
    recorded,
    until,
)
from tests.runtime.engines import SlowEngine

WHICH = "import importlib.metadata\n\n\ndef run() -> str:\n    return importlib.metadata.version('iniconfig')\n"


@pytest.fixture
async def tight(settings: Settings, tmp_path: Path) -> AsyncIterator[Yard]:
    """One sandbox in all, and a second for calls of a version that was replaced."""
    limits = {"max_sandboxes": 1, "max_sandboxes_per_skill": 2, "drain_timeout": 1.0}
    opened = await open_yard(settings.model_copy(update=limits), tmp_path / "skills")
    try:
        yield opened
    finally:
        await opened.runtime.close()


@pytest.fixture
async def leisurely(settings: Settings, tmp_path: Path) -> AsyncIterator[Yard]:
    """A replaced version has more time for its calls than any test takes."""
    opened = await open_yard(settings.model_copy(update={"drain_timeout": 600.0}), tmp_path / "skills")
    try:
        yield opened
    finally:
        await opened.runtime.close()


@pytest.fixture
async def hurried(settings: Settings, tmp_path: Path) -> AsyncIterator[Yard]:
    """A replaced version has one second for its calls."""
    opened = await open_yard(settings.model_copy(update={"drain_timeout": 1.0}), tmp_path / "skills")
    try:
        yield opened
    finally:
        await opened.runtime.close()
    await no_containers(opened.runtime.engine, settings)
    await opened.runtime.engine.close()


async def approved(yard: Yard, agent: Agent, skill: str = "acme/adder", **fields: object) -> None:
    """Let a call ask for the approval of the skill's packages, and give it."""
    held = await yard.invoke(agent, skill, **fields)
    assert held.approval is not None, held
    await yard.runtime.approver.approve(held.approval, person=yard.second)


async def ban(yard: Yard, name: str = "iniconfig", *, runtime: Runtime | None = None) -> PackageRule:
    draft = draft_ban(ecosystem="pypi", name=name, reason="for the test", now=utcnow())
    return await (runtime or yard.runtime).packages.add(draft, by=Administrator.of(yard.admin))


# Bans, expiries and removals against what runs, starts or waits


async def test_a_ban_reaches_a_sandbox_that_is_still_starting_and_the_call_that_waits_for_it(
    slow: tuple[Yard, SlowEngine],
) -> None:
    yard, engine = slow
    version = (await yard.install(yard.skill(SLEEP, python="iniconfig==2.1.0"))).version
    bot = await yard.agent("bot")
    await approved(yard, bot, given={"x": 0})
    engine.answers.clear()
    waiting = asyncio.create_task(yard.invoke(bot, given={"x": 0}))
    await until(lambda: yard.runtime.pool.counts().starting == 1)
    banning = asyncio.create_task(ban(yard))
    with pytest.raises(VersionStoppedError, match="iniconfig"):
        await waiting
    engine.answers.set()
    await banning
    counts = yard.runtime.pool.counts(version.id)
    assert (counts.idle, counts.busy, counts.starting) == (0, 0, 0)
    await no_containers(yard.runtime.engine, yard.runtime.settings)
    (kept,) = await recorded(yard.runtime, bot)
    assert kept.state is InvocationState.REFUSED


async def test_a_version_banned_while_an_upgrade_checks_it_never_takes_the_pointer(yard: Yard) -> None:
    await yard.install(yard.skill())
    bot = await yard.agent("bot")
    # Its check imports it, and goes on until the ban ends it.
    newer = yard.skill("import time\n\ntime.sleep(60)\n\n\n" + ADD_ONE, version="2.0.0", python="iniconfig==2.1.0")
    assert not (await yard.upgrade(newer)).moved
    await approved(yard, bot, "acme/adder@2.0.0")
    ref = replace(REF, version="2.0.0")
    moving = asyncio.create_task(yard.runtime.activate(ref, workspace=bot.workspace, actor=yard.admin))
    await until(lambda: yard.runtime.pool.counts().starting == 1)
    await ban(yard)
    with pytest.raises((DecisionRefusedError, VersionStoppedError)):
        await moving
    assert (await yard.runtime.version(bot.workspace, REF)).version == "1.0.0"
    assert yard.runtime.pool.counts().idle == 0


async def test_an_approval_that_runs_out_stops_the_sandboxes_that_stand_ready(
    yard: Yard, later: Callable[[timedelta], None]
) -> None:
    await yard.install(yard.skill(python="iniconfig==2.1.0"))
    bot = await yard.agent("bot")
    held = await yard.invoke(bot)
    assert held.approval is not None
    hour = timedelta(hours=1)
    await yard.runtime.approver.approve(held.approval, person=yard.second, expires_at=utcnow() + hour)
    assert (await yard.invoke(bot)).outcome.state is OutcomeState.SUCCEEDED
    await asyncio.sleep(1)  # Looked after twice meanwhile.
    assert yard.runtime.pool.counts().idle == 1
    later(hour)
    await until(lambda: yard.runtime.pool.counts().idle == 0)
    assert (await yard.invoke(bot)).outcome.refusal == {"decision": "held", "code": "expired_approval"}


async def test_what_another_process_removed_stops_here_too(settings: Settings, yard: Yard) -> None:
    await yard.install(yard.skill())
    await yard.invoke(await yard.agent("bot"))
    assert yard.runtime.pool.counts().idle == 1
    async with await create_runtime(settings) as other:
        await other.uninstall(REF, workspace=yard.admin.workspace, actor=yard.admin)
    await until(lambda: yard.runtime.pool.counts().idle == 0)


async def test_a_skill_installed_again_with_other_packages_is_not_served_by_what_ran_before(
    settings: Settings, yard: Yard
) -> None:
    folder = yard.skill(WHICH, python="iniconfig")
    older = await yard.runtime.prepare(FolderSource(yard.skill(WHICH, name="older", python="iniconfig==2.0.0")))

    async def older_locks(_skill: Skill) -> tuple[Lock, ...]:
        return older.locks

    bot = await yard.agent("bot")
    prepared = await yard.runtime.prepare(FolderSource(folder), known_locks=older_locks)
    given = {"workspace": bot.workspace, "publisher": "acme", "actor": yard.admin, "upgrade": False}
    first = await yard.runtime.install_prepared(prepared, **given)
    await approved(yard, bot, given={})
    assert (await yard.invoke(bot, given={})).outcome.result_json == b'"2.0.0"'
    async with await create_runtime(settings) as other:
        await other.uninstall(REF, workspace=bot.workspace, actor=yard.admin)
        again = await other.install_prepared(await other.prepare(FolderSource(folder)), **given)
    assert again.version.id == first.version.id
    await approved(yard, bot, given={})
    newer = orjson.loads((await yard.invoke(bot, given={})).outcome.result_json or b"null")
    assert newer == again.version.locks[0].packages[0].version != "2.0.0"


async def test_lifting_a_ban_makes_the_skill_active_again(yard: Yard) -> None:
    await yard.install(yard.skill(python="iniconfig==2.1.0"))
    bot = await yard.agent("bot")
    await approved(yard, bot)
    await ban(yard)
    assert (await yard.runtime.version(bot.workspace, REF)).state is SkillState.HELD
    await yard.runtime.packages.unban(Ecosystem.PYPI, "iniconfig", by=Administrator.of(yard.admin))
    assert (await yard.runtime.version(bot.workspace, REF)).state is SkillState.ACTIVE


# Drains


async def test_a_rollback_during_the_drain_keeps_the_calls_of_the_version_it_brings_back(leisurely: Yard) -> None:
    first = await leisurely.install(leisurely.skill(UNTIL_LET_GO))
    bot = await leisurely.agent("bot")
    await leisurely.invoke(bot, given={"x": 0})
    flying = asyncio.create_task(leisurely.invoke(bot, given={"x": -1}))
    await until(lambda: leisurely.runtime.pool.counts().busy == 1)
    await leisurely.upgrade(leisurely.skill(SLEEP, version="2.0.0"))
    drains = leisurely.runtime._swapper._drains
    assert first.version.id in drains
    await leisurely.runtime.rollback(REF, workspace=bot.workspace, actor=leisurely.admin)
    await until(lambda: first.version.id not in drains)
    assert not flying.done(), "the drain was called off, and not over"
    let_go(leisurely.bundle(first))
    ended = await flying
    assert (ended.outcome.state, ended.skill.version) == (OutcomeState.SUCCEEDED, "1.0.0")


async def test_a_drain_ends_only_the_calls_that_the_upgrade_found(hurried: Yard) -> None:
    await hurried.install(hurried.skill(SLEEP))
    bot = await hurried.agent("bot")
    await asyncio.gather(*(hurried.invoke(bot, given={"x": 0.2}) for _ in range(2)))
    before = asyncio.create_task(hurried.invoke(bot, given={"x": 30}))
    await until(lambda: hurried.runtime.pool.counts().busy == 1)
    await hurried.upgrade(hurried.skill(SLEEP + "\n", version="2.0.0"))
    pinned = asyncio.create_task(hurried.invoke(bot, "acme/adder@1.0.0", given={"x": 3}))
    cut, kept = await asyncio.gather(before, pinned)
    assert cut.outcome.state is OutcomeState.KILLED
    assert "replaced" in (cut.outcome.reason or "")
    assert kept.outcome.state is OutcomeState.SUCCEEDED


async def test_rolling_back_goes_to_the_version_that_is_named(yard: Yard) -> None:
    await yard.install(yard.skill())
    for version in ("2.0.0", "3.0.0"):
        await yard.upgrade(yard.skill(f"def run(x: int) -> str:\n    return '{version}'\n", version=version))
    named = replace(REF, version="1.0.0")
    swap = await yard.runtime.rollback(named, workspace=yard.admin.workspace, actor=yard.admin)
    assert (swap.moved, swap.old, swap.new) == (True, "3.0.0", "1.0.0")


async def test_rolling_back_twice_is_there_and_back_again(yard: Yard) -> None:
    await yard.install(yard.skill())
    await yard.upgrade(yard.skill("def run(x: int) -> int:\n    return 2\n", version="2.0.0"))
    swaps = [await yard.runtime.rollback(REF, workspace=yard.admin.workspace, actor=yard.admin) for _ in range(2)]
    assert [swap.new for swap in swaps] == ["1.0.0", "2.0.0"]


# Waiting


async def test_a_busy_skill_does_not_starve_another_when_no_place_is_free(tight: Yard) -> None:
    await tight.install(tight.skill(SLEEP, name="greedy"))
    await tight.install(tight.skill(name="modest"))
    bot = await tight.agent("bot")
    enough = asyncio.Event()

    async def hammer() -> None:
        while not enough.is_set():
            await tight.invoke(bot, "acme/greedy", given={"x": 0.05})

    hammers = [asyncio.create_task(hammer()) for _ in range(3)]
    await until(lambda: tight.runtime.pool.counts().waiting >= 2)
    async with asyncio.timeout(60):
        assert (await tight.invoke(bot, "acme/modest")).outcome.result_json == b"2"
    enough.set()
    await asyncio.gather(*hammers)


async def test_starts_that_fail_are_not_tried_over_and_over_while_a_call_runs(yard: Yard) -> None:
    bundle = yard.bundle(await yard.install(yard.skill(UNTIL_LET_GO)))
    bot = await yard.agent("bot")
    await yard.invoke(bot, given={"x": 0})
    running = asyncio.create_task(yard.invoke(bot, given={"x": -1}))
    await until(lambda: yard.runtime.pool.counts().busy == 1)
    away = bundle.with_name("moved-away")
    bundle.rename(away)
    with capture_logs() as logs:
        waiting = asyncio.create_task(yard.invoke(bot, given={"x": 0}))
        await until(lambda: yard.runtime.pool.status().since_start.start_failures > 0)
        await asyncio.sleep(1)  # Time for many more.
        let_go(away)
        done = await asyncio.gather(running, waiting)
    away.rename(bundle)
    assert [one.outcome.state for one in done] == [OutcomeState.SUCCEEDED] * 2
    assert len([line for line in logs if line["event"] == "sandbox_start_failed"]) == 1
