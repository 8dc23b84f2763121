"""Calls: decided, admitted, run and recorded, in that order and each exactly once."""

from __future__ import annotations

import asyncio
import os
import signal

import orjson
import pytest
from skillyard.errors import NotFoundError
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Allow, Deny, Hold, Maturity
from skillyard.governance.errors import SecondPersonError
from skillyard.governance.rules import draft_ban
from skillyard.ids import AgentId
from skillyard.runtime.instance import home_id
from skillyard.runtime.invocations import get_invocation, invocations
from skillyard.runtime.runtime import create_runtime
from skillyard.runtime.states import InvocationState
from skillyard.sandbox.errors import EngineUnavailableError
from skillyard.sandbox.outcome import OutcomeState
from skillyard.settings import Settings
from skillyard.times import utcnow
from tests.guest_processes import guest_processes
from tests.runtime.conftest import Yard, until


async def test_a_call_answers_and_is_recorded(yard: Yard) -> None:
    await yard.install(yard.skill())
    done = await yard.invoke(await yard.agent("bot"), given={"x": 41})
    assert (done.outcome.state, done.outcome.result_json) == (OutcomeState.SUCCEEDED, b"42")
    assert isinstance(done.decision, Allow)
    async with yard.runtime.database.reading() as session:
        kept = await get_invocation(session, yard.admin.workspace, done.id)
    assert kept.state is InvocationState.SUCCEEDED
    assert (await yard.runtime.audit.verify(yard.admin.workspace)).broken is None


async def test_a_skill_that_raises_is_failed_and_leaves_the_sandbox_usable(yard: Yard) -> None:
    await yard.install(yard.skill("def run(x: int) -> float:\n    return 1 / x\n"))
    bot = await yard.agent("bot")
    broken = await yard.invoke(bot, given={"x": 0})
    fine = await yard.invoke(bot, given={"x": 2})
    assert broken.outcome.state is OutcomeState.FAILED
    assert "ZeroDivisionError" in (broken.outcome.reason or "")
    assert fine.outcome.result_json == b"0.5"
    assert yard.runtime.pool.counts().idle == 1


async def test_a_call_that_had_not_begun_when_its_sandbox_went_away_runs_in_another(yard: Yard) -> None:
    await yard.install(yard.skill())
    bot = await yard.agent("bot")
    await yard.invoke(bot, given={"x": 1})
    engine, mine = yard.runtime.engine, {"skillyard.instance": home_id(yard.runtime.settings.home)}
    (warm,) = await engine.containers(mine)
    guest = await guest_processes(engine, warm.id)
    os.kill(guest.relay, signal.SIGSTOP)
    guest.kill_zygote()
    sent = asyncio.create_task(yard.invoke(bot, given={"x": 2}))
    try:
        await until(lambda: yard.runtime.pool.counts().busy == 1)
    finally:
        os.kill(guest.relay, signal.SIGCONT)
    done = await sent
    assert (done.outcome.state, done.outcome.result_json) == (OutcomeState.SUCCEEDED, b"3")
    async with asyncio.timeout(60):
        while warm.id in {one.id for one in await engine.containers(mine)}:  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.05)


async def test_a_shell_script_is_called_like_any_other(yard: Yard) -> None:
    folder = yard.skill()
    (folder / "scripts" / "greet.sh").write_text('read -r line\necho "hello $1 $line"\nexit 3\n')
    await yard.install(folder)
    done = await yard.invoke(await yard.agent("bot"), entry="scripts/greet.sh", argv=("you",), stdin=b"there\n")
    assert (done.outcome.stdout, done.outcome.exit_code) == (b"hello you there\n", 3)
    assert done.outcome.state is OutcomeState.FAILED


async def test_many_callers_at_once_each_get_their_own_answer(yard: Yard) -> None:
    await yard.install(yard.skill())
    bot = await yard.agent("bot")
    done = await asyncio.gather(*(yard.invoke(bot, given={"x": number}) for number in range(40)))
    assert [orjson.loads(one.outcome.result_json or b"null") for one in done] == list(range(1, 41))
    assert yard.runtime.pool.counts().idle <= yard.runtime.settings.max_sandboxes_per_skill


async def test_an_interns_call_is_held_until_a_second_person_approves_the_lock(yard: Yard) -> None:
    code = "import iniconfig\n\n\ndef run() -> str:\n    return iniconfig.__name__\n"
    await yard.install(yard.skill(code, python="iniconfig==2.1.0"))
    intern = await yard.agent("intern", Maturity.INTERN)
    held = await yard.invoke(intern, given={})
    assert isinstance(held.decision, Hold)
    assert held.outcome.state is OutcomeState.REFUSED
    assert held.approval is not None
    assert (await yard.invoke(intern, given={})).approval == held.approval
    with pytest.raises(SecondPersonError):
        await yard.runtime.approver.approve(held.approval, person=yard.admin)
    await yard.runtime.approver.approve(held.approval, person=yard.second)
    assert (await yard.invoke(intern, given={})).outcome.result_json == b'"iniconfig"'


