"""Held calls that wait: made by themselves once approved, ended with the reason otherwise, in nobody's way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from skillyard.errors import InputError, NotFoundError
from skillyard.governance import audit
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Agent, Allow, Deny, Hold, Maturity
from skillyard.governance.rules import draft_ban
from skillyard.runtime.errors import ShuttingDownError
from skillyard.runtime.runtime import Runtime
from skillyard.runtime.values import Invocation, InvokeRequest, SkillRef
from skillyard.runtime.waiting import Held, TooManyWaitingError
from skillyard.sandbox.outcome import OutcomeState
from skillyard.settings import Settings
from skillyard.times import utcnow
from tests.runtime.conftest import Yard, open_yard, until

LONG = 120.0
PACKAGED = "import iniconfig\n\n\ndef run(x: int) -> str:\n    return iniconfig.__name__\n"


class Waiting:
    """A call that waits, in a task of its own."""

    def __init__(self, runtime: Runtime, agent: Agent, skill: str = "acme/adder", seconds: float = LONG) -> None:
        self.held: list[Held] = []
        request = InvokeRequest(
            workspace=agent.workspace,
            agent=agent.id,
            skill=SkillRef.parse(skill),
            input_json=orjson.dumps({"x": 1}),
            wait_for_approval=seconds,
        )
        self.call = asyncio.create_task(runtime.invoke(request, on_held=self.held.append))

    async def begun(self) -> Held:
        await until(lambda: bool(self.held) or self.call.done())
        assert self.held, self.call.result()
        return self.held[-1]

    async def end(self) -> Invocation:
        async with asyncio.timeout(150):
            return await self.call


async def actions(yard: Yard, about: str) -> list[str]:
    async with yard.runtime.database.reading() as session:
        lines = [orjson.loads(line) async for line in audit.export(session, yard.admin.workspace)]
    return [line["action"] for line in lines if line["subject"] == about]


async def test_a_held_call_is_made_by_itself_once_it_is_approved(yard: Yard) -> None:
    await yard.install(yard.skill())
    waiting = Waiting(yard.runtime, await yard.agent("intern", Maturity.INTERN))
    held = await waiting.begun()
    await yard.runtime.approver.approve(held.approval, person=yard.second)
    done = await waiting.end()
    assert (done.outcome.state, done.outcome.result_json, done.id) == (OutcomeState.SUCCEEDED, b"2", held.invocation)
    assert await actions(yard, f"invocation/{done.id}") == [
        "invocation.held",
        "invocation.admitted",
        "invocation.finished",
    ]
    assert len(yard.runtime.waiting) == 0


async def test_approving_a_part_leaves_it_waiting_for_the_rest(yard: Yard) -> None:
    await yard.install(yard.skill(PACKAGED, python="iniconfig==2.1.0"))
    waiting = Waiting(yard.runtime, await yard.agent("intern", Maturity.INTERN))
    held = await waiting.begun()
    # The package is approved by a rule; the first use is what is left to ask for.
    other = await yard.agent("bot", Maturity.AUTONOMOUS)
    asked = (await yard.invoke(other)).approval
    assert asked is not None
    await yard.runtime.approver.approve(asked, person=yard.second, min_maturity=Maturity.INTERN)
    await until(lambda: len(waiting.held) > 1)
    assert (await waiting.begun()).invocation == held.invocation
    await yard.runtime.approver.approve((await waiting.begun()).approval, person=yard.second)
    assert (await waiting.end()).outcome.result_json == b'"iniconfig"'


async def test_a_denial_ends_the_wait_with_who_said_no_and_why(yard: Yard) -> None:
    await yard.install(yard.skill())
    intern = await yard.agent("intern", Maturity.INTERN)
    waiting = Waiting(yard.runtime, intern)
    held = await waiting.begun()
    await yard.runtime.approver.deny(held.approval, person=yard.second, comment="Use the other one.")
    done = await waiting.end()
    assert isinstance(done.decision, Deny)
    assert done.decision.reasons[0].code == "approval_denied"
    for part in ("second", f"request {held.approval}", "Use the other one."):
        assert part in done.decision.reasons[0].message
    assert done.outcome.refusal == {"decision": "denied", "code": "approval_denied"}
    # The answer stands: asking again, waiting or not, is told the same at once.
    again = await Waiting(yard.runtime, intern).end()
    assert again.decision == done.decision
    assert (await yard.invoke(intern)).decision == done.decision


async def test_a_ban_ends_the_wait(yard: Yard) -> None:
    await yard.install(yard.skill(PACKAGED, python="iniconfig==2.1.0"))
    waiting = Waiting(yard.runtime, await yard.agent("bot"))
    await waiting.begun()
    ban = draft_ban(ecosystem="pypi", name="iniconfig", reason="bad news", now=utcnow())
    await yard.runtime.packages.add(ban, by=Administrator.of(yard.admin))
    done = await waiting.end()
    assert done.outcome.refusal == {"decision": "denied", "code": "banned_package"}


async def test_a_suspension_and_a_removal_end_the_wait(yard: Yard) -> None:
    await yard.install(yard.skill())
    suspended, left = await yard.agent("suspended", Maturity.INTERN), await yard.agent("left", Maturity.INTERN)
    first, second = Waiting(yard.runtime, suspended), Waiting(yard.runtime, left)
    await first.begun()
    held = await second.begun()
    await yard.runtime.agents.suspend(suspended.id, by=Administrator.of(yard.admin), reason="Too eager.")
    assert (await first.end()).outcome.refusal == {"decision": "denied", "code": "agent_suspended"}
    assert not second.call.done(), "a change that leaves a call held wakes nobody for good"
    await yard.runtime.uninstall(SkillRef("acme", "adder"), workspace=left.workspace, actor=yard.admin)
    with pytest.raises(NotFoundError):
        await second.end()
    review = await yard.runtime.reviewer.one(left.workspace, held.approval)
    assert review.request.state.value == "withdrawn"


async def test_a_wait_that_is_over_says_so_and_the_request_goes_on_waiting(yard: Yard) -> None:
    await yard.install(yard.skill())
    waiting = Waiting(yard.runtime, await yard.agent("intern", Maturity.INTERN), seconds=0.2)
    done = await waiting.end()
    assert isinstance(done.decision, Hold)
    assert done.outcome.refusal == {"decision": "held", "code": "approval_timeout"}
    assert await actions(yard, f"invocation/{done.id}") == ["invocation.held", "invocation.refused"]
    assert done.approval is not None
    review = await yard.runtime.reviewer.one(yard.admin.workspace, done.approval)
    assert review.request.state.value == "pending"


async def test_a_longer_wait_than_allowed_is_refused_before_anything_is_asked(yard: Yard) -> None:
    await yard.install(yard.skill())
    with pytest.raises(InputError) as refused:
        await Waiting(yard.runtime, await yard.agent("intern", Maturity.INTERN), seconds=3601).end()
    assert refused.value.field == "wait_for_approval"


async def test_a_call_that_needs_no_approval_does_not_wait(yard: Yard) -> None:
    await yard.install(yard.skill())
    done = await Waiting(yard.runtime, await yard.agent("bot")).end()
    assert isinstance(done.decision, Allow)


async def test_a_caller_who_leaves_gives_the_place_back(yard: Yard) -> None:
    await yard.install(yard.skill())
    waiting = Waiting(yard.runtime, await yard.agent("intern", Maturity.INTERN))
    await waiting.begun()
    assert len(yard.runtime.waiting) == 1
    waiting.call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting.end()
    assert len(yard.runtime.waiting) == 0


@pytest.fixture
async def narrow(settings: Settings, tmp_path: Path) -> AsyncIterator[Yard]:
    """A yard with one sandbox at a time and two places to wait."""
    few = settings.model_copy(update={"max_sandboxes": 1, "max_waiting_for_approval": 2, "idle_timeout": 1.0})
    opened = await open_yard(few, tmp_path / "skills")
    yield opened
    await opened.runtime.close()


async def test_who_waits_is_in_nobodys_way_and_waiting_is_bounded(narrow: Yard) -> None:
    await narrow.install(narrow.skill())
    interns = [await narrow.agent(f"intern-{number}", Maturity.INTERN) for number in range(3)]
    waiting = [Waiting(narrow.runtime, one) for one in interns[:2]]
    for one in waiting:
        await one.begun()
    with pytest.raises(TooManyWaitingError) as refused:
        await Waiting(narrow.runtime, interns[2]).end()
    assert refused.value.approval
    # Neither a sandbox nor a claim on one is taken by those who wait.
    assert narrow.runtime.pool.counts().waiting == 0
    bot = await narrow.agent("bot")
    assert (await narrow.invoke(bot)).outcome.state is OutcomeState.SUCCEEDED
    for one in waiting:
        await narrow.runtime.approver.approve((await one.begun()).approval, person=narrow.second)
    assert [(await one.end()).outcome.state for one in waiting] == [OutcomeState.SUCCEEDED] * 2


async def test_a_server_that_stops_sends_everybody_away(settings: Settings, tmp_path: Path) -> None:
    opened = await open_yard(settings, tmp_path / "skills")
    await opened.install(opened.skill())
    waiting = Waiting(opened.runtime, await opened.agent("intern", Maturity.INTERN))
    await waiting.begun()
    await opened.runtime.close()
    with pytest.raises(ShuttingDownError):
        await waiting.end()


_APPROVE = """
import asyncio, sys
from skillyard.database import open_database
from skillyard.governance import approvals
from skillyard.runtime.stored import locks_from_json
from skillyard.runtime.tables import SkillVersionRow
from skillyard.times import utcnow
async def main(url, workspace, approval, person):
    database = await open_database(url)
    async with database.transaction() as session:
        asked = await approvals.get(session, workspace, approval)
        row = await session.get(SkillVersionRow, asked.skill_version_id)
        locks = locks_from_json(row.lock_json)
        await approvals.approve(session, workspace, approval, by=person, locks=locks, at=utcnow())
    await database.close()
asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
"""


async def test_an_approval_by_another_process_wakes_the_call(yard: Yard) -> None:
    await yard.install(yard.skill())
    waiting = Waiting(yard.runtime, await yard.agent("intern", Maturity.INTERN))
    held = await waiting.begun()
    ids: list[Any] = [yard.admin.workspace, held.approval, yard.second.person.id]
    await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _APPROVE, yard.runtime.settings.database, *map(str, ids)],
        check=True,
        timeout=120,
    )
    assert (await waiting.end()).outcome.state is OutcomeState.SUCCEEDED
