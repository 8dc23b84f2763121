"""Evidence: shares with honest intervals, and policy hits counted from the chain itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from skillyard.database import Database
from skillyard.governance import audit
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import Agent
from skillyard.governance.evidence import share
from skillyard.governance.evidence_store import policy_hits
from skillyard.governance.identity import Actor, ActorKind, Person
from skillyard.governance.tables import AuditRecordRow
from skillyard.ids import AgentId
from sqlalchemy import delete

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_of_nothing_there_is_no_share() -> None:
    assert share(0, 0) is None


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_wilsons(part: int, whole: int, low: float, high: float) -> None:
    found = share(part, whole)
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(st.integers(1, 10**6).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))))
def test_the_rate_lies_in_its_interval(counted: tuple[int, int]) -> None:
    found = share(*counted)
    assert found is not None
    assert 0 <= found.low <= found.rate + 1e-12
    assert found.rate - 1e-12 <= found.high <= 1
    assert found.low < found.high


def refused(
    person: Person,
    agent: int,
    action: Action,
    reasons: Sequence[str],
    at: datetime,
    *,
    kind: ActorKind = ActorKind.AGENT,
) -> AuditRecord:
    return AuditRecord(person.workspace, at, Actor(kind, agent), action, "invocation/x", {"reasons": list(reasons)})


async def test_hits_are_counted_by_their_first_reason_in_the_window(
    database: Database, admin: Person, agent: Agent
) -> None:
    async with database.transaction() as session:
        for record in (
            refused(admin, agent.id, Action.INVOCATION_DENIED, ["early"], NOON - HOUR),
            refused(admin, agent.id, Action.INVOCATION_DENIED, ["banned_package", "x"], NOON),
            refused(admin, agent.id, Action.INVOCATION_DENIED, ["banned_package"], NOON + HOUR),
            refused(admin, agent.id, Action.INVOCATION_HELD, ["first_use"], NOON + HOUR),
            refused(admin, agent.id, Action.INVOCATION_REFUSED, [], NOON + HOUR),
            refused(admin, agent.id + 1, Action.INVOCATION_DENIED, ["another's"], NOON + HOUR),
            refused(admin, agent.id, Action.INVOCATION_DENIED, ["a person's"], NOON + HOUR, kind=ActorKind.PERSON),
            refused(admin, agent.id, Action.INVOCATION_ADMITTED, ["allowed"], NOON + HOUR),
            refused(admin, agent.id, Action.INVOCATION_DENIED, ["late"], NOON + 2 * HOUR),
        ):
            await audit.append(session, record)
    async with database.reading() as session:
        hits = await policy_hits(session, admin.workspace, agent.id, since=NOON, until=NOON + 2 * HOUR)
    assert (hits.denied, hits.held, hits.refused) == ({"banned_package": 2}, {"first_use": 1}, {"unknown": 1})
    assert hits.since == NOON


async def test_where_older_records_are_archived_it_says_since_when_it_counted(
    database: Database, admin: Person, agent: Agent
) -> None:
    async with database.transaction() as session:
        for hours in range(4):
            record = refused(admin, agent.id, Action.INVOCATION_DENIED, ["student_code"], NOON + hours * HOUR)
            last = await audit.append(session, record)
        # As archiving leaves the table: without its oldest records.
        await session.execute(delete(AuditRecordRow).where(AuditRecordRow.seq < last.seq - 1))
    async with database.reading() as session:
        hits = await policy_hits(session, admin.workspace, agent.id, since=NOON, until=NOON + 9 * HOUR)
        whole = await policy_hits(session, admin.workspace, agent.id, since=NOON + 3 * HOUR, until=NOON + 9 * HOUR)
    assert (hits.denied, hits.since) == ({"student_code": 2}, NOON + 2 * HOUR)
    assert (whole.denied, whole.since) == ({"student_code": 1}, NOON + 3 * HOUR)


async def test_of_a_long_chain_the_part_in_the_window_is_found(database: Database, admin: Person, agent: Agent) -> None:
    """The chain is in the order of time; where to begin is found by halving, and nothing is missed by it."""
    async with database.transaction() as session:
        for minute in range(2500):
            at = NOON + timedelta(minutes=minute)
            await audit.append(session, refused(admin, AgentId(agent.id), Action.INVOCATION_DENIED, ["x"], at))
    async with database.reading() as session:
        for since, until in ((0, 2500), (2400, 2500), (1234, 1240), (2499, 9999), (3000, 4000)):
            window = {"since": NOON + timedelta(minutes=since), "until": NOON + timedelta(minutes=until)}
            hits = await policy_hits(session, admin.workspace, agent.id, **window)
            assert sum(hits.denied.values()) == max(0, min(until, 2500) - since)
