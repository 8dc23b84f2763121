"""What admins see of approval requests and of what is installed: by the rules and the clock as they are now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from skillyard.errors import NotFoundError
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import ApprovalState, Maturity, SkillState
from skillyard.governance.rules import draft_approval, draft_ban
from skillyard.ids import ApprovalId, WorkspaceId
from skillyard.runtime.review import QueueFilter
from skillyard.runtime.values import SkillRef
from skillyard.times import utcnow
from tests.runtime.conftest import Yard

PACKAGED = "import iniconfig\n\n\ndef run(x: int) -> str:\n    return iniconfig.__name__\n"


async def asked(
    yard: Yard, *, name: str = "intern", maturity: Maturity = Maturity.INTERN, skill: str = "acme/adder"
) -> ApprovalId:
    held = await yard.invoke(await yard.agent(name, maturity), skill)
    assert held.approval is not None
    return held.approval


async def queue(yard: Yard, **wanted: object) -> list[ApprovalId]:
    found = await yard.runtime.reviewer.queue(yard.admin.workspace, QueueFilter(**wanted))  # type: ignore[arg-type]
    return [one.request.id for one in found]


async def test_a_request_shows_who_asks_what_is_new_and_who_may_decide(yard: Yard) -> None:
    await yard.install(yard.skill(PACKAGED, python="iniconfig==2.1.0"))
    one = await yard.runtime.reviewer.one(yard.admin.workspace, await asked(yard))
    assert one.agent is not None
    assert (one.agent.name, one.owner.name) == ("intern", yard.admin.person.name)
    assert [(package.asked.name, package.approved_as) for package in one.packages] == [("iniconfig", ())]
    assert one.report is not None
    assert [person.name for person in one.approvers] == ["second"], "the owner of the agent is no second person"
    assert one.answer_by == one.request.created_at + timedelta(days=30)
    assert one.waiting >= timedelta(0)


async def test_what_changed_against_what_is_approved_is_told_from_what_is_new(yard: Yard) -> None:
    await yard.install(yard.skill(PACKAGED, python="iniconfig==2.1.0"))
    older = draft_approval(ecosystem="pypi", name="iniconfig", specifier="==2.0.0", min_maturity="intern", now=utcnow())
    await yard.runtime.packages.add(older, by=Administrator.of(yard.admin))
    one = await yard.runtime.reviewer.one(yard.admin.workspace, await asked(yard))
    assert [(package.approved_as, package.other_files) for package in one.packages] == [(("==2.0.0",), False)]
    files = draft_approval(
        ecosystem="pypi", name="iniconfig", specifier="==2.1.0", min_maturity="intern", hashes=["a" * 64], now=utcnow()
    )
    await yard.runtime.packages.add(files, by=Administrator.of(yard.admin))
    one = await yard.runtime.reviewer.one(yard.admin.workspace, one.request.id)
    assert one.packages[0].other_files


async def test_a_ban_shows_on_what_waits_and_goes_with_the_ban(yard: Yard) -> None:
    await yard.install(yard.skill(PACKAGED, python="iniconfig==2.1.0"))
    request = await asked(yard)
    ban = draft_ban(ecosystem="pypi", name="iniconfig", reason="bad news", now=utcnow())
    made = await yard.runtime.packages.add(ban, by=Administrator.of(yard.admin))
    one = await yard.runtime.reviewer.one(yard.admin.workspace, request)
    assert one.request.state is ApprovalState.PENDING
    assert [(str(banned.package), banned.reason) for banned in one.banned] == [("iniconfig==2.1.0", "bad news")]
    await yard.runtime.packages.revoke(made.id, by=Administrator.of(yard.admin))
    assert (await yard.runtime.reviewer.one(yard.admin.workspace, request)).banned == ()


async def test_the_queue_is_filtered_by_what_people_ask(yard: Yard) -> None:
    await yard.install(yard.skill(PACKAGED, python="iniconfig==2.1.0"))
    await yard.install(yard.skill(name="other"))
    first = await asked(yard)
    second = await asked(yard, name="trainee", skill="acme/other")
    agents = {
        agent.name: agent.id for agent in (await yard.runtime.views.current(yard.admin.workspace)).agents.values()
    }
    assert await queue(yard) == [first, second]
    assert await queue(yard, agent=agents["trainee"]) == [second]
    assert await queue(yard, skill="acme/adder") == [first]
    assert await queue(yard, skill="acme/adder@1.0.0") == [first]
    assert await queue(yard, skill="acme/adder@9.9.9") == []
    assert await queue(yard, skill="acme/nothing") == []
    assert await queue(yard, package="INICONFIG") == [first]
    assert await queue(yard, package="iniconfi") == [], "a name is a name and not a part of one"
    assert await queue(yard, package="pypi:IniConfig") == [first]
    assert await queue(yard, package="npm:iniconfig") == []
    assert await queue(yard, older_than=timedelta(days=1)) == []
    await yard.runtime.approver.deny(first, person=yard.second)
    assert await queue(yard, state=ApprovalState.PENDING) == [second]
    assert await queue(yard, state=ApprovalState.DENIED) == [first]
    after = await yard.runtime.reviewer.queue(yard.admin.workspace, QueueFilter(), after=first, limit=1)
    assert [one.request.id for one in after] == [second]


async def test_another_workspace_sees_none_of_it(yard: Yard) -> None:
    await yard.install(yard.skill())
    request = await asked(yard)
    elsewhere = WorkspaceId(yard.admin.workspace + 1)
    with pytest.raises(NotFoundError):
        await yard.runtime.reviewer.one(elsewhere, request)
    assert await yard.runtime.reviewer.queue(elsewhere, QueueFilter()) == ()


async def test_what_is_listed_as_active_is_held_from_the_moment_its_approval_runs_out(
    yard: Yard, later: Callable[[timedelta], None]
) -> None:
    await yard.install(yard.skill(PACKAGED, python="iniconfig==2.1.0"))
    request, hour = await asked(yard), timedelta(hours=1)
    await yard.runtime.approver.approve(request, person=yard.second, expires_at=utcnow() + hour)

    async def shown() -> tuple[SkillState, SkillState, ApprovalState]:
        (skill,) = await yard.runtime.skills(yard.admin.workspace)
        version = await yard.runtime.version(yard.admin.workspace, SkillRef("acme", "adder"))
        review = await yard.runtime.reviewer.one(yard.admin.workspace, request)
        return skill.versions[0].state, version.state, review.request.state

    assert await shown() == (SkillState.ACTIVE, SkillState.ACTIVE, ApprovalState.APPROVED)
    later(hour)
    assert await shown() == (SkillState.HELD, SkillState.HELD, ApprovalState.EXPIRED)
    assert await queue(yard, state=ApprovalState.EXPIRED) == [request]
