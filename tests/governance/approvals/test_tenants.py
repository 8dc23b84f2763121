"""Another workspace sees and changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from skillyard.errors import NotFoundError
from skillyard.governance import approvals, people, rule_changes, rule_store
from skillyard.governance.closure import evaluate_lock
from skillyard.governance.decision import (
    Hold,
)
from skillyard.governance.identity import SYSTEM, Role
from skillyard.ids import RuleId
from skillyard.skills.skill import Ecosystem
from sqlalchemy.ext.asyncio import AsyncSession
from tests.governance.approvals.yard import (
    LOCK,
    NOW,
    VERSION,
    Yard,
    acting,
)


async def test_another_workspace_sees_and_changes_nothing(yard: Yard) -> None:
    asked = await yard.ask()
    await yard.ban("numpy")
    async with yard.database.transaction() as session:
        other = (await people.create_workspace(session, "rival", by=SYSTEM, at=NOW)).id
        spy = await people.add_person(session, other, "spy", Role.ADMIN, by=SYSTEM, at=NOW)
    async with yard.database.reading() as session:
        rules = await rule_store.load_rules(session, other)
        assert not evaluate_lock(LOCK, rules, NOW).banned
        assert not rules.pending
        assert await approvals.list_requests(session, other) == ()
        assert await rule_store.list_rules(session, other) == ()

    async def attempt(work: Callable[[AsyncSession], Awaitable[object]]) -> None:
        with pytest.raises(NotFoundError):
            await yard.do(work)

    await attempt(lambda session: approvals.get(session, other, asked.id))
    await attempt(lambda s: approvals.approve(s, other, asked.id, by=spy.id, locks=(LOCK,), at=NOW))
    await attempt(lambda s: approvals.deny(s, other, asked.id, by=spy.id, at=NOW))
    await attempt(lambda s: approvals.deny(s, yard.workspace, asked.id, by=spy.id, at=NOW))
    await attempt(lambda s: approvals.revoke(s, other, asked.id, by=spy.id, reason="x", at=NOW))
    await attempt(lambda s: rule_changes.revoke_rule(s, RuleId(1), by=acting(spy), at=NOW))
    await attempt(lambda s: rule_changes.unban(s, Ecosystem.PYPI, "numpy", by=acting(spy), at=NOW))
    foreign = replace(yard.skill, workspace=other)
    hold = Hold((), True, ())
    await attempt(
        lambda s: approvals.request(
            s, hold, requester=yard.intern, skill=foreign, version=VERSION, locks=(LOCK,), at=NOW
        )
    )
    kept = await yard.do(lambda session: approvals.get(session, yard.workspace, asked.id))
    assert kept == asked
    assert [reason.code for reason in (await yard.decide()).reasons] == ["banned_package"]
