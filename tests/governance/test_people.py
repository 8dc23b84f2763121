"""Workspaces, persons, agents: who exists, and that every change reaches the epoch and the audit chain together."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import orjson
import pytest
from skillyard.database import Database, open_database
from skillyard.errors import ConflictError, InputError, NotFoundError
from skillyard.governance import audit, epoch, people
from skillyard.governance.audit import Entry
from skillyard.governance.decision import Agent, AgentState, Maturity
from skillyard.governance.identity import SYSTEM, Person, Role, Workspace
from skillyard.governance.tables import AuditRecordRow
from skillyard.ids import AgentId, Epoch, PersonId, WorkspaceId
from skillyard.times import utcnow
from sqlalchemy import select

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


async def epoch_of(database: Database) -> Epoch:
    async with database.reading() as session:
        return await epoch.current(session)


async def actions_of(database: Database, workspace: WorkspaceId) -> list[str]:
    async with database.reading() as session:
        assert (await audit.verify(session, workspace)).broken is None
        query = select(AuditRecordRow.action).where(AuditRecordRow.workspace_id == workspace)
        return [*await session.scalars(query.order_by(AuditRecordRow.seq))]


@pytest.fixture
async def other(database: Database) -> Workspace:
    async with database.transaction() as session:
        return await people.create_workspace(session, "other", by=SYSTEM, at=NOON)


async def test_what_was_added_is_found_by_name_and_by_id(database: Database, admin: Person, agent: Agent) -> None:
    async with database.reading() as session:
        assert await people.person_by_name(session, admin.workspace, "admin") == admin
        assert await people.get_person(session, admin.workspace, admin.id) == admin
        assert await people.agent_by_name(session, admin.workspace, "report-bot") == agent
        assert await people.get_agent(session, admin.workspace, agent.id) == agent
        assert [found.name for found in await people.workspaces(session)] == ["default"]
    assert admin.role is Role.OPERATOR
    assert (agent.owner, agent.maturity, agent.state) == (admin.id, Maturity.INTERN, AgentState.ACTIVE)


async def test_every_change_raises_the_epoch_and_is_recorded(database: Database, admin: Person, agent: Agent) -> None:
    """A decision made before any of these must not be admitted after it."""
    home, by = admin.workspace, admin.actor
    before = await epoch_of(database)
    async with database.transaction() as session:
        await people.add_person(session, home, "ann", Role.MEMBER, by=by, at=NOON)
        await people.suspend(session, home, agent.id, reason="odd calls", by=by, at=NOON)
        await people.resume(session, home, agent.id, reason="explained", by=by, at=NOON)
    assert await epoch_of(database) == before + 3
    assert await actions_of(database, home) == [
        "workspace.created",
        "person.added",
        "token.issued",
        "agent.added",
        "person.added",
        "agent.suspended",
        "agent.resumed",
    ]


async def test_a_record_says_who_what_and_why(database: Database, admin: Person, agent: Agent) -> None:
    async with database.transaction() as session:
        await people.suspend(session, admin.workspace, agent.id, reason="odd", by=admin.actor, at=NOON)
    async with database.reading() as session:
        last = [line async for line in audit.export(session, admin.workspace)][-1]
    entry = Entry(**orjson.loads(last))
    assert (entry.actor_kind, entry.actor_id, entry.subject) == ("person", admin.id, f"agent/{agent.id}")
    assert entry.payload == '{"reason":"odd"}'
    assert entry.at == "2026-01-02T12:00:00.000000Z"


async def test_changes_are_seen_by_the_next_reader(database: Database, admin: Person, agent: Agent) -> None:
    home = admin.workspace
    async with database.transaction() as session:
        suspended = await people.suspend(session, home, agent.id, reason="odd", by=admin.actor, at=NOON)
    async with database.reading() as session:
        assert await people.get_agent(session, home, agent.id) == suspended
    assert suspended.state is AgentState.SUSPENDED


async def test_setting_what_is_already_so_changes_nothing(database: Database, admin: Person, agent: Agent) -> None:
    before, recorded = await epoch_of(database), await actions_of(database, admin.workspace)
    async with database.transaction() as session:
        await people.resume(session, admin.workspace, agent.id, reason="is active", by=admin.actor, at=NOON)
    assert await epoch_of(database) == before
    assert await actions_of(database, admin.workspace) == recorded


async def test_a_taken_name_is_a_conflict_and_the_transaction_goes_on(
    database: Database, admin: Person, agent: Agent
) -> None:
    home, by = admin.workspace, admin.actor
    async with database.transaction() as session:
        with pytest.raises(ConflictError, match="default"):
            await people.create_workspace(session, "default", by=by, at=NOON)
        with pytest.raises(ConflictError, match="admin"):
            await people.add_person(session, home, "admin", Role.MEMBER, by=by, at=NOON)
        with pytest.raises(ConflictError, match="report-bot"):
            await people.add_agent(session, home, agent.name, owner=admin.id, maturity=Maturity.INTERN, by=by, at=NOON)
        await people.add_person(session, home, "ann", Role.MEMBER, by=by, at=NOON)
    async with database.reading() as session:
        assert [person.name for person in await people.persons(session, home)] == ["admin", "ann"]
    assert (await actions_of(database, home)).count("person.added") == 2


async def test_of_two_processes_that_take_one_name_one_wins(
    database: Database, database_url: str, admin: Person
) -> None:
    second = await open_database(database_url)

    async def add(handle: Database) -> Person:
        async with handle.transaction() as session:
            return await people.add_person(session, admin.workspace, "ann", Role.MEMBER, by=admin.actor, at=utcnow())

    answers = await asyncio.gather(add(database), add(second), return_exceptions=True)
    await second.close()
    assert sorted(type(answer).__name__ for answer in answers) == ["ConflictError", "Person"]


@pytest.mark.parametrize(
    "name",
    ["", " ann", "ann ", "a/b", "-ann", "ann.", "a" * 65, "änn", "ann\n", "a\0b", "\N{CYRILLIC SMALL LETTER A}nn"],
    ids=repr,
)
async def test_a_name_that_could_be_mistaken_for_another_is_refused(
    database: Database, admin: Person, name: str
) -> None:
    async with database.transaction() as session:
        with pytest.raises(InputError) as refused:
            await people.add_person(session, admin.workspace, name, Role.MEMBER, by=admin.actor, at=NOON)
    assert refused.value.field == "name"


@pytest.mark.parametrize("name", ["a", "A1", "ann@example.com", "report-bot_2", "a" * 64])
async def test_usual_names_are_taken(database: Database, admin: Person, name: str) -> None:
    async with database.transaction() as session:
        person = await people.add_person(session, admin.workspace, name, Role.MEMBER, by=admin.actor, at=NOON)
    assert person.name == name


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001])
async def test_a_suspension_needs_a_reason(database: Database, admin: Person, agent: Agent, reason: str) -> None:
    async with database.transaction() as session:
        with pytest.raises(InputError, match="reason"):
            await people.suspend(session, admin.workspace, agent.id, reason=reason, by=admin.actor, at=NOON)


async def test_one_workspace_sees_nothing_of_another(
    database: Database, admin: Person, agent: Agent, other: Workspace
) -> None:
    async with database.transaction() as session:
        assert await people.persons(session, other.id) == ()
        assert await people.agents(session, other.id) == ()
        with pytest.raises(NotFoundError):
            await people.get_person(session, other.id, admin.id)
        with pytest.raises(NotFoundError):
            await people.agent_by_name(session, other.id, agent.name)
        with pytest.raises(NotFoundError):
            await people.suspend(session, other.id, agent.id, reason="not theirs", by=SYSTEM, at=NOON)
        with pytest.raises(NotFoundError):
            await people.add_agent(
                session, other.id, "spy", owner=admin.id, maturity=Maturity.INTERN, by=SYSTEM, at=NOON
            )
        # The same name may be used by another tenant.
        await people.add_person(session, other.id, "admin", Role.ADMIN, by=SYSTEM, at=NOON)


async def test_what_does_not_exist_is_not_found(database: Database, admin: Person) -> None:
    async with database.transaction() as session:
        with pytest.raises(NotFoundError):
            await people.get_person(session, admin.workspace, PersonId(404))
        with pytest.raises(NotFoundError):
            await people.get_agent(session, admin.workspace, AgentId(404))
        with pytest.raises(NotFoundError):
            await people.workspace_by_name(session, "nowhere")
        with pytest.raises(NotFoundError):
            await people.add_person(session, WorkspaceId(404), "ann", Role.MEMBER, by=SYSTEM, at=NOON)


async def test_lists_are_paged_in_the_order_of_adding(database: Database, admin: Person) -> None:
    async with database.transaction() as session:
        for name in ("c", "a", "b"):
            await people.add_person(session, admin.workspace, name, Role.MEMBER, by=admin.actor, at=NOON)
    async with database.reading() as session:
        first = await people.persons(session, admin.workspace, limit=2)
        rest = await people.persons(session, admin.workspace, after=first[-1].id, limit=10)
    assert [person.name for person in (*first, *rest)] == ["admin", "c", "a", "b"]
