"""Approving some packages of a request before the rest."""

from __future__ import annotations

import asyncio

import pytest
from skillyard.database import Database, open_database
from skillyard.governance import approvals, rule_store
from skillyard.governance.decision import Allow, ApprovalState, Hold
from skillyard.governance.errors import RuleError
from skillyard.governance.report import PackageRef
from skillyard.governance.requested import ApprovalRequest
from skillyard.skills.skill import Ecosystem
from tests.governance.approvals.yard import DAY, LOCK, NOW, PANDAS, Yard, lock, package
from tests.governance.approvals.yard import NUMPY as NUMPY_PACKAGE

NUMPY = PackageRef(Ecosystem.PYPI, "numpy", "1.26.4")


@pytest.mark.parametrize("name", ["numpy", "NumPy", "pypi:numpy", "numpy==1.26.4"])
async def test_a_part_is_approved_in_a_request_of_its_own_and_the_rest_goes_on_waiting(yard: Yard, name: str) -> None:
    asked = await yard.ask()
    part = await yard.approve(asked, yard.bob, only=[name], comment="Only this one.", expires_at=NOW + DAY)
    assert (part.state, part.split_from, part.first_use) == (ApprovalState.APPROVED, asked.id, False)
    assert [package.name for package in part.packages] == ["numpy"]
    assert (part.approved_until, part.second_person, part.comment) == (NOW + DAY, True, "Only this one.")
    rest = await yard.do(lambda session: approvals.get(session, yard.workspace, asked.id))
    assert (rest.state, rest.first_use, [package.name for package in rest.packages]) == (
        ApprovalState.PENDING,
        True,
        ["pandas"],
    )
    held = await yard.decide()
    assert isinstance(held, Hold)
    assert [package.name for package in held.packages] == ["pandas"]
    assert await yard.ask() == rest, "the agent's next call must find the request that waits"
    await yard.approve(asked, yard.bob)
    assert isinstance(await yard.decide(), Allow)


async def test_revoking_a_part_ends_its_rules_and_no_others(yard: Yard) -> None:
    asked = await yard.ask()
    part = await yard.approve(asked, yard.bob, only=["numpy"])
    await yard.approve(asked, yard.bob)
    await yard.do(
        lambda session: approvals.revoke(session, yard.workspace, part.id, by=yard.bob.id, reason="No.", at=NOW)
    )
    held = await yard.decide()
    assert isinstance(held, Hold)
    assert held.packages == (NUMPY,)
    assert not held.first_use, "the first use belongs to the other approval"


async def test_naming_every_package_leaves_the_first_use_to_be_decided(yard: Yard) -> None:
    asked = await yard.ask()
    part = await yard.approve(asked, yard.bob, only=["numpy", "pandas"])
    assert part.split_from == asked.id
    held = await yard.decide()
    assert isinstance(held, Hold)
    assert (held.packages, held.first_use) == ((), True)
    done = await yard.approve(asked, yard.bob)
    assert (done.id, done.packages, done.state) == (asked.id, (), ApprovalState.APPROVED)
    assert isinstance(await yard.decide(), Allow)


async def test_naming_every_package_of_a_request_for_nothing_else_approves_it(yard: Yard) -> None:
    await yard.approve(await yard.ask(), yard.bob)
    bigger = (lock(PANDAS, NUMPY_PACKAGE, package("matplotlib", "3.9.0")),)
    asked = await yard.ask(bigger)
    done = await yard.approve(asked, yard.bob, only=["matplotlib"], locks=bigger)
    assert (done.id, done.state) == (asked.id, ApprovalState.APPROVED)


@pytest.mark.parametrize("names", [["scipy"], ["npm:numpy"], [], ["numpy==1.0"]])
async def test_a_name_that_was_not_asked_for_is_refused_and_nothing_changes(yard: Yard, names: list[str]) -> None:
    asked = await yard.ask()
    before = await yard.epoch()
    with pytest.raises(RuleError) as refused:
        await yard.approve(asked, yard.bob, only=names)
    assert refused.value.field == "packages"
    assert await yard.epoch() == before
    assert await yard.do(lambda session: rule_store.list_rules(session, yard.workspace)) == ()


async def test_of_two_admins_with_different_parts_both_get_theirs_and_of_the_same_part_one(
    yard: Yard, url: str
) -> None:
    asked = await yard.ask()
    other = await open_database(url)

    async def take(database: Database, name: str) -> ApprovalRequest:
        async with database.transaction() as session:
            return await approvals.approve(
                session, yard.workspace, asked.id, by=yard.bob.id, locks=(LOCK,), only=[name], at=NOW
            )

    try:
        done = await asyncio.gather(
            take(yard.database, "numpy"), take(other, "numpy"), take(other, "pandas"), return_exceptions=True
        )
    finally:
        await other.close()
    errors = [one for one in done if isinstance(one, BaseException)]
    assert [type(error) for error in errors] == [RuleError], "the package is not asked for any more"
    held = await yard.decide()
    assert isinstance(held, Hold)
    assert held.packages == ()
    rules = await yard.do(lambda session: rule_store.list_rules(session, yard.workspace))
    assert sorted(rule.name for rule in rules) == ["numpy", "pandas"]
