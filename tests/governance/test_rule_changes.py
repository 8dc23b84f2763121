"""Package rules as admins and operators change them, on real databases: who may, what binds whom, what is recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from skillyard.database import Database
from skillyard.errors import NotFoundError
from skillyard.governance import epoch, package_requests, people, rule_changes, rule_store
from skillyard.governance.administrators import Administrator
from skillyard.governance.approval_terms import ApprovalTerms
from skillyard.governance.check import wanted_package
from skillyard.governance.decision import Agent, Maturity, PackageRule, RequestState, RuleScope, RuleState
from skillyard.governance.errors import (
    AdminRoleError,
    AlreadyDecidedError,
    BannedPackageError,
    OperatorRoleError,
    RuleError,
    SecondPersonError,
)
from skillyard.governance.identity import SYSTEM, Person, Role
from skillyard.governance.package_requests import Asked, PackageRequest
from skillyard.governance.rule_plan import ImportMode, plan_import
from skillyard.governance.rules import RuleDraft, draft_approval, draft_ban
from skillyard.governance.rules_file import read_rules_file, write_rules_file
from skillyard.governance.standing import PackageState
from skillyard.governance.tables import AuditRecordRow
from skillyard.ids import RuleId, WorkspaceId
from skillyard.skills.skill import Ecosystem
from sqlalchemy import select

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TERMS = ApprovalTerms()
T = TypeVar("T")


@dataclass(frozen=True)
class House:
    """Two workspaces: one with an operator, an admin and a member, and a neighbour's with an admin."""

    database: Database
    operator: Administrator
    admin: Administrator
    member: Administrator
    neighbour: Administrator
    agent: Agent

    async def do(self, work: Callable[..., Awaitable[T]], *arguments: object, **more: object) -> T:
        async with self.database.transaction() as session:
            return await work(session, *arguments, **more)

    async def add(self, draft: RuleDraft, by: Administrator, scope: RuleScope = RuleScope.WORKSPACE) -> PackageRule:
        return await self.do(rule_changes.add_rule, draft, by=by, at=NOW, scope=scope)

    async def listed(self, by: Administrator, **wanted: object) -> list[str]:
        rules = await self.do(rule_store.list_rules, by.workspace, **wanted)
        return [f"{rule.scope.value} {rule.state.value} {rule.name}{rule.specifier}" for rule in rules]

    async def state(self, workspace: WorkspaceId, name: str, version: str | None = "1.0") -> PackageState:
        wanted = wanted_package(ecosystem="pypi", name=name, version=version)
        return (await self.do(package_requests.standing, workspace, wanted, NOW)).standing.state

    async def ask(self, name: str, requester: Agent | Person, version: str | None = "1.0", at: datetime = NOW) -> Asked:
        wanted = wanted_package(ecosystem="pypi", name=name, version=version)
        return await self.do(package_requests.request, wanted, requester=requester, reason="needed", at=at, terms=TERMS)

    async def epoch(self) -> int:
        return await self.do(epoch.current)

    async def actions(self, workspace: WorkspaceId) -> list[str]:
        async with self.database.reading() as session:
            row = AuditRecordRow
            found = await session.scalars(select(row.action).where(row.workspace_id == workspace).order_by(row.seq))
            return list(found)


@pytest.fixture
async def house(database: Database, admin: Person, agent: Agent) -> House:
    async with database.transaction() as session:
        second = await people.add_person(session, admin.workspace, "sam", Role.ADMIN, by=SYSTEM, at=NOW)
        member = await people.add_person(session, admin.workspace, "mo", Role.MEMBER, by=SYSTEM, at=NOW)
        other = await people.create_workspace(session, "next-door", by=SYSTEM, at=NOW)
        neighbour = await people.add_person(session, other.id, "nia", Role.ADMIN, by=SYSTEM, at=NOW)
    return House(database, *(_acting(one) for one in (admin, second, member, neighbour)), agent)


