"""Workspaces as operators manage them: who may, what is recorded where, and that nobody locks everybody out."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from skillyard.database import Database
from skillyard.errors import ConflictError, InputError, NotFoundError
from skillyard.governance import audit, epoch, people, quota_store, tokens, workspaces
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Agent, Maturity
from skillyard.governance.errors import AdminRoleError, OperatorRoleError, WorkspaceSuspendedError
from skillyard.governance.identity import Actor, ActorKind, Person, PersonPrincipal, Role, TokenId, WorkspaceState
from skillyard.governance.quotas import MOST, CallSpan, Quota, QuotaExceededError, Quotas
from skillyard.governance.tables import AuditRecordRow
from skillyard.governance.workspaces import Founded
from skillyard.ids import WorkspaceId
from sqlalchemy import select

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
NOTHING = dict.fromkeys(CallSpan, 0)


def acting(person: Person) -> Administrator:
    return Administrator(person.workspace, person.id, person.actor)


async def found(database: Database, by: Person, name: str = "tenant", admin: str = "boss") -> Founded:
    async with database.transaction() as session:
        return await workspaces.add(session, name, admin=admin, by=acting(by), at=NOON)


async def suspend(database: Database, by: Person, workspace: WorkspaceId, reason: str = "unpaid") -> None:
    async with database.transaction() as session:
        await workspaces.suspend(session, workspace, reason=reason, by=acting(by), at=NOON)


async def add(database: Database, by: Person, name: str, role: Role) -> Person:
    async with database.transaction() as session:
        return await people.add_person(session, by.workspace, name, role, by=by.actor, at=NOON)


async def issue(database: Database, holder: Person, *, by: Person) -> TokenId:
    async with database.transaction() as session:
        token, _ = await tokens.issue(session, holder, "test", by=by.actor, at=NOON)
        return token


async def revoke(database: Database, token: TokenId, *, by: Person) -> None:
    async with database.transaction() as session:
        await tokens.revoke(session, by.workspace, token, by=by.actor, at=NOON)


async def actions(database: Database, workspace: WorkspaceId) -> list[str]:
    async with database.reading() as session:
        assert (await audit.verify(session, workspace)).broken is None
        rows = select(AuditRecordRow.action).where(AuditRecordRow.workspace_id == workspace)
        return [*await session.scalars(rows.order_by(AuditRecordRow.seq))]


async def epoch_of(database: Database) -> int:
    async with database.reading() as session:
        return await epoch.current(session)


async def test_a_new_workspace_comes_with_an_admin_whose_token_works(database: Database, admin: Person) -> None:
    made = await found(database, admin)
    async with database.transaction() as session:
        principal = await tokens.authenticate(session, made.token, NOON)
    assert isinstance(principal, PersonPrincipal)
    assert principal.person == made.admin
    assert (principal.person.role, principal.workspace) == (Role.ADMIN, made.workspace.id)
    assert await actions(database, made.workspace.id) == ["workspace.created", "person.added", "token.issued"]
    assert (await actions(database, admin.workspace))[-1] == "workspace.created", "the operator's own chain tells too"


async def test_a_suspension_and_its_end_raise_the_epoch_and_are_in_both_chains(
    database: Database, admin: Person
) -> None:
    made = await found(database, admin)
    before = await epoch_of(database)
    await suspend(database, admin, made.workspace.id)
    assert await epoch_of(database) == before + 1
    await suspend(database, admin, made.workspace.id, reason="again")
    assert await epoch_of(database) == before + 1, "suspending a suspended one changes nothing"
    async with database.transaction() as session:
        assert (await workspaces.get(session, made.workspace.id)).state is WorkspaceState.SUSPENDED
        resumed = await workspaces.resume(session, made.workspace.id, reason="paid", by=acting(admin), at=NOON)
    assert resumed.state is WorkspaceState.ACTIVE
    assert await epoch_of(database) == before + 2
    for chain in (made.workspace.id, admin.workspace):
        assert (await actions(database, chain))[-2:] == ["workspace.suspended", "workspace.resumed"]


@pytest.mark.parametrize("role", [Role.MEMBER, Role.ADMIN])
async def test_nobody_but_an_operator_manages_workspaces(database: Database, admin: Person, role: Role) -> None:
    made = await found(database, admin)
    other = await add(database, admin, "somebody", role)
    with pytest.raises(Exception, match="needs the role"):
        await found(database, other, "mine")
    with pytest.raises(Exception, match="needs the role"):
        await suspend(database, other, made.workspace.id)
    async with database.reading() as session:
        assert await workspaces.state_of(session, made.workspace.id) is WorkspaceState.ACTIVE


async def test_an_operators_agent_is_no_operator(database: Database, admin: Person) -> None:
    async with database.transaction() as session:
        trusted = await people.add_agent(
            session, admin.workspace, "bot", owner=admin.id, maturity=Maturity.AUTONOMOUS, by=admin.actor, at=NOON
        )
    by = Administrator(admin.workspace, admin.id, Actor(ActorKind.AGENT, trusted.id))
    with pytest.raises(AdminRoleError):
        async with database.transaction() as session:
            await workspaces.add(session, "tenant", admin="boss", by=by, at=NOON)


async def test_an_operator_cannot_suspend_their_own_workspace(database: Database, admin: Person) -> None:
    with pytest.raises(ConflictError):
        await suspend(database, admin, admin.workspace)


async def test_of_two_operators_who_suspend_each_other_one_stays(database: Database, admin: Person) -> None:
    made = await found(database, admin)
    async with database.transaction() as session:
        other = await people.add_person(session, made.workspace.id, "op", Role.OPERATOR, by=admin.actor, at=NOON)
    done = await asyncio.gather(
        suspend(database, admin, made.workspace.id), suspend(database, other, admin.workspace), return_exceptions=True
    )
    assert sum(isinstance(one, WorkspaceSuspendedError) for one in done) == 1, done
    async with database.reading() as session:
        states = [await workspaces.state_of(session, one) for one in (admin.workspace, made.workspace.id)]
    assert sorted(str(state) for state in states) == ["active", "suspended"]


async def test_nobody_makes_themselves_an_operator(database: Database, admin: Person) -> None:
    """An admin can add persons and issue tokens: not such that would make them more than they are."""
    plain = await add(database, admin, "plain", Role.ADMIN)
    with pytest.raises(OperatorRoleError):
        await add(database, plain, "me-too", Role.OPERATOR)
    with pytest.raises(OperatorRoleError):
        await issue(database, admin, by=plain)
    with pytest.raises(OperatorRoleError):
        await revoke(database, TokenId(1), by=plain)
    second = await add(database, admin, "second", Role.OPERATOR)
    await revoke(database, await issue(database, second, by=admin), by=second)


async def test_what_cannot_be_is_refused_with_its_field(database: Database, admin: Person) -> None:
    made = await found(database, admin)
    with pytest.raises(ConflictError):
        await found(database, admin)
    with pytest.raises(InputError) as told:
        await found(database, admin, name="x" * 65)
    assert told.value.field == "name"
    for reason in ("", "  ", "x" * 1001):
        with pytest.raises(InputError) as told:
            await suspend(database, admin, made.workspace.id, reason=reason)
        assert told.value.field == "reason"
    with pytest.raises(NotFoundError):
        await suspend(database, admin, WorkspaceId(404))
    for quota, value in ((Quota.SANDBOXES, 0), (Quota.AGENTS, -1), (Quota.STORAGE, MOST + 1)):
        with pytest.raises(InputError) as told:
            Quotas().changed({quota: value})
        assert told.value.field == quota.value


async def test_no_more_agents_than_the_quota_also_when_many_are_added_at_once(
    database: Database, admin: Person, agent: Agent
) -> None:
    home = admin.workspace
    async with database.transaction() as session:
        await quota_store.replace(session, home, Quotas({Quota.AGENTS: 4}), counted=NOTHING, at=NOON)

    async def one(name: str) -> Agent:
        async with database.transaction() as session:
            return await people.add_agent(
                session, home, name, owner=admin.id, maturity=Maturity.STUDENT, by=admin.actor, at=NOON
            )

    answers = await asyncio.gather(*(one(f"bot-{place}") for place in range(8)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, QuotaExceededError)]
    assert [type(answer) for answer in answers].count(Agent) == 3, "there was one before"
    assert len(refused) == 5
    assert {(error.quota, error.limit, error.used) for error in refused} == {(Quota.AGENTS, 4, 4)}
    assert agent.workspace == home


async def test_a_workspace_without_quotas_has_none(database: Database, admin: Person) -> None:
    async with database.transaction() as session:
        assert (await quota_store.load(session, admin.workspace)).calls is None
        quotas = Quotas({Quota.CALLS_PER_DAY: 5, Quota.SKILLS: 2})
        await quota_store.replace(session, admin.workspace, quotas, counted=NOTHING, at=NOON)
    async with database.transaction() as session:
        assert await quota_store.load(session, admin.workspace) == quotas
        changed = quotas.changed({Quota.SKILLS: None})
        await quota_store.replace(session, admin.workspace, changed, counted=NOTHING, at=NOON)
    async with database.reading() as session:
        assert await quota_store.load(session, admin.workspace) == Quotas({Quota.CALLS_PER_DAY: 5})
