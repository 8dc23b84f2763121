"""Pins: an agent stays with a version, through swaps, until it is unpinned; what is pinned is not pulled away."""

from __future__ import annotations

import orjson
import pytest
from skillyard.errors import InputError, NotFoundError
from skillyard.governance import audit
from skillyard.governance.administrators import Administrator
from skillyard.governance.audit import Action
from skillyard.ids import AgentId
from skillyard.runtime.errors import VersionPinnedError
from skillyard.runtime.values import SkillRef
from tests.runtime.conftest import Yard

ADD_TEN = "def run(x: int) -> int:\n    return x + 10\n"
OLD = SkillRef("acme", "adder", "1.0.0")
NEW = SkillRef("acme", "adder", "2.0.0")
SKILL = SkillRef("acme", "adder")


async def two_versions(yard: Yard) -> None:
    await yard.install(yard.skill())
    await yard.upgrade(yard.skill(ADD_TEN, version="2.0.0"))


async def test_an_agent_stays_with_its_version_through_swaps_until_it_is_unpinned(yard: Yard) -> None:
    await yard.install(yard.skill())
    careful, bold = await yard.agent("careful"), await yard.agent("bold")
    await yard.runtime.pins.pin(careful.id, OLD, by=Administrator.of(yard.admin))
    await yard.upgrade(yard.skill(ADD_TEN, version="2.0.0"))
    assert (await yard.invoke(careful)).skill == OLD
    assert (await yard.invoke(bold)).skill == NEW
    assert (await yard.invoke(careful, "acme/adder@2.0.0")).skill == NEW
    await yard.runtime.rollback(SKILL, workspace=yard.admin.workspace, actor=yard.admin)
    assert (await yard.invoke(bold)).skill == OLD
    await yard.runtime.pins.pin(careful.id, NEW, by=Administrator.of(yard.admin))
    assert (await yard.invoke(careful)).outcome.result_json == b"11"
    assert (await yard.invoke(bold)).outcome.result_json == b"2"
    await yard.runtime.pins.unpin(careful.id, SKILL, by=Administrator.of(yard.admin))
    assert (await yard.invoke(careful)).outcome.result_json == b"2"


async def test_what_is_pinned_is_not_removed_unless_it_is_forced(yard: Yard) -> None:
    await two_versions(yard)
    bot = await yard.agent("bot")
    await yard.runtime.pins.pin(bot.id, OLD, by=Administrator.of(yard.admin))
    for ref in (OLD, SKILL):
        with pytest.raises(VersionPinnedError, match="bot") as refused:
            await yard.runtime.uninstall(ref, workspace=yard.admin.workspace, actor=yard.admin)
        assert refused.value.agents == ("bot",)
    assert (await yard.invoke(bot)).skill == OLD
    await yard.runtime.uninstall(OLD, workspace=yard.admin.workspace, actor=yard.admin, force=True)
    assert (await yard.invoke(bot)).skill == NEW
    assert await yard.runtime.pins.of(bot.id, yard.admin.workspace) == ()


async def test_pins_are_on_the_record(yard: Yard) -> None:
    await two_versions(yard)
    bot = await yard.agent("bot")
    await yard.runtime.pins.pin(bot.id, OLD, by=Administrator.of(yard.admin))
    await yard.runtime.uninstall(SKILL, workspace=yard.admin.workspace, actor=yard.admin, force=True)
    async with yard.runtime.database.reading() as session:
        lines = [orjson.loads(line) async for line in audit.export(session, yard.admin.workspace)]
    found = [
        (one["action"], orjson.loads(one["payload"]))
        for one in lines
        if one["action"] in (Action.AGENT_PINNED, Action.AGENT_UNPINNED)
    ]
    assert found == [
        (Action.AGENT_PINNED, {"skill": "acme/adder@1.0.0"}),
        (Action.AGENT_UNPINNED, {"skill": "acme/adder", "forced": True}),
    ]


async def test_a_pin_names_what_is_there(yard: Yard) -> None:
    await two_versions(yard)
    bot = await yard.agent("bot")
    with pytest.raises(InputError, match="version"):
        await yard.runtime.pins.pin(bot.id, SKILL, by=Administrator.of(yard.admin))
    with pytest.raises(NotFoundError):
        await yard.runtime.pins.pin(bot.id, SkillRef("acme", "adder", "9.9.9"), by=Administrator.of(yard.admin))
    with pytest.raises(NotFoundError):
        await yard.runtime.pins.pin(AgentId(bot.id + 100), OLD, by=Administrator.of(yard.admin))
    with pytest.raises(NotFoundError):
        await yard.runtime.pins.unpin(bot.id, SKILL, by=Administrator.of(yard.admin))
