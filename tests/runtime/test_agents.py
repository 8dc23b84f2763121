"""Agents: what the records say of one, a suspension that stops what runs, a demotion that acts at once."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from skillyard.errors import InputError, NotFoundError
from skillyard.governance import audit, maturity
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Agent, Deny, Maturity
from skillyard.ids import AgentId
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.runtime.values import Invocation, InvokeRequest, SkillRef
from skillyard.sandbox.outcome import OutcomeState
from tests.runtime.conftest import Yard, until

FAILS_BELOW_ZERO = """
import time


def run(x: float) -> float:
    if x < 0:
        raise ValueError(x)
    time.sleep(x)
    return x
"""


def as_admin(yard: Yard) -> Administrator:
    return Administrator.of(yard.second)


async def test_evidence_is_counted_from_what_was_recorded(yard: Yard) -> None:
    await yard.install(yard.skill(FAILS_BELOW_ZERO))
    bot, other = await yard.agent("bot", Maturity.SUPERVISED), await yard.agent("other")
    nothing = await yard.runtime.agents.evidence(bot.workspace, bot.id)
    assert (nothing.figures.calls, nothing.figures.success, nothing.figures.median_wall_seconds) == (0, None, None)
    for x in (0, 0, -1):
        await yard.invoke(bot, given={"x": x})
    timed_out = await yard.invoke(bot, given={"x": 50}, timeout_seconds=1.0)
    assert timed_out.outcome.state is OutcomeState.TIMED_OUT
    await yard.invoke(other, given={"x": 0})
    running = asyncio.create_task(yard.invoke(bot, given={"x": 600}))
    await until(lambda: yard.runtime.pool.counts().busy > 0)
    student = await yard.agent("student", Maturity.STUDENT)
    await yard.invoke(student, given={"x": 0})
    found = (await yard.runtime.agents.evidence(bot.workspace, bot.id)).figures
    assert (found.calls, found.skills) == (5, 1)
    assert found.states == {"accepted": 1, "succeeded": 2, "failed": 1, "timed_out": 1}
    assert found.success is not None
    assert (found.success.part, found.success.whole, found.success.rate) == (2, 4, 0.5)
    assert found.median_wall_seconds is not None
    assert 0 < found.median_wall_seconds < 1
    denied = await yard.runtime.agents.evidence(student.workspace, student.id)
    assert (denied.figures.calls, denied.hits.denied) == (0, {"student_code": 1})
    async with yard.runtime.database.reading() as session:
        from_chain = [line async for line in audit.export(session, bot.workspace) if b"invocation.finished" in line]
    assert len(from_chain) == 5, "four of its own, one of the other agent"
    await yard.runtime.agents.suspend(bot.id, by=as_admin(yard), reason="over")
    await running
    after = (await yard.runtime.agents.evidence(bot.workspace, bot.id)).figures
    assert after.states["cancelled"] == 1
    assert after.success == found.success, "what somebody ended says nothing about the agent"
    for days in (0, -1, 1e9, float("nan")):
        with pytest.raises(InputError):
            await yard.runtime.agents.evidence(bot.workspace, bot.id, days=days)
    with pytest.raises(NotFoundError):
        await yard.runtime.agents.evidence(bot.workspace, AgentId(404))


async def test_a_suspension_stops_what_runs_in_every_process(yard: Yard) -> None:
    await yard.install(yard.skill(FAILS_BELOW_ZERO))
    bot, other = await yard.agent("bot"), await yard.agent("other")
    running = [asyncio.create_task(yard.invoke(bot, given={"x": 600})) for _ in range(2)]
    untouched = asyncio.create_task(yard.invoke(other, given={"x": 600}))
    await until(lambda: yard.runtime.pool.counts().busy == 3)
    async with await create_runtime(yard.runtime.settings) as elsewhere:
        await elsewhere.agents.suspend(bot.id, by=as_admin(yard), reason="odd calls")
        for ended in await asyncio.gather(*running):
            assert ended.outcome.state is OutcomeState.CANCELLED
            assert (ended.outcome.reason or "").endswith("the agent was suspended: odd calls")
    refused = await yard.invoke(bot, given={"x": 0})
    assert refused.outcome.refusal == {"decision": "denied", "code": "agent_suspended"}
    assert not untouched.done()
    await yard.runtime.agents.suspend(other.id, by=as_admin(yard), reason="done")
    assert (await untouched).outcome.state is OutcomeState.CANCELLED
    await yard.runtime.agents.resume(bot.id, by=as_admin(yard), reason="explained")
    assert (await yard.invoke(bot, given={"x": 0})).outcome.state is OutcomeState.SUCCEEDED


async def test_calls_that_run_when_their_agent_is_demoted_go_on_to_their_end(yard: Yard) -> None:
    await yard.install(yard.skill(FAILS_BELOW_ZERO))
    bot = await yard.agent("bot")
    running = asyncio.create_task(yard.invoke(bot, given={"x": 3}))
    await until(lambda: yard.runtime.pool.counts().busy == 1)
    await yard.runtime.agents.change_maturity(bot.id, Maturity.STUDENT, by=as_admin(yard), reason="it guesses")
    assert isinstance((await yard.invoke(bot, given={"x": 0})).decision, Deny)
    assert (await running).outcome.state is OutcomeState.SUCCEEDED
    async with yard.runtime.database.reading() as session:
        (change,) = await maturity.changes(session, bot.workspace, bot.id)
    assert (change.before, change.after, change.evidence["calls"]) == (Maturity.AUTONOMOUS, Maturity.STUDENT, 1)


async def test_no_call_is_admitted_behind_a_demotion(yard: Yard) -> None:
    """Many callers at once, in two processes; the chain has the order in which things were committed."""
    await yard.install(yard.skill())
    bot = await yard.agent("bot")
    await yard.invoke(bot)
    stop = asyncio.Event()
    made: list[Invocation] = []

    async def calls(runtime: Runtime) -> None:
        request = InvokeRequest(bot.workspace, bot.id, SkillRef.parse("acme/adder"), input_json=b'{"x": 1}')
        while not stop.is_set():
            made.append(await runtime.invoke(request))

    async with await create_runtime(yard.runtime.settings) as other:
        callers = [asyncio.create_task(calls(one)) for one in (yard.runtime, other) for _ in range(4)]
        for after in (Maturity.STUDENT, Maturity.AUTONOMOUS, Maturity.STUDENT):
            before = await _admitted(yard, bot)
            if after is Maturity.STUDENT:
                await _until_more(yard, bot, before)
            await yard.runtime.agents.change_maturity(bot.id, after, by=as_admin(yard), reason="to and fro", force=True)
        await until(lambda: any(isinstance(one.decision, Deny) for one in made))
        stop.set()
        await asyncio.gather(*callers)
    assert {type(one.decision).__name__ for one in made} == {"Allow", "Deny"}
    trusted, admitted = Maturity.AUTONOMOUS, 0
    async with yard.runtime.database.reading() as session:
        async for line in audit.export(session, bot.workspace):
            entry = orjson.loads(line)
            if entry["action"] == "agent.maturity_changed":
                trusted = Maturity[orjson.loads(entry["payload"])["to"]]
            elif entry["action"] == "invocation.admitted":
                assert trusted is Maturity.AUTONOMOUS, "a call was admitted behind the demotion"
                admitted += 1
    assert admitted == sum(one.outcome.state is not OutcomeState.REFUSED for one in made) + 1


async def _admitted(yard: Yard, agent: Agent) -> int:
    return (await yard.runtime.agents.evidence(agent.workspace, agent.id)).figures.calls


async def _until_more(yard: Yard, agent: Agent, than: int) -> None:
    for _ in range(6000):
        if await _admitted(yard, agent) >= than + 8:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("no more calls were admitted")
