"""Endings against everything: callers that leave, processes that stay, a database that refuses, closing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from skillyard.database import Kind
from skillyard.errors import ConflictError, SkillyardError
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import Agent
from skillyard.governance.identity import SYSTEM
from skillyard.runtime.errors import ShuttingDownError
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.runtime.states import InvocationState
from skillyard.sandbox.outcome import OutcomeState
from skillyard.settings import Settings
from skillyard.times import utcnow
from tests.out_of_band import change
from tests.runtime.conftest import REF, SLEEP, Yard, no_containers, recorded, until
from tests.runtime.engines import Forwarded, SlowEngine


async def test_every_call_ends_once_wherever_its_caller_leaves(yard: Yard) -> None:
    await yard.install(yard.skill())
    bot = await yard.agent("bot")
    await yard.invoke(bot)
    left = 0
    for turns in range(0, 240, 3):
        calling = asyncio.create_task(yard.invoke(bot))
        for _ in range(turns):
            await asyncio.sleep(0)
        calling.cancel()
        for _ in range(turns % 7):
            await asyncio.sleep(0)
        calling.cancel()  # the second time, while the first is being dealt with
        left += isinstance((await asyncio.gather(calling, return_exceptions=True))[0], BaseException)
    assert left > 10, "the calls ended before anybody could leave"
    assert (await yard.invoke(bot)).outcome.result_json == b"2"
    await until_ended(yard.runtime, bot)
    states = {one.state for one in await recorded(yard.runtime, bot)}
    assert states <= {InvocationState.SUCCEEDED, InvocationState.CANCELLED}
    counts = yard.runtime.pool.counts()
    assert (counts.busy, counts.waiting) == (0, 0)
    assert (await yard.runtime.audit.verify(bot.workspace)).broken is None


async def test_a_call_that_left_processes_behind_when_it_was_cancelled_does_not_cost_the_next_one_its_answer(
    yard: Yard,
) -> None:
    code = (
        "import os, signal, time\n\n\ndef run(x: float) -> float:\n"
        "    for _ in range(20 if x else 0):\n"
        "        if os.fork() == 0:\n"
        "            os.setsid()\n"
        "            signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "            time.sleep(100)\n"
        "    time.sleep(x)\n    return x\n"
    )
    await yard.install(yard.skill(code))
    bot = await yard.agent("bot")
    for _ in range(5):
        await yard.invoke(bot, given={"x": 0})
        running = asyncio.create_task(yard.invoke(bot, given={"x": 50}))
        await until(lambda: yard.runtime.pool.counts().busy == 1)
        await asyncio.wait([running], timeout=0.1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert (await yard.invoke(bot, given={"x": 0})).outcome.state is OutcomeState.SUCCEEDED


async def until_ended(runtime: Runtime, agent: Agent) -> None:
    """Wait until no call is open: those whose caller left are ended a moment later."""
    give_up = time.monotonic() + 60
    while any(one.state is InvocationState.ACCEPTED for one in await recorded(runtime, agent)):
        assert time.monotonic() < give_up, "a call stays open"
        await asyncio.sleep(0.05)


_NO_ENDS = """CREATE FUNCTION no_ends() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN RAISE EXCEPTION ''no ends today'' USING ERRCODE = ''check_violation''; END'"""
REFUSE_ENDS = {
    Kind.SQLITE: (
        "CREATE TRIGGER no_ends BEFORE UPDATE ON invocations BEGIN SELECT RAISE(ABORT, 'no ends today'); END",
    ),
    Kind.POSTGRESQL: (
        _NO_ENDS,
        "CREATE TRIGGER no_ends BEFORE UPDATE ON invocations FOR EACH ROW EXECUTE FUNCTION no_ends()",
    ),
}
ACCEPT_ENDS = {Kind.SQLITE: "DROP TRIGGER no_ends", Kind.POSTGRESQL: "DROP TRIGGER no_ends ON invocations"}


