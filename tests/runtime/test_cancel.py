"""Calls cancelled from outside: at once, by those who may, in exactly one state, whichever process runs them."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from skillyard.errors import NotFoundError
from skillyard.governance import people
from skillyard.governance.decision import Agent, Maturity
from skillyard.governance.errors import AdminRoleError
from skillyard.governance.identity import AgentPrincipal, PersonPrincipal, Role, TokenId
from skillyard.ids import InvocationId
from skillyard.runtime.invocations import get_invocation
from skillyard.runtime.journal import AlreadyFinishedError
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.runtime.states import InvocationState
from skillyard.runtime.values import Invocation, InvokeRequest, SkillRef
from skillyard.sandbox.outcome import OutcomeState
from skillyard.times import utcnow
from tests.runtime.conftest import Yard, until

WAITS = (
    "import time\n\n\ndef run(x: float) -> float:\n    print('begun', flush=True)\n    time.sleep(x)\n    return x\n"
)


def as_agent(agent: Agent) -> AgentPrincipal:
    return AgentPrincipal(TokenId(0), agent)


class Started:
    """A call that is under way in a task of its own."""

    def __init__(self, runtime: Runtime, agent: Agent, seconds: float) -> None:
        request = InvokeRequest(
            agent.workspace, agent.id, SkillRef.parse("acme/adder"), input_json=orjson.dumps({"x": seconds})
        )
        self.admitted: asyncio.Future[InvocationId] = asyncio.get_running_loop().create_future()
        self.begun = asyncio.Event()
        self.task = asyncio.create_task(
            runtime.invoke(request, lambda _emitted: self.begun.set(), self.admitted.set_result)
        )

    async def running(self) -> InvocationId:
        """Its id, once the skill's own code runs."""
        await self.begun.wait()
        return await self.admitted


async def recorded(runtime: Runtime, agent: Agent, call: InvocationId) -> Any:
    async with runtime.database.reading() as session:
        return await get_invocation(session, agent.workspace, call)


async def started(yard: Yard, name: str = "bot", seconds: float = 600) -> tuple[Started, Agent]:
    await yard.install(yard.skill(WAITS))
    bot = await yard.agent(name)
    return Started(yard.runtime, bot, seconds), bot


async def test_a_cancelled_call_is_killed_at_once_and_its_caller_gets_an_outcome(yard: Yard) -> None:
    call, bot = await started(yard)
    invocation = await call.running()
    record = await yard.runtime.cancel(invocation, principal=as_agent(bot))
    assert (record.state, record.reason) == (InvocationState.CANCELLED, f"cancelled by agent {bot.id}")
    ended: Invocation = await call.task
    assert (ended.id, ended.outcome.state) == (invocation, OutcomeState.CANCELLED)
    assert ended.outcome.reason == f"cancelled by agent {bot.id}"
    assert not yard.runtime.calls
    with pytest.raises(AlreadyFinishedError, match="cancelled"):
        await yard.runtime.cancel(invocation, principal=as_agent(bot))
    assert (await yard.invoke(bot, given={"x": 0})).outcome.state is OutcomeState.SUCCEEDED


async def test_a_call_that_waits_for_a_sandbox_is_cancelled_as_well(yard: Yard) -> None:
    call, bot = await started(yard)
    await call.running()
    most = yard.runtime.settings.max_sandboxes_per_skill
    others = [Started(yard.runtime, bot, 600) for _ in range(most - 1)]
    for one in others:
        await one.running()
    waiting = Started(yard.runtime, bot, 600)
    invocation = await waiting.admitted
    await until(lambda: yard.runtime.pool.counts().waiting == 1)
    await yard.runtime.cancel(invocation, principal=yard.admin)
    ended = await waiting.task
    assert ended.outcome.state is OutcomeState.CANCELLED
    assert yard.runtime.pool.counts().waiting == 0
    for one in (call, *others):
        await yard.runtime.cancel(await one.admitted, principal=yard.admin)
        await one.task


