"""Rules that an admin writes without a request."""

from __future__ import annotations

from typing import Any

import pytest
from skillyard.errors import NotFoundError
from skillyard.governance import rule_changes, rule_store
from skillyard.governance.decision import (
    Hold,
    RuleState,
)
from skillyard.skills.skill import Ecosystem
from sqlalchemy.ext.asyncio import AsyncSession
from tests.governance.approvals.yard import (
    NOW,
    Yard,
    acting,
)


async def test_a_rule_that_says_the_same_is_not_written_twice(yard: Yard) -> None:
    await yard.ban("numpy")
    before = await yard.epoch()
    await yard.ban("NUMPY")
    assert await yard.epoch() == before
    assert len(await yard.do(lambda session: rule_store.list_rules(session, yard.workspace))) == 1


async def test_lifting_one_ban_leaves_the_others(yard: Yard) -> None:
    await yard.ban("numpy", "<1")
    await yard.ban("numpy", "==1.26.4")
    lifted = await yard.do(
        lambda session: rule_changes.unban(
            session, Ecosystem.PYPI, "numpy", specifier="<1", by=acting(yard.bob), at=NOW
        )
    )
    assert [rule.specifier for rule in lifted] == ["<1"]
    assert [reason.code for reason in (await yard.decide()).reasons] == ["banned_package"]
    with pytest.raises(NotFoundError):
        await yard.do(
            lambda session: rule_changes.unban(
                session, Ecosystem.PYPI, "numpy", specifier="<1", by=acting(yard.bob), at=NOW
            )
        )


async def test_rules_are_listed_by_page_state_and_name(yard: Yard) -> None:
    for name in ("a", "b", "c"):
        await yard.ban(name)
    await yard.approve(await yard.ask(), yard.bob)

    async def page(**more: Any) -> list[str]:
        found = await yard.do(lambda session: rule_store.list_rules(session, yard.workspace, **more))
        return [rule.name for rule in found]

    first = await yard.do(lambda session: rule_store.list_rules(session, yard.workspace, limit=2))
    assert [rule.name for rule in first] == ["a", "b"]
    assert await page(after=first[-1].id, limit=2) == ["c", "numpy"]
    assert await page(state=RuleState.APPROVED) == ["numpy", "pandas"]
    assert await page(name="PANDAS") == ["pandas"]


async def test_a_rule_ended_by_hand_ends_now_and_once(yard: Yard) -> None:
    await yard.approve(await yard.ask(), yard.bob)
    rules = await yard.do(lambda session: rule_store.list_rules(session, yard.workspace, name="numpy"))

    async def end(session: AsyncSession) -> None:
        await rule_changes.revoke_rule(session, rules[0].id, by=acting(yard.bob), at=NOW)

    before = await yard.epoch()
    await yard.do(end)
    assert await yard.epoch() > before, "a process that saw the rule would go on admitting calls"
    assert isinstance(await yard.decide(), Hold)
    with pytest.raises(NotFoundError):
        await yard.do(end)
