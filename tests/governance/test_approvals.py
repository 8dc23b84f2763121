"""Approvals and rules as admins use them, on a real database: who may, what it changes, and what a race leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
from skillyard.database import Database, migrate, open_database
from skillyard.errors import ConflictError, NotFoundError
from skillyard.governance import approvals, audit, epoch, people, rule_store
from skillyard.governance.closure import evaluate_lock
from skillyard.governance.decision import (
    Agent,
    Allow,
    ApprovalState,
    Decision,
    Hold,
    Maturity,
    RuleState,
    SkillState,
)
from skillyard.governance.errors import (
    AdminRoleError,
    AlreadyDecidedError,
    BannedPackageError,
    LockChangedError,
    RuleError,
    SecondPersonError,
)
from skillyard.governance.identity import SYSTEM, Person, Role
from skillyard.governance.limits import Limits
from skillyard.governance.policy import Policy, SubjectSkill, decide
from skillyard.governance.report import Evidence, EvidenceState, PackageRef, Report, Verdict
from skillyard.governance.requested import ApprovalRequest
from skillyard.governance.rules import draft_approval, draft_ban
from skillyard.governance.scan import ScanPolicy
from skillyard.ids import ApprovalId, BundleDigest, RuleId, SkillId, SkillVersionId, WorkspaceId
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target, closure_digest
from skillyard.skills.permissions import Requested
from skillyard.skills.skill import Ecosystem, SkillKind
from sqlalchemy.ext.asyncio import AsyncSession

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BUNDLE = BundleDigest("sha256:" + "b" * 64)
VERSION = SkillVersionId(70)
POLICY = Policy(limits=Limits(), scan=ScanPolicy(max_age=None))
EVIDENCE = Evidence("advisories", "1", EvidenceState.RAN, NOW)
T = TypeVar("T")


def package(name: str, version: str, sha256: str = "a" * 64) -> LockedPackage:
    return LockedPackage(name, version, (LockedArtefact(f"{name}.whl", sha256, None),), (), True)


def lock(*packages: LockedPackage) -> Lock:
    return Lock(Ecosystem.PYPI, Target("3.11", "x86_64-manylinux_2_28"), packages)


PANDAS, NUMPY = package("pandas", "2.2.0"), package("numpy", "1.26.4")
LOCK = lock(PANDAS, NUMPY)


@dataclass
class Yard:
    """A workspace with two admins, a member, and ann's INTERN; ``skill`` is what the intern wants to call."""

    database: Database
    workspace: WorkspaceId
    ann: Person
    bob: Person
    member: Person
    intern: Agent
    skill: SubjectSkill

    async def do(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        async with self.database.transaction() as session:
            return await work(session)

    async def decide(
        self, locks: tuple[Lock, ...] = (LOCK,), *, at: datetime = NOW, who: Agent | None = None
    ) -> Decision:
        async with self.database.reading() as session:
            rules = await rule_store.load_rules(session, self.workspace)
        seen = Report(Verdict.PASS, (), (EVIDENCE,), ("Fine.",), BUNDLE, closure_digest(locks), NOW)
        return decide(who or self.intern, self.skill, locks, seen, rules, at, POLICY)

    async def ask(
        self, locks: tuple[Lock, ...] = (LOCK,), *, at: datetime = NOW, who: Agent | None = None
    ) -> ApprovalRequest:
        hold = await self.decide(locks, at=at, who=who)
        assert isinstance(hold, Hold)
        requester = who or self.intern
        return await self.do(
            lambda session: approvals.request(
                session, hold, requester=requester, skill=self.skill, version=VERSION, locks=locks, at=at
            )
        )

    async def approve(self, asked: ApprovalRequest | ApprovalId, by: Person, **more: Any) -> ApprovalRequest:
        request = asked if isinstance(asked, int) else asked.id
        values: dict[str, Any] = {"by": by.id, "locks": (LOCK,), "at": NOW} | more
        return await self.do(lambda session: approvals.approve(session, self.workspace, request, **values))

    async def ban(self, name: str, specifier: str = "", *, by: Person | None = None) -> None:
        draft = draft_ban(ecosystem="pypi", name=name, specifier=specifier, reason="it steals tokens", now=NOW)
        person = by or self.bob
        await self.do(lambda session: rule_store.add_rule(session, self.workspace, draft, by=person.id, at=NOW))

    async def epoch(self) -> int:
        async with self.database.reading() as session:
            return await epoch.current(session)

    async def trail(self) -> list[tuple[str, dict[str, Any]]]:
        """Actions and payloads of the audit log, which has to verify."""
        async with self.database.reading() as session:
            assert (await audit.verify(session, self.workspace)).broken is None
            lines = [orjson.loads(line) async for line in audit.export(session, self.workspace)]
        return [(line["action"], orjson.loads(line["payload"])) for line in lines]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'yard.db'}"