async def test_who_may_cancel(yard: Yard) -> None:
    call, bot = await started(yard)
    invocation = await call.running()
    async with yard.runtime.database.transaction() as session:
        member = await people.add_person(
            session, yard.admin.workspace, "member", Role.MEMBER, by=yard.admin.actor, at=utcnow()
        )
    with pytest.raises(NotFoundError):
        await yard.runtime.cancel(invocation, principal=as_agent(await yard.agent("other")))
    with pytest.raises(AdminRoleError):
        await yard.runtime.cancel(invocation, principal=PersonPrincipal(TokenId(0), member))
    async with yard.runtime.database.transaction() as session:
        elsewhere = await people.create_workspace(session, "elsewhere", by=yard.admin.actor, at=utcnow())
        foreign = await people.add_person(
            session, elsewhere.id, "foreign", Role.ADMIN, by=yard.admin.actor, at=utcnow()
        )
    with pytest.raises(NotFoundError):
        await yard.runtime.cancel(invocation, principal=PersonPrincipal(TokenId(0), foreign))
    assert (await recorded(yard.runtime, bot, invocation)).state is InvocationState.ACCEPTED
    record = await yard.runtime.cancel(invocation, principal=yard.second)
    assert record.reason == f"cancelled by person {yard.second.person.id}"
    await call.task


async def test_the_owner_of_an_agent_may_cancel_its_calls_without_being_an_admin(yard: Yard) -> None:
    await yard.install(yard.skill(WAITS))
    async with yard.runtime.database.transaction() as session:
        owner = await people.add_person(
            session, yard.admin.workspace, "owner", Role.MEMBER, by=yard.admin.actor, at=utcnow()
        )
        agent = await people.add_agent(
            session,
            yard.admin.workspace,
            "owned",
            owner=owner.id,
            maturity=Maturity.AUTONOMOUS,
            by=yard.admin.actor,
            at=utcnow(),
        )
    call = Started(yard.runtime, agent, 600)
    record = await yard.runtime.cancel(await call.running(), principal=PersonPrincipal(TokenId(0), owner))
    assert record.state is InvocationState.CANCELLED
    await call.task


async def test_a_cancellation_and_the_natural_end_never_both_count(yard: Yard) -> None:
    await yard.install(yard.skill(WAITS))
    bot = await yard.agent("bot")
    await yard.invoke(bot, given={"x": 0})
    for moment in range(60):
        call = Started(yard.runtime, bot, 0)
        invocation = await call.admitted
        # Not to wait for anything: so that the cancellation meets the call at another point of its way each time.
        for _ in range(moment):
            await asyncio.sleep(0)
        try:
            told = (await yard.runtime.cancel(invocation, principal=yard.admin)).state
        except AlreadyFinishedError:
            told = None
        ended = await call.task
        record = await recorded(yard.runtime, bot, invocation)
        assert record.state.value == ended.outcome.state.value
        assert told is (InvocationState.CANCELLED if ended.outcome.state is OutcomeState.CANCELLED else None)
        assert ended.outcome.state in {OutcomeState.CANCELLED, OutcomeState.SUCCEEDED}
    assert (await yard.runtime.audit.verify(yard.admin.workspace)).broken is None


async def test_a_call_of_another_process_is_cancelled_through_the_database(yard: Yard) -> None:
    call, bot = await started(yard)
    invocation = await call.running()
    async with await create_runtime(yard.runtime.settings) as other:
        record = await other.cancel(invocation, principal=yard.admin)
        assert record.state is InvocationState.ACCEPTED
        assert record.cancel_requested_at is not None
        ended = await call.task
        assert ended.outcome.state is OutcomeState.CANCELLED
        assert (await recorded(other, bot, invocation)).reason == f"cancelled by person {yard.admin.person.id}"


async def test_a_caller_that_leaves_as_well_still_gets_its_own_cancellation(yard: Yard) -> None:
    call, bot = await started(yard)
    invocation = await call.running()
    cancelling = asyncio.create_task(yard.runtime.cancel(invocation, principal=yard.admin))
    await asyncio.sleep(0)
    call.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.task
    await asyncio.wait([cancelling])
    assert (await recorded(yard.runtime, bot, invocation)).state is InvocationState.CANCELLED


async def test_a_call_that_nobody_waits_for_ends_with_the_runtime_and_on_record(yard: Yard) -> None:
    call, bot = await started(yard)
    invocation = await call.running()
    yard.runtime.calls.adopt(call.task)
    await yard.runtime.close()
    assert call.task.done()
    async with await create_runtime(yard.runtime.settings) as again:
        assert (await recorded(again, bot, invocation)).state is InvocationState.KILLED