def _acting(person: Person) -> Administrator:
    return Administrator(person.workspace, person.id, person.actor)


def ban(name: str, specifier: str = "") -> RuleDraft:
    return draft_ban(ecosystem="pypi", name=name, specifier=specifier, reason="it steals tokens", now=NOW)


def approval(name: str, specifier: str = "", minimum: Maturity = Maturity.INTERN, days: int | None = None) -> RuleDraft:
    expires = None if days is None else NOW + timedelta(days=days)
    return draft_approval(
        ecosystem="pypi", name=name, specifier=specifier, min_maturity=minimum, expires_at=expires, now=NOW
    )


async def test_a_global_ban_binds_every_workspace_and_no_workspace_lifts_it(house: House) -> None:
    await house.add(approval("evil"), house.neighbour)
    before = await house.epoch()
    rule = await house.add(ban("Evil"), house.operator, RuleScope.GLOBAL)
    assert await house.epoch() > before
    assert await house.state(house.neighbour.workspace, "evil") is PackageState.BANNED
    assert await house.listed(house.neighbour, state=RuleState.BANNED) == ["global banned evil"]
    with pytest.raises(NotFoundError, match="of this workspace"):
        await house.do(rule_changes.unban, Ecosystem.PYPI, "evil", by=house.neighbour, at=NOW)
    for who in (house.admin, house.neighbour):
        with pytest.raises(OperatorRoleError):
            await house.do(rule_changes.revoke_rule, rule.id, by=who, at=NOW)
        with pytest.raises(OperatorRoleError):
            await house.do(rule_changes.unban, Ecosystem.PYPI, "evil", by=who, at=NOW, scope=RuleScope.GLOBAL)
    assert await house.state(house.neighbour.workspace, "evil") is PackageState.BANNED
    await house.do(rule_changes.unban, Ecosystem.PYPI, "evil", by=house.operator, at=NOW, scope=RuleScope.GLOBAL)
    assert await house.state(house.neighbour.workspace, "evil") is PackageState.APPROVED


async def test_a_global_change_is_recorded_where_it_was_made_and_where_it_binds(house: House) -> None:
    await house.add(ban("evil"), house.operator, RuleScope.GLOBAL)
    assert (await house.actions(house.operator.workspace))[-1] == "package.banned"
    assert (await house.actions(house.neighbour.workspace))[-1] == "package.global_rules_changed"


@pytest.mark.parametrize("scope", RuleScope)
async def test_only_admins_write_rules_and_only_operators_global_ones(house: House, scope: RuleScope) -> None:
    before = await house.epoch()
    with pytest.raises(AdminRoleError):
        await house.add(ban("evil"), house.member, scope)
    if scope is RuleScope.GLOBAL:
        with pytest.raises(OperatorRoleError):
            await house.add(ban("evil"), house.admin, scope)
        plan = plan_import((), [ban("evil")], mode=ImportMode.MERGE, now=NOW)
        with pytest.raises(OperatorRoleError):
            await house.do(rule_changes.carry_out, plan, by=house.admin, at=NOW, scope=scope, source="f")
    assert (await house.listed(house.admin), await house.epoch()) == ([], before)


async def test_rules_of_another_workspace_are_neither_seen_nor_ended(house: House) -> None:
    rule = await house.add(ban("evil"), house.admin)
    assert await house.listed(house.neighbour) == []
    with pytest.raises(NotFoundError):
        await house.do(rule_changes.revoke_rule, rule.id, by=house.neighbour, at=NOW)
    with pytest.raises(NotFoundError):
        await house.do(rule_changes.revoke_rule, RuleId(10**9), by=house.admin, at=NOW)
    assert await house.state(house.neighbour.workspace, "evil") is PackageState.UNKNOWN