async def test_an_end_that_the_database_refused_is_recorded_as_soon_as_it_can_be(yard: Yard) -> None:
    await yard.install(yard.skill(SLEEP))
    bot = await yard.agent("bot")
    await yard.invoke(bot, given={"x": 0})
    url = yard.runtime.settings.database
    await change(url, *REFUSE_ENDS[yard.runtime.database.location.kind])
    with pytest.raises(ConflictError, match="no ends today"):
        await yard.invoke(bot, given={"x": 0})
    assert InvocationState.ACCEPTED in {one.state for one in await recorded(yard.runtime, bot)}
    await change(url, ACCEPT_ENDS[yard.runtime.database.location.kind])
    await until_ended(yard.runtime, bot)
    assert {one.state for one in await recorded(yard.runtime, bot)} == {InvocationState.SUCCEEDED}


async def test_closing_ends_calls_that_run_wait_and_start_and_records_them(
    settings: Settings, slow: tuple[Yard, SlowEngine]
) -> None:
    yard, engine = slow
    await yard.install(yard.skill(SLEEP))
    await yard.install(yard.skill(name="other"))
    bot = await yard.agent("bot")
    await yard.invoke(bot, given={"x": 0})
    running = asyncio.create_task(yard.invoke(bot, given={"x": 50}))
    await until(lambda: yard.runtime.pool.counts().busy == 1)
    engine.answers.clear()
    starting = asyncio.create_task(yard.invoke(bot, "acme/other"))
    await until(lambda: yard.runtime.pool.counts().starting == 1)
    closing = asyncio.create_task(yard.runtime.close())
    with pytest.raises(ShuttingDownError):
        await starting
    engine.answers.set()
    await closing
    assert (await running).outcome.state is OutcomeState.KILLED
    async with await create_runtime(settings) as again:
        states = sorted(one.state for one in await recorded(again, bot))
    assert states == sorted([InvocationState.SUCCEEDED, InvocationState.KILLED, InvocationState.REFUSED])


async def test_files_that_cannot_be_kept_do_not_make_a_call_that_ran_look_refused(yard: Yard) -> None:
    code = "from pathlib import Path\n\n\ndef run() -> None:\n    Path('made.txt').write_text('here')\n"
    await yard.install(yard.skill(code))
    bot = await yard.agent("bot")
    (yard.runtime.settings.home / "artefacts").write_text("a file where the folder should be")
    with pytest.raises((SkillyardError, OSError)):
        await yard.invoke(bot, given={})
    (kept,) = await recorded(yard.runtime, bot)
    assert kept.state is InvocationState.LOST


async def test_uninstalling_waits_for_the_call_that_runs_and_admits_no_other(yard: Yard) -> None:
    await yard.install(yard.skill(SLEEP))
    bot = await yard.agent("bot")
    await yard.invoke(bot, given={"x": 0})
    running = asyncio.create_task(yard.invoke(bot, given={"x": 2}))
    await until(lambda: yard.runtime.pool.counts().busy == 1)
    await yard.runtime.uninstall(REF, workspace=bot.workspace, actor=yard.admin)
    with pytest.raises(SkillyardError, match="not installed"):
        await yard.invoke(bot, given={"x": 0})
    assert (await running).outcome.state is OutcomeState.SUCCEEDED
    await until(lambda: yard.runtime.pool.counts().idle == 0)


async def test_closing_closes_everything_though_the_engine_died(settings: Settings, yard: Yard, tmp_path: Path) -> None:
    await yard.runtime.close()
    home = settings.home
    forwarded = await Forwarded.open(tmp_path / "engine.sock")
    through = settings.model_copy(update={"docker_host": f"unix://{forwarded.path}"})
    runtime = await create_runtime(through)
    try:
        relayed = Yard(runtime, yard.admin, yard.second, yard.folder)
        await relayed.install(relayed.skill())
        assert (await relayed.invoke(await relayed.agent("bot"))).outcome.result_json == b"2"
        await forwarded.close()
    finally:
        await asyncio.gather(runtime.close(), return_exceptions=True)
    assert list((home / "leases").iterdir()) == []
    with pytest.raises(ShuttingDownError):
        await runtime._writer.record(AuditRecord(yard.admin.workspace, utcnow(), SYSTEM, Action.SKILL_REMOVED, "x", {}))
    # Its channel was cut, so the guest has ended by itself.
    await no_containers(yard.runtime.engine, settings)