async def test_a_student_gets_instructions_and_nothing_that_executes(yard: Yard) -> None:
    await yard.install(yard.skill())
    guide = yard.folder / "guide" / "guide"
    guide.mkdir(parents=True)
    (guide / "SKILL.md").write_text("---\nname: guide\ndescription: How to.\n---\nBe brief.\n")
    await yard.install(guide)
    student = await yard.agent("student", Maturity.STUDENT)
    denied, told = await yard.invoke(student), await yard.invoke(student, "acme/guide")
    assert isinstance(denied.decision, Deny)
    assert "Be brief." in orjson.loads(told.outcome.result_json or b"{}")["instructions"]


async def test_an_unknown_agent_is_denied(yard: Yard) -> None:
    await yard.install(yard.skill())
    bot = await yard.agent("bot")
    stranger = type(bot)(AgentId(99_999), bot.workspace, "x", bot.owner, bot.maturity, bot.state)
    assert (await yard.invoke(stranger)).outcome.refusal == {"decision": "denied", "code": "unknown_agent"}


async def test_a_demotion_acts_on_the_very_next_call(yard: Yard) -> None:
    await yard.install(yard.skill())
    bot = await yard.agent("bot")
    assert (await yard.invoke(bot)).outcome.state is OutcomeState.SUCCEEDED
    by = Administrator.of(yard.admin)
    await yard.runtime.agents.change_maturity(bot.id, Maturity.STUDENT, by=by, reason="it guesses")
    assert isinstance((await yard.invoke(bot)).decision, Deny)


async def test_a_ban_stops_the_running_call_and_refuses_the_next(yard: Yard) -> None:
    code = "import time\n\n\ndef run(seconds: float) -> None:\n    time.sleep(seconds)\n"
    await yard.install(yard.skill(code, python="iniconfig==2.1.0"))
    bot = await yard.agent("bot")
    held = await yard.invoke(bot, given={"seconds": 0})
    assert held.approval is not None
    await yard.runtime.approver.approve(held.approval, person=yard.second)
    await yard.invoke(bot, given={"seconds": 0})
    running = asyncio.create_task(yard.invoke(bot, given={"seconds": 50}))
    await until(lambda: yard.runtime.pool.counts().busy > 0)
    ban = draft_ban(ecosystem="pypi", name="iniconfig", reason="bad news", now=utcnow())
    await yard.runtime.packages.add(ban, by=Administrator.of(yard.admin))
    stopped, refused = await running, await yard.invoke(bot, given={"seconds": 0})
    assert stopped.outcome.state is OutcomeState.KILLED
    assert "banned" in (stopped.outcome.reason or "")
    assert refused.outcome.refusal == {"decision": "denied", "code": "banned_package"}


async def test_a_ban_made_by_another_process_stops_the_running_call(settings: Settings, yard: Yard) -> None:
    code = "import time\n\n\ndef run(seconds: float) -> None:\n    time.sleep(seconds)\n"
    await yard.install(yard.skill(code, python="iniconfig==2.1.0"))
    bot = await yard.agent("bot")
    held = await yard.invoke(bot, given={"seconds": 0})
    assert held.approval is not None
    await yard.runtime.approver.approve(held.approval, person=yard.second)
    await yard.invoke(bot, given={"seconds": 0})
    running = asyncio.create_task(yard.invoke(bot, given={"seconds": 50}))
    await until(lambda: yard.runtime.pool.counts().busy > 0)
    async with await create_runtime(settings) as other:
        ban = draft_ban(ecosystem="pypi", name="iniconfig", reason="bad news", now=utcnow())
        await other.packages.add(ban, by=Administrator.of(yard.admin))
        assert (await running).outcome.state is OutcomeState.KILLED


async def test_a_cancelled_call_ends_as_cancelled_and_the_next_works(yard: Yard) -> None:
    await yard.install(yard.skill("import time\n\n\ndef run(x: float) -> None:\n    time.sleep(x)\n"))
    bot = await yard.agent("bot")
    await yard.invoke(bot, given={"x": 0})
    running = asyncio.create_task(yard.invoke(bot, given={"x": 50}))
    await until(lambda: yard.runtime.pool.counts().busy > 0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await yard.invoke(bot, given={"x": 0})).outcome.state is OutcomeState.SUCCEEDED


async def test_an_entry_that_is_not_there_names_those_that_are(yard: Yard) -> None:
    await yard.install(yard.skill())
    with pytest.raises(NotFoundError, match=r"scripts/main\.py:run"):
        await yard.invoke(await yard.agent("bot"), entry="scripts/other.py")


async def test_an_engine_that_is_down_refuses_the_call_and_records_it(settings: Settings, yard: Yard) -> None:
    await yard.install(yard.skill())
    bot = await yard.agent("bot")
    await yard.runtime.close()
    down = settings.model_copy(update={"docker_host": "unix:///nowhere/docker.sock"})
    async with await create_runtime(down) as runtime:
        offline = Yard(runtime, yard.admin, yard.second, yard.folder)
        with pytest.raises(EngineUnavailableError):
            await offline.invoke(bot)
        async with runtime.database.reading() as session:
            (kept,) = await invocations(session, yard.admin.workspace, limit=10)
    assert kept.state is InvocationState.REFUSED
