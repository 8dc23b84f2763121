"""Promotions and demotions: by persons, for a reason, on evidence that is kept, one level up at a time."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest
from skillyard.database import Database
from skillyard.errors import InputError, NotFoundError
from skillyard.governance import audit, epoch, maturity, people, tokens
from skillyard.governance.administrators import Administrator
from skillyard.governance.audit import Entry
from skillyard.governance.decision import Agent, Maturity
from skillyard.governance.errors import AdminRoleError
from skillyard.governance.evidence import CallFigures, Evidence, PolicyHits, share
from skillyard.governance.identity import SYSTEM, AgentPrincipal, Person, PersonPrincipal, Role, TokenId, TokenScope
from skillyard.governance.maturity import LevelSkippedError, change_maturity

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def seen(agent: Agent) -> Evidence:
    figures = CallFigures(3, {"succeeded": 2, "failed": 1}, share(2, 3), 0.25, 1)
    return Evidence(agent.id, NOON, NOON, figures, PolicyHits({"student_code": 4}, {}, {}, NOON))


def as_person(person: Person) -> Administrator:
    return Administrator.of(PersonPrincipal(TokenId(0), person))


async def test_a_change_is_recorded_with_its_reason_and_its_evidence(
    database: Database, admin: Person, agent: Agent
) -> None:
    async with database.transaction() as session:
        before = await epoch.current(session)
        by = as_person(admin)
        changed = await change_maturity(
            session, agent.id, Maturity.SUPERVISED, by=by, at=NOON, reason=" does well ", evidence=seen(agent)
        )
        assert await epoch.current(session) == before + 1
    assert changed.maturity is Maturity.SUPERVISED
    async with database.reading() as session:
        assert (await people.get_agent(session, admin.workspace, agent.id)).maturity is Maturity.SUPERVISED
        (kept,) = await maturity.changes(session, admin.workspace, agent.id)
        entry = Entry(**orjson.loads([line async for line in audit.export(session, admin.workspace)][-1]))
    assert (kept.before, kept.after, kept.by) == (Maturity.INTERN, Maturity.SUPERVISED, admin.id)
    assert (kept.reason, kept.forced, kept.at) == ("does well", False, NOON)
    assert kept.evidence == seen(agent).document()
    assert kept.evidence["success"]["of"] == 3
    assert (entry.actor_kind, entry.subject) == ("person", f"agent/{agent.id}")
    payload = orjson.loads(entry.payload)
    assert (payload["from"], payload["to"], payload["reason"]) == ("INTERN", "SUPERVISED", "does well")
    assert payload["evidence"] == kept.evidence


async def test_a_level_is_skipped_only_when_that_is_asked_for(database: Database, admin: Person, agent: Agent) -> None:
    by = as_person(admin)
    async with database.transaction() as session:
        given = {"by": by, "at": NOON, "reason": "r", "evidence": seen(agent)}
        with pytest.raises(LevelSkippedError, match="2 levels"):
            await change_maturity(session, agent.id, Maturity.AUTONOMOUS, **given)  # type: ignore[arg-type]
        assert await maturity.changes(session, admin.workspace, agent.id) == ()
        await change_maturity(session, agent.id, Maturity.AUTONOMOUS, force=True, **given)  # type: ignore[arg-type]
        # Down, it may be any number of levels at once.
        await change_maturity(session, agent.id, Maturity.STUDENT, **given)  # type: ignore[arg-type]
        newest, oldest = await maturity.changes(session, admin.workspace, agent.id)
        assert (newest.forced, oldest.forced) == (False, True)
        page = await maturity.changes(session, admin.workspace, agent.id, before=newest.id)
        assert [one.id for one in page] == [oldest.id]


async def test_setting_what_is_so_records_nothing(database: Database, admin: Person, agent: Agent) -> None:
    async with database.transaction() as session:
        before = await epoch.current(session)
        by = as_person(admin)
        same = await change_maturity(
            session, agent.id, agent.maturity, by=by, at=NOON, reason="r", evidence=seen(agent)
        )
        assert (same, await epoch.current(session)) == (agent, before)
        assert await maturity.changes(session, admin.workspace, agent.id) == ()


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 1001], ids=["empty", "blank", "long"])
async def test_a_change_needs_a_reason(database: Database, admin: Person, agent: Agent, reason: str) -> None:
    async with database.transaction() as session:
        with pytest.raises(InputError) as refused:
            await change_maturity(
                *(session, agent.id, Maturity.STUDENT),
                by=as_person(admin),
                at=NOON,
                reason=reason,
                evidence=seen(agent),
            )
    assert refused.value.field == "reason"


async def test_only_a_person_with_the_role_trusts_an_agent(database: Database, admin: Person, agent: Agent) -> None:
    """Neither a member, nor an agent whatever its token carries, nor somebody of another workspace."""
    async with database.transaction() as session:
        member = await people.add_person(session, admin.workspace, "m", Role.MEMBER, by=SYSTEM, at=NOON)
        helper = await people.add_agent(
            session, admin.workspace, "h", owner=admin.id, maturity=Maturity.AUTONOMOUS, by=SYSTEM, at=NOON
        )
        scopes = frozenset({TokenScope.ADMIN})
        token, _ = await tokens.issue(session, helper, "t", by=SYSTEM, at=NOON, scopes=scopes)
        elsewhere = await people.create_workspace(session, "other", by=SYSTEM, at=NOON)
        foreign = await people.add_person(session, elsewhere.id, "f", Role.ADMIN, by=SYSTEM, at=NOON)
        for by, refused in (
            (as_person(member), AdminRoleError),
            (Administrator.of(AgentPrincipal(token, helper, scopes)), AdminRoleError),
            (as_person(foreign), NotFoundError),
        ):
            with pytest.raises(refused):
                await change_maturity(
                    session, agent.id, Maturity.STUDENT, by=by, at=NOON, reason="r", evidence=seen(agent)
                )
        with pytest.raises(NotFoundError):
            await maturity.changes(session, elsewhere.id, agent.id)
        assert (await people.get_agent(session, admin.workspace, agent.id)).maturity is agent.maturity