async def test_the_list_is_narrowed_by_each_of_its_filters(house: House) -> None:
    await house.add(approval("left-pad", "<2", days=5), house.admin)
    await house.add(approval("left_Right", days=50), house.admin)
    await house.add(ban("right"), house.operator, RuleScope.GLOBAL)
    npm = draft_ban(ecosystem="npm", name="LeftPad", reason="r", now=NOW)
    await house.do(rule_changes.add_rule, npm, by=house.admin, at=NOW)
    assert len(await house.listed(house.admin)) == 4
    assert await house.listed(house.admin, prefix="LEFT_") == [
        "workspace approved left-pad<2",
        "workspace approved left-right",
    ]
    assert await house.listed(house.admin, prefix="Left", ecosystem=Ecosystem.NPM) == ["workspace banned LeftPad"]
    assert await house.listed(house.admin, prefix="left", ecosystem=Ecosystem.NPM) == []
    assert await house.listed(house.admin, scope=RuleScope.GLOBAL) == ["global banned right"]
    assert await house.listed(house.admin, name="@scope/none") == []
    assert await house.listed(house.admin, name="Left.Pad") == ["workspace approved left-pad<2"]
    window = (NOW, NOW + timedelta(days=10))
    assert await house.listed(house.admin, expiring=window) == ["workspace approved left-pad<2"]
    assert await house.listed(house.neighbour) == ["global banned right"]
    first = await house.do(rule_store.list_rules, house.admin.workspace, limit=3)
    assert len(await house.listed(house.admin, after=first[-1].id)) == 1
    with pytest.raises(RuleError):
        await house.listed(house.admin, name="no such name!")


async def take_in(house: House, text: str, mode: ImportMode, by: Administrator) -> tuple[int, int, int]:
    drafts = read_rules_file(text, file="rules.yaml")
    async with house.database.transaction() as session:
        plan = plan_import(await rule_store.all_of(session, by.workspace), drafts, mode=mode, now=NOW)
        await rule_changes.carry_out(session, plan, by=by, at=NOW, scope=RuleScope.WORKSPACE, source="rules.yaml")
    return len(plan.added), len(plan.ended), plan.kept


async def exported(house: House, by: Administrator) -> str:
    return write_rules_file(await house.do(rule_store.all_of, by.workspace))


async def test_what_was_exported_changes_nothing_here_and_everything_elsewhere(house: House) -> None:
    await house.add(approval("left-pad", "<2", days=5), house.admin)
    await house.add(ban("evil"), house.admin)
    text, before = await exported(house, house.admin), await house.epoch()
    for mode in ImportMode:
        assert await take_in(house, text, mode, house.admin) == (0, 0, 2)
    assert await house.epoch() == before
    await house.add(ban("local-only"), house.neighbour)
    assert await take_in(house, text, ImportMode.REPLACE, house.neighbour) == (2, 1, 0)
    assert await exported(house, house.neighbour) == text
    assert (await house.actions(house.neighbour.workspace))[-1] == "package.rules_imported"


async def test_a_merge_overrules_what_it_mentions_and_leaves_the_rest(house: House) -> None:
    await house.add(approval("pandas", "<3", Maturity.INTERN), house.admin)
    await house.add(ban("evil"), house.admin)
    stricter = write_rules_file([])[: -len("rules: []\n")] + (
        "rules:\n  - ecosystem: pypi\n    name: pandas\n    versions: <3\n    state: approved\n"
        "    min_maturity: AUTONOMOUS\n"
    )
    assert await take_in(house, stricter, ImportMode.ADD, house.neighbour) == (1, 0, 0)
    assert await take_in(house, stricter, ImportMode.MERGE, house.admin) == (1, 1, 0)
    rules = await house.do(rule_store.list_rules, house.admin.workspace, state=RuleState.APPROVED)
    assert [rule.min_maturity for rule in rules] == [Maturity.AUTONOMOUS]
    assert await house.state(house.admin.workspace, "evil") is PackageState.BANNED


