"""What a held call asks for, what an approval of it writes, and when a request is replaced."""

from __future__ import annotations

import pytest
from skillyard.governance import approvals, rule_changes, rule_store
from skillyard.governance.decision import (
    Allow,
    ApprovalState,
    Hold,
    Maturity,
)
from skillyard.governance.errors import (
    AlreadyDecidedError,
)
from skillyard.governance.report import PackageRef
from skillyard.governance.rules import draft_approval
from skillyard.skills.skill import Ecosystem
from tests.governance.approvals.yard import (
    NOW,
    NUMPY,
    PANDAS,
    Yard,
    acting,
    lock,
    package,
)


async def test_a_second_person_approves_the_whole_lock_and_the_intern_may_call(yard: Yard) -> None:
    asked = await yard.ask()
    assert (asked.state, asked.first_use, len(asked.packages)) == (ApprovalState.PENDING, True, 2)
    before = await yard.epoch()
    granted = await yard.approve(asked, yard.bob, comment="Read it.")
    assert (granted.state, granted.decided_by, granted.comment) == (ApprovalState.APPROVED, yard.bob.id, "Read it.")
    assert isinstance(await yard.decide(), Allow)
    assert await yard.epoch() > before
    trail = dict(await yard.trail())
    assert trail["approval.requested"]["packages"] == ["numpy==1.26.4", "pandas==2.2.0"]
    assert trail["approval.granted"]["second_person"] is True


async def test_an_approval_writes_one_exact_hashed_rule_a_package(yard: Yard) -> None:
    asked = await yard.ask()
    await yard.approve(asked, yard.bob)
    rules = await yard.do(lambda session: rule_store.list_rules(session, yard.workspace))
    assert {(rule.name, rule.specifier, rule.approval, rule.min_maturity) for rule in rules} == {
        ("pandas", "==2.2.0", asked.id, Maturity.INTERN),
        ("numpy", "==1.26.4", asked.id, Maturity.INTERN),
    }
    assert all(rule.hashes == {"a" * 64} for rule in rules)


async def test_the_approval_does_not_cover_other_artefacts_of_the_same_version(yard: Yard) -> None:
    await yard.approve(await yard.ask(), yard.bob)
    swapped = lock(PANDAS, package("numpy", "1.26.4", "c" * 64))
    held = await yard.decide((swapped,))
    assert isinstance(held, Hold)
    assert held.packages == (PackageRef(Ecosystem.PYPI, "numpy", "1.26.4"),)


async def test_a_request_shows_only_what_is_new(yard: Yard) -> None:
    await yard.approve(await yard.ask(), yard.bob)
    bigger = lock(PANDAS, NUMPY, package("matplotlib", "3.9.0"))
    asked = await yard.ask((bigger,))
    assert [item.name for item in asked.packages] == ["matplotlib"]
    assert not asked.first_use


async def test_asking_again_returns_the_request_that_waits(yard: Yard) -> None:
    first = await yard.ask()
    assert await yard.ask() == first
    requests = await yard.do(lambda session: approvals.list_requests(session, yard.workspace))
    assert requests == (first,)


async def test_a_hold_says_that_its_packages_wait_for_the_request(yard: Yard) -> None:
    asked = await yard.ask()
    held = await yard.decide()
    assert [reason.code for reason in held.reasons] == ["pending_package", "pending_package", "first_use"]
    assert str(asked.id) in held.reasons[0].message


async def test_a_request_that_outgrew_itself_is_replaced_so_that_nobody_approves_what_they_did_not_see(
    yard: Yard,
) -> None:
    first = await yard.ask()
    bigger = (lock(PANDAS, NUMPY, package("matplotlib", "3.9.0")),)
    second = await yard.ask(bigger)
    assert second.id != first.id
    with pytest.raises(AlreadyDecidedError):
        await yard.approve(first, yard.bob)
    assert len((await yard.approve(second, yard.bob, locks=bigger)).packages) == 3


async def test_a_request_is_replaced_when_an_approval_that_it_counted_on_was_taken_back(yard: Yard) -> None:
    draft = draft_approval(ecosystem="pypi", name="pandas", min_maturity="intern", now=NOW)
    known = await yard.do(lambda s: rule_changes.add_rule(s, draft, by=acting(yard.bob), at=NOW))
    first = await yard.ask()
    assert [item.name for item in first.packages] == ["numpy"]
    await yard.do(lambda s: rule_changes.revoke_rule(s, known.id, by=acting(yard.bob), at=NOW))
    second = await yard.ask()
    assert [item.name for item in second.packages] == ["numpy", "pandas"]
    assert (await yard.do(lambda s: approvals.get(s, yard.workspace, first.id))).state is ApprovalState.WITHDRAWN
