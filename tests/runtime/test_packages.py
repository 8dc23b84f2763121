"""Package rules and what follows from them for skills that are installed and calls that run, in every workspace."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from skillyard.governance import people
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Allow, Deny, Maturity, RuleScope, SkillState
from skillyard.governance.errors import OperatorRoleError
from skillyard.governance.identity import PersonPrincipal, Role, TokenId
from skillyard.governance.rule_plan import ImportMode
from skillyard.governance.rules import draft_approval, draft_ban
from skillyard.runtime.values import SkillRef
from skillyard.sandbox.outcome import OutcomeState
from skillyard.times import utcnow
from tests.runtime.conftest import Yard, until

SLEEP = "import time\n\n\ndef run(seconds: float) -> None:\n    time.sleep(seconds)\n"


async def neighbour_of(yard: Yard) -> Yard:
    """The same runtime, seen from another workspace."""
    async with yard.runtime.database.transaction() as session:
        other = await people.create_workspace(session, "next-door", by=yard.admin.actor, at=utcnow())
        admin = await people.add_person(session, other.id, "nia", Role.ADMIN, by=yard.admin.actor, at=utcnow())
    return replace(yard, admin=PersonPrincipal(TokenId(0), admin), folder=yard.folder / "next-door")


async def approve(yard: Yard, name: str, maturity: Maturity = Maturity.INTERN) -> None:
    draft = draft_approval(ecosystem="pypi", name=name, min_maturity=maturity, now=utcnow())
    await yard.runtime.packages.add(draft, by=Administrator.of(yard.admin))


async def state(yard: Yard) -> SkillState:
    return (await yard.runtime.version(yard.admin.workspace, SkillRef.parse("acme/adder@1.0.0"))).state


async def test_a_global_ban_stops_what_runs_in_another_workspace_and_lifting_it_lets_go_on(yard: Yard) -> None:
    door = await neighbour_of(yard)
    await approve(door, "iniconfig")
    await door.install(door.skill(SLEEP, python="iniconfig==2.1.0"))
    bot = await door.agent("bot")
    assert isinstance((await door.invoke(bot, given={"seconds": 0})).decision, Allow)
    running = asyncio.create_task(door.invoke(bot, given={"seconds": 50}))
    await until(lambda: yard.runtime.pool.counts().busy > 0)
    ban = draft_ban(ecosystem="pypi", name="iniconfig", reason="bad news", now=utcnow())
    with pytest.raises(OperatorRoleError):
        await yard.runtime.packages.add(ban, by=Administrator.of(door.admin), scope=RuleScope.GLOBAL)
    operator = Administrator.of(yard.admin)
    await yard.runtime.packages.add(ban, by=operator, scope=RuleScope.GLOBAL)
    stopped = await running
    assert stopped.outcome.state is OutcomeState.KILLED
    assert "global rule" in (stopped.outcome.reason or "")
    assert isinstance((await door.invoke(bot, given={"seconds": 0})).decision, Deny)
    assert await state(door) is SkillState.HELD
    await yard.runtime.packages.unban(ban.ecosystem, "iniconfig", by=operator, scope=RuleScope.GLOBAL)
    assert await state(door) is SkillState.ACTIVE
    assert isinstance((await door.invoke(bot, given={"seconds": 0})).decision, Allow)


async def test_a_dry_run_tells_what_would_change_for_whom_and_changes_nothing(yard: Yard) -> None:
    door = await neighbour_of(yard)
    for one in (yard, door):
        await approve(one, "iniconfig")
        await one.install(one.skill(python="iniconfig==2.1.0"))
        await one.agent("robot")
        await one.agent("pupil", Maturity.STUDENT)
    ban = draft_ban(ecosystem="pypi", name="iniconfig", reason="bad news", now=utcnow())
    by, packages = Administrator.of(yard.admin), yard.runtime.packages
    told = await packages.take_in([ban], by=by, mode=ImportMode.MERGE, source="rules.yaml", dry_run=True)
    assert told.impact is not None
    changes = [(one.skill, one.maturity, one.before, one.after) for one in told.impact.decisions]
    assert changes == [
        ("acme/adder", maturity, "allow", "deny")
        for maturity in (Maturity.INTERN, Maturity.SUPERVISED, Maturity.AUTONOMOUS)
    ]
    assert "bad news" in told.impact.decisions[0].reasons[0].message
    assert [one.name for one in told.impact.agents] == ["robot"]
    assert told.impact.other_workspaces == 0
    everywhere = await packages.take_in(
        [ban], by=by, mode=ImportMode.MERGE, source="rules.yaml", scope=RuleScope.GLOBAL, dry_run=True
    )
    assert everywhere.impact is not None
    other = everywhere.impact
    assert (other.other_workspaces, other.other_versions, other.other_agents) == (1, 1, 1)
    with pytest.raises(OperatorRoleError):
        await packages.take_in(
            [ban],
            by=Administrator.of(door.admin),
            mode=ImportMode.MERGE,
            source="rules.yaml",
            scope=RuleScope.GLOBAL,
            dry_run=True,
        )
    assert await state(yard) is SkillState.ACTIVE
    done = await packages.take_in([ban], by=by, mode=ImportMode.MERGE, source="rules.yaml")
    assert (len(done.added), done.impact) == (1, None)
    assert await state(yard) is SkillState.HELD
    assert await state(door) is SkillState.ACTIVE
