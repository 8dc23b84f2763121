"""Swaps under calls that never pause: each call ends once, by a version that was active when it was admitted.

What was active when is read from the database: the rules epoch of each admission lies between the epochs at which the
pointer moved. Nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
import pytest
from skillyard.errors import ConflictError, SkillyardError
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Agent
from skillyard.governance.rules import draft_approval, draft_ban
from skillyard.ids import SkillVersionId
from skillyard.runtime.errors import DecisionRefusedError, VersionStoppedError
from skillyard.runtime.states import InvocationState
from skillyard.runtime.tables import InvocationRow
from skillyard.runtime.values import Invocation, SkillRef
from skillyard.sandbox.errors import HealthError
from skillyard.sandbox.outcome import OutcomeState
from skillyard.times import utcnow
from sqlalchemy import select
from tests.runtime.conftest import Yard, until

REF = SkillRef("acme", "adder")
PACED = 50
"""Calls a second that are begun, whether or not earlier ones have ended."""
MOST = 100
"""Calls under way at once: a slow machine gets fewer calls, not refused ones."""


def version(number: str) -> str:
    return f"def run() -> str:\n    return {number!r}\n"


BROKEN = "import nowhere_to_be_found\n\n\ndef run() -> str: ...\n"


@dataclass
class Traffic:
    """Calls in the background, and what came of each."""

    yard: Yard
    agent: Agent
    calls: set[asyncio.Task[None]] = field(default_factory=set)
    done: list[Invocation] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    async def begin_calls(self) -> None:
        while True:
            if len(self.calls) < MOST:
                task = asyncio.create_task(self._call())
                self.calls.add(task)
                task.add_done_callback(self.calls.discard)
            await asyncio.sleep(1 / PACED)

    async def _call(self) -> None:
        try:
            self.done.append(await self.yard.invoke(self.agent, given={}))
        except SkillyardError as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    async def more(self, calls: int = 20) -> None:
        """Go on for that many calls."""
        wanted = len(self.done) + len(self.errors) + calls
        await until(lambda: len(self.done) + len(self.errors) >= wanted)

    @property
    def failed(self) -> list[object]:
        return [one.outcome for one in self.done if one.outcome.state is not OutcomeState.SUCCEEDED] + [*self.errors]


@asynccontextmanager
async def calling(yard: Yard) -> AsyncIterator[Traffic]:
    traffic = Traffic(yard, await yard.agent("bot"))
    pacing = asyncio.create_task(traffic.begin_calls())
    try:
        await traffic.more()
        yield traffic
    finally:
        pacing.cancel()
        await asyncio.gather(pacing, return_exceptions=True)
        await asyncio.gather(*traffic.calls)


async def every_call_ended_once(yard: Yard, traffic: Traffic) -> None:
    """In the database too, and as what its caller was told."""
    async with yard.runtime.database.reading() as session:
        states = {row.id: row.state for row in await session.scalars(select(InvocationRow))}
    assert InvocationState.ACCEPTED not in states.values()
    assert InvocationState.LOST not in states.values()
    admitted = {one.id: one.outcome.state.value for one in traffic.done if one.outcome.state.value != "refused"}
    assert admitted.items() <= {id_: state.value for id_, state in states.items()}.items()


async def each_was_answered_by_what_was_active(yard: Yard, traffic: Traffic, moves: list[tuple[int, str]]) -> None:
    """``moves`` are the epochs from which on a version was the pointer's, in order."""
    async with yard.runtime.database.reading() as session:
        epochs = {row.id: row.epoch for row in await session.scalars(select(InvocationRow))}
    for one in traffic.done:
        if one.outcome.result_json is None:
            continue
        active = [name for epoch, name in moves if epoch <= epochs[one.id]][-1]
        assert orjson.loads(one.outcome.result_json) == active == one.skill.version


async def only_the_active_version_is_kept_warm(yard: Yard) -> None:
    active = (await yard.runtime.version(yard.admin.workspace, REF)).id
    await until(lambda: {place.version for place in yard.runtime.pool.places} == {active})