async def test_a_package_is_asked_for_once_and_approved_by_a_second_person(house: House) -> None:
    first = await house.ask("left-pad", house.agent)
    assert (first.created, first.answer.standing.state) == (True, PackageState.PENDING)
    again = await house.ask("Left_Pad", house.agent)
    assert (again.created, again.request) == (False, first.request)
    assert first.request is not None
    with pytest.raises(SecondPersonError):
        await decide(house, first.request, house.operator)
    for who in (house.member, house.neighbour):
        with pytest.raises((AdminRoleError, NotFoundError)):
            await decide(house, first.request, who)
    decided = await decide(house, first.request, house.admin)
    assert (decided.state, decided.second_person) == (RequestState.APPROVED, True)
    assert await house.state(house.admin.workspace, "left-pad") is PackageState.APPROVED
    assert await house.state(house.admin.workspace, "left-pad", "1.1") is PackageState.UNKNOWN
    assert await house.state(house.neighbour.workspace, "left-pad") is PackageState.UNKNOWN
    with pytest.raises(AlreadyDecidedError):
        await decide(house, first.request, house.admin)
    assert (await house.ask("left-pad", house.agent)).request is None
    assert decided.rule is not None
    await house.do(rule_changes.revoke_rule, decided.rule, by=house.admin, at=NOW)
    assert await house.state(house.admin.workspace, "left-pad") is PackageState.UNKNOWN


async def decide(house: House, request: PackageRequest, by: Administrator, **more: object) -> PackageRequest:
    return await house.do(package_requests.approve, request.id, by=by, at=NOW, terms=TERMS, **more)


async def test_a_request_on_a_banned_package_stays_banned(house: House) -> None:
    asked = await house.ask("evil", house.agent)
    assert asked.request is not None
    await house.add(ban("evil"), house.operator, RuleScope.GLOBAL)
    with pytest.raises(BannedPackageError):
        await decide(house, asked.request, house.admin)
    again = await house.ask("evil", house.agent, version=None)
    assert (again.answer.standing.state, again.request) == (PackageState.BANNED, None)
    assert await house.state(house.admin.workspace, "evil") is PackageState.BANNED


async def test_a_denial_answers_for_a_day(house: House) -> None:
    asked = await house.ask("left-pad", house.agent)
    assert asked.request is not None
    await house.do(package_requests.deny, asked.request.id, by=house.admin, at=NOW, comment="use pad")
    again = await house.ask("left-pad", house.agent, at=NOW + timedelta(hours=23))
    assert again.request is not None
    assert (again.created, again.request.state, again.request.comment) == (False, RequestState.DENIED, "use pad")
    assert (await house.ask("left-pad", house.agent, at=NOW + timedelta(hours=25))).created


async def test_an_approval_written_directly_answers_the_request(house: House) -> None:
    asked = await house.ask("left-pad", house.agent)
    elsewhere = await house.ask("left-pad", house.agent, version="9.0")
    assert asked.request is not None
    assert elsewhere.request is not None
    rule = await house.add(approval("left-pad", "<2"), house.operator, RuleScope.GLOBAL)
    found = await house.do(package_requests.get, house.admin.workspace, asked.request.id)
    assert (found.state, found.rule) == (RequestState.APPROVED, rule.id)
    assert found.second_person is False
    left = await house.do(package_requests.get, house.admin.workspace, elsewhere.request.id)
    assert left.state is RequestState.PENDING


async def test_what_is_asked_of_a_person_needs_a_maturity(house: House) -> None:
    async with house.database.reading() as session:
        member = await people.get_person(session, house.member.workspace, house.member.person)
    asked = await house.ask("left-pad", member, version=None)
    assert asked.request is not None
    with pytest.raises(RuleError) as refused:
        await decide(house, asked.request, house.admin)
    assert refused.value.field == "min_maturity"
    await decide(house, asked.request, house.admin, min_maturity=Maturity.SUPERVISED, specifier="<2")
    assert await house.listed(house.admin) == ["workspace approved left-pad<2"]
