"""Who administers: persons with the role, and AUTONOMOUS agents whose token carries the scope, as of this moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from skillyard.database import Database, Session
from skillyard.errors import InputError, NotFoundError
from skillyard.governance import audit, people, tokens
from skillyard.governance.administrators import (
    Administrator,
    recheck,
    require_admin,
    require_operator,
    require_person,
)
from skillyard.governance.decision import Agent, AgentState, Maturity
from skillyard.governance.errors import AdminRoleError, OperatorRoleError
from skillyard.governance.identity import SYSTEM, AgentPrincipal, Person, Role, TokenId, TokenScope
from skillyard.governance.tables import AgentRow, PersonRow, TokenRow
from skillyard.ids import WorkspaceId
from skillyard.times import utcnow
from sqlalchemy import update

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
ADMIN = frozenset({TokenScope.ADMIN})


def person_of(person: Person) -> Administrator:
    return Administrator(person.workspace, person.id, person.actor)


async def trusted(session: Session, admin: Person, *, maturity: Maturity = Maturity.AUTONOMOUS) -> Agent:
    named = {"owner": admin.id, "maturity": maturity, "by": admin.actor, "at": NOON}
    return await people.add_agent(session, admin.workspace, "helper", **named)  # type: ignore[arg-type]


async def acting(session: Session, agent: Agent, scopes: frozenset[TokenScope] = ADMIN) -> Administrator:
    token, _ = await tokens.issue(session, agent, "t", by=SYSTEM, at=NOON, scopes=scopes)
    return Administrator.of(AgentPrincipal(token, agent, scopes))


async def test_a_person_with_the_role_administers_and_a_member_does_not(database: Database, admin: Person) -> None:
    async with database.transaction() as session:
        assert await require_admin(session, person_of(admin)) == admin
        assert await require_operator(session, person_of(admin)) == admin
        member = await people.add_person(session, admin.workspace, "m", Role.MEMBER, by=admin.actor, at=NOON)
        second = await people.add_person(session, admin.workspace, "s", Role.ADMIN, by=admin.actor, at=NOON)
        assert await require_person(session, person_of(second)) == second
        with pytest.raises(AdminRoleError):
            await require_admin(session, person_of(member))
        with pytest.raises(OperatorRoleError):
            await require_operator(session, person_of(second))
        with pytest.raises(AdminRoleError):
            await require_admin(session, Administrator(admin.workspace, admin.id, second.actor))
        with pytest.raises(AdminRoleError):
            await require_admin(session, Administrator(admin.workspace, admin.id, SYSTEM))


async def test_an_autonomous_agent_with_the_scope_acts_for_its_owner(database: Database, admin: Person) -> None:
    async with database.transaction() as session:
        agent = await trusted(session, admin)
        by = await acting(session, agent)
        assert await require_admin(session, by) == admin
        assert by.facts == {"on_behalf_of": f"person/{admin.id}"}
        with pytest.raises(AdminRoleError, match="person"):
            await require_person(session, by)
        with pytest.raises(AdminRoleError):
            await require_operator(session, by)


@pytest.mark.parametrize(
    "taken",
    ["maturity", "state", "scope", "token", "role", "revoked", "expired", "another's token", "owner"],
)
async def test_what_was_taken_away_counts_in_the_very_transaction(
    database: Database, admin: Person, taken: str
) -> None:
    async with database.transaction() as session:
        agent = await trusted(session, admin)
        other = await people.add_person(session, admin.workspace, "o", Role.ADMIN, by=admin.actor, at=NOON)
        by = await acting(session, agent, frozenset() if taken == "scope" else ADMIN)
        if taken != "scope":
            await require_admin(session, by)
        match taken:
            case "maturity":
                await session.execute(update(AgentRow).values(maturity=Maturity.SUPERVISED))
            case "state":
                await session.execute(update(AgentRow).values(state=AgentState.SUSPENDED))
            case "token":
                by = Administrator(by.workspace, by.person, by.actor)
            case "role":
                await session.execute(update(PersonRow).values(role=Role.MEMBER))
            case "revoked":
                await tokens.revoke(session, by.workspace, by.token or TokenId(0), by=SYSTEM, at=NOON)
            case "expired":
                past = utcnow() - timedelta(seconds=1)
                await session.execute(update(TokenRow).where(TokenRow.id == by.token).values(expires_at=past))
            case "another's token":
                token, _ = await tokens.issue(session, other, "x", by=SYSTEM, at=NOON)
                by = Administrator(by.workspace, by.person, by.actor, token)
            case "owner":
                by = Administrator(by.workspace, other.id, by.actor, by.token)
            case _:
                assert taken == "scope"
        with pytest.raises(AdminRoleError):
            await require_admin(session, by)
        with pytest.raises(AdminRoleError):
            await recheck(session, by)


async def test_nobody_of_another_workspace_is_found(database: Database, admin: Person) -> None:
    async with database.transaction() as session:
        elsewhere = WorkspaceId((await people.create_workspace(session, "other", by=SYSTEM, at=NOON)).id)
        agent = await trusted(session, admin)
        by = await acting(session, agent)
        for foreign in (person_of(admin), by):
            with pytest.raises(NotFoundError):
                await require_admin(session, Administrator(elsewhere, foreign.person, foreign.actor, foreign.token))


async def test_scopes_are_for_agents_and_are_listed_and_recorded(database: Database, admin: Person) -> None:
    async with database.transaction() as session:
        with pytest.raises(InputError) as refused:
            await tokens.issue(session, admin, "t", by=SYSTEM, at=NOON, scopes=ADMIN)
        assert refused.value.field == "scopes"
        agent = await trusted(session, admin)
        await tokens.issue(session, agent, "plain", by=SYSTEM, at=NOON)
        _, text = await tokens.issue(session, agent, "scoped", by=SYSTEM, at=NOON, scopes=ADMIN)
    async with database.reading() as session:
        listed = {one.name: one.scopes for one in await tokens.tokens(session, admin.workspace)}
        principal = await tokens.authenticate(session, text, utcnow())
        lines = [line async for line in audit.export(session, admin.workspace)]
    assert (listed["plain"], listed["scoped"]) == ((), (TokenScope.ADMIN,))
    assert isinstance(principal, AgentPrincipal)
    assert principal.scopes == ADMIN
    assert b'\\"scopes\\":[\\"admin\\"]' in lines[-1]