async def moved(yard: Yard, name: str) -> tuple[int, str]:
    view = await yard.runtime.views.current(yard.admin.workspace)
    assert view.find(REF).version == name
    return view.epoch, name


async def test_upgrades_rollbacks_and_failing_upgrades_lose_no_call(yard: Yard) -> None:
    await yard.install(yard.skill(version("1.0.0")))
    moves = [await moved(yard, "1.0.0")]
    async with calling(yard) as traffic:
        await yard.upgrade(yard.skill(version("2.0.0"), version="2.0.0"))
        moves.append(await moved(yard, "2.0.0"))
        await traffic.more()
        with pytest.raises(HealthError):
            await yard.upgrade(yard.skill(BROKEN, version="3.0.0"))
        await traffic.more()
        await yard.runtime.rollback(REF, workspace=yard.admin.workspace, actor=yard.admin)
        moves.append(await moved(yard, "1.0.0"))
        await traffic.more()
        await yard.runtime.uninstall(
            SkillRef("acme", "adder", "2.0.0"), workspace=yard.admin.workspace, actor=yard.admin
        )
        await traffic.more()
    assert traffic.failed == []
    assert {one.skill.version for one in traffic.done} == {"1.0.0", "2.0.0"}
    await only_the_active_version_is_kept_warm(yard)
    await every_call_ended_once(yard, traffic)
    await each_was_answered_by_what_was_active(yard, traffic, moves)


async def test_two_upgrades_at_once_under_calls_lose_none_and_one_wins(yard: Yard) -> None:
    await yard.install(yard.skill(version("1.0.0")))
    async with calling(yard) as traffic:
        done = await asyncio.gather(
            *(yard.upgrade(yard.skill(version(number), version=number)) for number in ("2.0.0", "3.0.0")),
            return_exceptions=True,
        )
        await traffic.more()
    refused = [one for one in done if isinstance(one, BaseException)]
    assert all(isinstance(one, ConflictError) for one in refused), refused
    assert traffic.failed == []
    active = (await yard.runtime.version(yard.admin.workspace, REF)).version
    assert (await yard.invoke(await yard.agent("later"))).skill.version == active
    assert active in {one.new for one in done if not isinstance(one, BaseException)}
    await only_the_active_version_is_kept_warm(yard)
    await every_call_ended_once(yard, traffic)


async def test_a_ban_in_the_middle_of_an_upgrade_keeps_the_old_version_answering(yard: Yard) -> None:
    await yard.install(yard.skill(version("1.0.0")))
    # Its check takes until the ban: importing it takes that long.
    slow = "import time\n\ntime.sleep(60)\n\n\n" + version("2.0.0")
    with_package = yard.skill(slow, version="2.0.0", python="iniconfig==2.1.0")
    approval = draft_approval(ecosystem="pypi", name="iniconfig", now=utcnow(), min_maturity="INTERN")
    await yard.runtime.packages.add(approval, by=Administrator.of(yard.second))
    ban = draft_ban(ecosystem="pypi", name="iniconfig", now=utcnow(), reason="found to be bad")
    async with calling(yard) as traffic:
        upgrading = asyncio.create_task(yard.upgrade(with_package))
        await until(lambda: any(_of_new(yard, place.version) for place in yard.runtime.pool.places))
        await yard.runtime.packages.add(ban, by=Administrator.of(yard.second))
        with pytest.raises((DecisionRefusedError, VersionStoppedError, HealthError)):
            await upgrading
        await traffic.more()
    assert traffic.failed == []
    assert Counter(one.skill.version for one in traffic.done).keys() == {"1.0.0"}
    await every_call_ended_once(yard, traffic)


def _of_new(yard: Yard, version_id: SkillVersionId) -> bool:
    (view,) = yard.runtime.views.seen
    found = view.versions.get(version_id)
    return found is not None and found.version == "2.0.0"