@pytest.fixture
async def yard(url: str) -> AsyncIterator[Yard]:
    await migrate(url)
    database = await open_database(url)
    async with database.transaction() as session:
        workspace = (await people.create_workspace(session, "acme", by=SYSTEM, at=NOW)).id
        add = [
            await people.add_person(session, workspace, name, role, by=SYSTEM, at=NOW)
            for name, role in (("ann", Role.ADMIN), ("bob", Role.ADMIN), ("cleo", Role.MEMBER))
        ]
        intern = await people.add_agent(
            session, workspace, "intern", owner=add[0].id, maturity=Maturity.INTERN, by=SYSTEM, at=NOW
        )
    skill = SubjectSkill(
        id=SkillId(7),
        workspace=workspace,
        publisher="acme",
        name="csv-report",
        version="1.0.0",
        kind=SkillKind.PYTHON,
        state=SkillState.ACTIVE,
        requested=Requested(),
        code=True,
        bundle_digest=BUNDLE,
    )
    yield Yard(database, workspace, *add, intern, skill)
    await database.close()


# The story: held, approved by a second person, allowed.


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
    known = await yard.do(lambda s: rule_store.add_rule(s, yard.workspace, draft, by=yard.bob.id, at=NOW))
    first = await yard.ask()
    assert [item.name for item in first.packages] == ["numpy"]
    await yard.do(lambda s: rule_store.revoke_rule(s, yard.workspace, known.id, by=yard.bob.id, at=NOW))
    second = await yard.ask()
    assert [item.name for item in second.packages] == ["numpy", "pandas"]
    assert (await yard.do(lambda s: approvals.get(s, yard.workspace, first.id))).state is ApprovalState.DENIED


# Who may approve.


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
    await yard.approve(await yard.ask(), yard.ann, require_second_person=False)
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


# What stops an approval.


async def test_a_lock_with_a_banned_package_cannot_be_approved_until_the_ban_is_lifted(yard: Yard) -> None:
    asked = await yard.ask()
    await yard.ban("NumPy")
    with pytest.raises(BannedPackageError, match=r"numpy==1\.26\.4"):
        await yard.approve(asked, yard.bob)
    await yard.do(
        lambda session: rule_store.unban(session, yard.workspace, Ecosystem.PYPI, "numpy", by=yard.bob.id, at=NOW)
    )
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


# Denial, expiry, revocation.


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
    await yard.do(lambda session: rule_store.add_rule(session, yard.workspace, draft, by=yard.bob.id, at=NOW))
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


# Rules by hand.


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
        lambda session: rule_store.unban(
            session, yard.workspace, Ecosystem.PYPI, "numpy", specifier="<1", by=yard.bob.id, at=NOW
        )
    )
    assert [rule.specifier for rule in lifted] == ["<1"]
    assert [reason.code for reason in (await yard.decide()).reasons] == ["banned_package"]
    with pytest.raises(NotFoundError):
        await yard.do(
            lambda session: rule_store.unban(
                session, yard.workspace, Ecosystem.PYPI, "numpy", specifier="<1", by=yard.bob.id, at=NOW
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
        await rule_store.revoke_rule(session, yard.workspace, rules[0].id, by=yard.bob.id, at=NOW)

    before = await yard.epoch()
    await yard.do(end)
    assert await yard.epoch() > before, "a process that saw the rule would go on admitting calls"
    assert isinstance(await yard.decide(), Hold)
    with pytest.raises(NotFoundError):
        await yard.do(end)


# Tenants.


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
    await attempt(lambda s: rule_store.revoke_rule(s, other, RuleId(1), by=spy.id, at=NOW))
    await attempt(lambda s: rule_store.unban(s, other, Ecosystem.PYPI, "numpy", by=spy.id, at=NOW))
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
