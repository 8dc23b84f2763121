"""What stops an approval: a ban, a changed lock, bad input, somebody who was first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from skillyard.database import Database, open_database
from skillyard.governance import approvals, rule_changes
from skillyard.governance.decision import (
    Allow,
    ApprovalState,
    Hold,
)
from skillyard.governance.errors import (
    AlreadyDecidedError,
    BannedPackageError,
    LockChangedError,
    RuleError,
)
from skillyard.governance.requested import ApprovalRequest
from skillyard.ids import ApprovalId
from skillyard.skills.skill import Ecosystem
from tests.governance.approvals.yard import (
    LOCK,
    NOW,
    PANDAS,
    VERSION,
    Yard,
    acting,
    lock,
    package,
)


async def test_a_lock_with_a_banned_package_cannot_be_approved_until_the_ban_is_lifted(yard: Yard) -> None:
    asked = await yard.ask()
    await yard.ban("NumPy")
    with pytest.raises(BannedPackageError, match=r"numpy==1\.26\.4"):
        await yard.approve(asked, yard.bob)
    await yard.do(lambda session: rule_changes.unban(session, Ecosystem.PYPI, "numpy", by=acting(yard.bob), at=NOW))
    await yard.approve(asked, yard.bob)
    assert isinstance(await yard.decide(), Allow)


async def test_a_ban_after_the_approval_beats_it(yard: Yard) -> None:
    await yard.approve(await yard.ask(), yard.bob)
    before = await yard.epoch()
    await yard.ban("numpy", "<2")
    assert [reason.code for reason in (await yard.decide()).reasons] == ["banned_package"]
    assert await yard.epoch() > before


async def test_an_approval_is_refused_when_the_lock_changed_meanwhile(yard: Yard) -> None:
    asked = await yard.ask()
    with pytest.raises(LockChangedError):
        await yard.approve(asked, yard.bob, locks=(lock(PANDAS, package("numpy", "2.0.0")),))
    assert isinstance(await yard.decide(), Hold)


@pytest.mark.parametrize("change", [{"expires_at": NOW}, {"comment": "x" * 2001}])
async def test_a_wrong_approval_changes_nothing(yard: Yard, change: dict[str, Any]) -> None:
    asked = await yard.ask()
    before = await yard.epoch()
    with pytest.raises(RuleError):
        await yard.approve(asked, yard.bob, **change)
    assert await yard.epoch() == before
    assert await yard.ask() == asked


async def test_of_two_admins_at_once_exactly_one_decides(yard: Yard, url: str) -> None:
    asked = await yard.ask()
    other = await open_database(url)

    async def decide_on(database: Database, *, yes: bool) -> ApprovalRequest:
        async with database.transaction() as session:
            if yes:
                return await approvals.approve(session, yard.workspace, asked.id, by=yard.bob.id, locks=(LOCK,), at=NOW)
            return await approvals.deny(session, yard.workspace, asked.id, by=yard.ann.id, at=NOW)

    try:
        answers = await asyncio.gather(
            decide_on(yard.database, yes=True), decide_on(other, yes=False), return_exceptions=True
        )
    finally:
        await other.close()
    lost = [answer for answer in answers if isinstance(answer, BaseException)]
    (won,) = [answer for answer in answers if isinstance(answer, ApprovalRequest)]
    assert [type(error) for error in lost] == [AlreadyDecidedError]
    kept = await yard.do(lambda session: approvals.get(session, yard.workspace, asked.id))
    assert kept.state is won.state
    assert isinstance(await yard.decide(), Allow) == (won.state is ApprovalState.APPROVED)


async def test_calls_held_at_once_make_one_request(yard: Yard, url: str) -> None:
    hold = await yard.decide()
    assert isinstance(hold, Hold)
    other = await open_database(url)

    async def ask(database: Database) -> ApprovalId:
        async with database.transaction() as session:
            asked = await approvals.request(
                session, hold, requester=yard.intern, skill=yard.skill, version=VERSION, locks=(LOCK,), at=NOW
            )
            return asked.id

    try:
        ids = await asyncio.gather(*(ask(database) for database in (yard.database, other) for _ in range(4)))
    finally:
        await other.close()
    assert len(set(ids)) == 1
