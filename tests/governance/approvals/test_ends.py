"""How requests and approvals end: denied, run out, revoked, withdrawn, never answered."""

from __future__ import annotations

from datetime import datetime

import pytest
from skillyard.errors import ConflictError
from skillyard.governance import approval_lapses, approvals, rule_changes
from skillyard.governance.approval_store import Filter
from skillyard.governance.approval_terms import ApprovalTerms
from skillyard.governance.decision import (
    Allow,
    ApprovalState,
    Hold,
)
from skillyard.governance.errors import AlreadyDecidedError, RuleError
from skillyard.governance.report import PackageRef
from skillyard.governance.requested import ApprovalRequest
from skillyard.governance.rules import draft_approval
from skillyard.ids import SkillVersionId
from skillyard.skills.skill import Ecosystem
from sqlalchemy.ext.asyncio import AsyncSession
from tests.governance.approvals.yard import (
    DAY,
    NOW,
    PANDAS,
    VERSION,
    Yard,
    acting,
    lock,
    package,
)


async def test_a_denial_answers_the_same_question_for_a_day_and_then_it_may_be_asked_again(yard: Yard) -> None:
    asked = await yard.ask()
    denied = await yard.do(
        lambda session: approvals.deny(session, yard.workspace, asked.id, by=yard.ann.id, comment="Use polars.", at=NOW)
    )
    assert (denied.state, denied.comment) == (ApprovalState.DENIED, "Use polars.")
    assert await yard.ask(at=NOW + DAY / 2) == denied
    assert (await yard.ask(at=NOW + DAY)).state is ApprovalState.PENDING


async def test_an_approval_that_expires_suspends_exactly_its_packages(yard: Yard) -> None:
    await yard.approve(await yard.ask(), yard.bob, expires_at=NOW + DAY)
    assert isinstance(await yard.decide(at=NOW + DAY / 2), Allow)
    held = await yard.decide(at=NOW + DAY)
    assert [reason.code for reason in held.reasons] == ["expired_approval", "expired_approval"]


async def test_revoking_an_approval_ends_its_rules_and_its_first_use_and_no_others(yard: Yard) -> None:
    draft = draft_approval(ecosystem="pypi", name="pandas", min_maturity="intern", now=NOW)
    await yard.do(lambda session: rule_changes.add_rule(session, draft, by=acting(yard.bob), at=NOW))
    asked = await yard.ask()
    assert [item.name for item in asked.packages] == ["numpy"]
    await yard.approve(asked, yard.bob)
    assert isinstance(await yard.decide(), Allow)

    async def revoke(session: AsyncSession) -> ApprovalRequest:
        return await approvals.revoke(session, yard.workspace, asked.id, by=yard.ann.id, reason="A mistake.", at=NOW)

    before = await yard.epoch()
    assert (await yard.do(revoke)).state is ApprovalState.REVOKED
    assert await yard.epoch() > before, "a process that saw the approval would go on admitting calls"
    held = await yard.decide()
    assert isinstance(held, Hold)
    assert held.packages == (PackageRef(Ecosystem.PYPI, "numpy", "1.26.4"),)
    assert held.first_use
    with pytest.raises(ConflictError):
        await yard.do(revoke)
    # What was taken back may be asked for again at once.
    assert (await yard.ask()).state is ApprovalState.PENDING


async def test_a_denial_does_not_answer_for_another_lock(yard: Yard) -> None:
    asked = await yard.ask()
    await yard.do(lambda session: approvals.deny(session, yard.workspace, asked.id, by=yard.bob.id, at=NOW))
    newer = (lock(PANDAS, package("numpy", "2.0.0")),)
    assert (await yard.ask(newer)).state is ApprovalState.PENDING


