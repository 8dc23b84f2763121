"""Who may decide: a second person with the role, and nobody else."""

from __future__ import annotations

import pytest
from skillyard.governance import approvals
from skillyard.governance.approval_terms import ApprovalTerms
from skillyard.governance.decision import (
    Allow,
    Hold,
    Maturity,
)
from skillyard.governance.errors import (
    AdminRoleError,
    RuleError,
    SecondPersonError,
)
from skillyard.governance.report import PackageRef
from skillyard.skills.skill import Ecosystem
from tests.governance.approvals.yard import (
    LOCK,
    NOW,
    VERSION,
    Yard,
)


async def test_the_owner_of_the_agent_is_not_a_second_person(yard: Yard) -> None:
    asked = await yard.ask()
    with pytest.raises(SecondPersonError):
        await yard.approve(asked, yard.ann)
    assert isinstance(await yard.decide(), Hold)


async def test_a_person_cannot_approve_what_they_asked_for(yard: Yard) -> None:
    hold = Hold((PackageRef(Ecosystem.PYPI, "numpy", "1.26.4"),), False, ())
    asked = await yard.do(
        lambda session: approvals.request(
            session, hold, requester=yard.bob, skill=yard.skill, version=VERSION, locks=(LOCK,), at=NOW
        )
    )
    assert (asked.requested_by_agent, asked.requested_by_person) == (None, yard.bob.id)
    with pytest.raises(SecondPersonError):
        await yard.approve(asked, yard.bob, min_maturity=Maturity.INTERN)
    with pytest.raises(RuleError) as refused:
        await yard.approve(asked, yard.ann)
    assert refused.value.field == "min_maturity"
    await yard.approve(asked, yard.ann, min_maturity=Maturity.INTERN)


async def test_the_setting_lifts_the_second_person_and_the_record_says_so(yard: Yard) -> None:
    await yard.approve(await yard.ask(), yard.ann, terms=ApprovalTerms(second_person=False))
    assert isinstance(await yard.decide(), Allow)
    assert dict(await yard.trail())["approval.granted"]["second_person"] is False


async def test_only_admins_decide_and_change_rules(yard: Yard) -> None:
    asked = await yard.ask()
    with pytest.raises(AdminRoleError):
        await yard.approve(asked, yard.member)
    with pytest.raises(AdminRoleError):
        await yard.do(lambda session: approvals.deny(session, yard.workspace, asked.id, by=yard.member.id, at=NOW))
    with pytest.raises(AdminRoleError):
        await yard.ban("numpy", by=yard.member)