async def test_a_request_that_nobody_answers_expires_by_the_clock_and_then_on_record(yard: Yard) -> None:
    terms = ApprovalTerms(open_for=30 * DAY)
    asked = await yard.ask()
    late = NOW + 30 * DAY
    assert asked.state_at(late, open_for=terms.open_for) is ApprovalState.EXPIRED
    with pytest.raises(AlreadyDecidedError, match="expired"):
        await yard.approve(asked, yard.bob, at=late, terms=terms)

    async def expire(session: AsyncSession) -> int:
        return await approval_lapses.expire(session, open_for=terms.open_for, at=late)

    assert await yard.do(lambda s: approval_lapses.expire(s, open_for=terms.open_for, at=late - DAY)) == 0
    assert await yard.do(expire) == 1
    assert await yard.do(expire) == 0
    kept = await yard.do(lambda session: approvals.get(session, yard.workspace, asked.id))
    assert (kept.state, kept.decided_by, kept.decided_at) == (ApprovalState.EXPIRED, None, late)
    assert dict(await yard.trail())["approval.expired"]["packages"] == ["numpy==1.26.4", "pandas==2.2.0"]
    assert (await yard.ask(at=late)).id != asked.id, "an agent may ask again once its request has expired"


async def test_an_agent_that_asks_after_the_end_gets_a_new_request_before_anybody_has_looked(yard: Yard) -> None:
    asked = await yard.ask()
    again = await yard.ask(at=NOW + 31 * DAY)
    assert again.id != asked.id
    kept = await yard.do(lambda session: approvals.get(session, yard.workspace, asked.id))
    assert kept.state is ApprovalState.EXPIRED


async def test_requests_about_a_removed_version_are_withdrawn_and_no_others(yard: Yard) -> None:
    asked = await yard.ask()

    async def withdraw(version: int) -> int:
        return await yard.do(
            lambda session: approval_lapses.withdraw(
                session, yard.workspace, [SkillVersionId(version)], by=yard.bob.actor, reason="Removed.", at=NOW
            )
        )

    assert await withdraw(VERSION + 1) == 0
    assert await withdraw(VERSION) == 1
    kept = await yard.do(lambda session: approvals.get(session, yard.workspace, asked.id))
    assert (kept.state, kept.comment) == (ApprovalState.WITHDRAWN, "Removed.")
    with pytest.raises(AlreadyDecidedError):
        await yard.approve(asked, yard.bob)
    assert "approval.withdrawn" in dict(await yard.trail())


async def test_an_approval_that_ran_out_is_listed_as_expired_at_once_and_can_still_be_revoked(yard: Yard) -> None:
    asked = await yard.ask()
    await yard.approve(asked, yard.bob, expires_at=NOW + DAY)

    async def listed(state: ApprovalState, at: datetime) -> list[int]:
        found = await yard.do(
            lambda session: approvals.list_requests(
                session, yard.workspace, wanted=Filter(state=state), now=at, open_for=30 * DAY
            )
        )
        return [one.id for one in found]

    assert await listed(ApprovalState.APPROVED, NOW) == [asked.id]
    assert await listed(ApprovalState.EXPIRED, NOW) == []
    assert await listed(ApprovalState.APPROVED, NOW + DAY) == []
    assert await listed(ApprovalState.EXPIRED, NOW + DAY) == [asked.id]
    # Its first use outlives the packages' approval, and revoking is what ends that.
    await yard.do(
        lambda session: approvals.revoke(
            session, yard.workspace, asked.id, by=yard.bob.id, reason="Not needed.", at=NOW + DAY
        )
    )
    held = await yard.decide(at=NOW + DAY)
    assert isinstance(held, Hold)
    assert held.first_use


async def test_a_first_use_alone_cannot_be_given_an_end_that_it_would_not_keep(yard: Yard) -> None:
    draft = draft_approval(ecosystem="pypi", name="pandas", min_maturity="intern", now=NOW)
    other = draft_approval(ecosystem="pypi", name="numpy", min_maturity="intern", now=NOW)
    for one in (draft, other):
        await yard.do(lambda session, one=one: rule_changes.add_rule(session, one, by=acting(yard.bob), at=NOW))
    asked = await yard.ask()
    assert (asked.packages, asked.first_use) == ((), True)
    with pytest.raises(RuleError) as refused:
        await yard.approve(asked, yard.bob, expires_at=NOW + DAY)
    assert refused.value.field == "expires_at"


async def test_approvals_about_to_run_out_are_announced_once(yard: Yard) -> None:
    asked = await yard.ask()
    await yard.approve(asked, yard.bob, expires_at=NOW + 10 * DAY)

    async def announce(at: datetime) -> int:
        return await yard.do(lambda session: approval_lapses.announce_expiring(session, notice=7 * DAY, at=at))

    assert await announce(NOW) == 0
    assert await announce(NOW + 3 * DAY) == 1
    assert await announce(NOW + 4 * DAY) == 0
