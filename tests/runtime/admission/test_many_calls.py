"""Many calls and changes of rules: one order, one chain, and nobody pays for another's fault."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from skillyard.database import Database
from skillyard.errors import ConflictError, NotFoundError
from skillyard.governance import audit, epoch, people
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import Agent, Maturity
from skillyard.governance.identity import SYSTEM, Actor, ActorKind, Role
from skillyard.ids import Epoch, InvocationId, SkillVersionId, WorkspaceId
from skillyard.runtime.admission import AdmissionOverloadError, AdmissionWriter
from skillyard.runtime.invocations import get_invocation, invocations
from skillyard.runtime.journal import AdmissionFailedError, Admitted, StaleEpoch
from skillyard.times import utcnow
from tests.runtime.admission.books import (
    DONE,
    NOON,
    NewCall,
    add_version,
    entries,
    find,
    somebody_writing,
    submitted,
    taken,
    verified,
    writer_of,
)


async def test_a_decision_from_before_a_change_is_not_admitted(
    database: Database, writer: AdmissionWriter, new_call: NewCall
) -> None:
    call = new_call()
    before = await verified(database, call.workspace)
    async with database.transaction() as session:
        changed = await epoch.bump(session)
    assert await writer.admit(call) == StaleEpoch(changed)
    with pytest.raises(NotFoundError):
        await find(database, call)
    assert await verified(database, call.workspace) == before
    again = replace(call, epoch=changed)
    assert await writer.admit(again) == Admitted(call.invocation)


async def test_an_epoch_from_the_future_is_not_admitted(writer: AdmissionWriter, new_call: NewCall) -> None:
    """A restored backup has an older epoch than what a process saw before: that is a change as well."""
    call = new_call()
    assert await writer.admit(replace(call, epoch=Epoch(call.epoch + 1))) == StaleEpoch(call.epoch)


async def test_a_ban_that_is_being_committed_is_waited_for(
    database: Database, writer: AdmissionWriter, new_call: NewCall
) -> None:
    """No call is admitted after the commit of what forbids it, not even one that began waiting before."""
    async with somebody_writing(database) as ban:
        await epoch.bump(ban)
        call = new_call()
        waiting = asyncio.create_task(writer.admit(call))
        await taken(writer)
        assert not waiting.done(), "answered while the ban was still being written"
    assert await waiting == StaleEpoch(Epoch(call.epoch + 1))


async def test_concurrent_calls_share_commits_and_make_one_chain(
    database: Database, writer: AdmissionWriter, new_call: NewCall
) -> None:
    before = await verified(database, new_call().workspace)

    async def client() -> None:
        for _ in range(10):
            call = new_call()
            assert await writer.admit(call) == Admitted(call.invocation)
            await writer.finish(call.invocation, DONE)

    await asyncio.gather(*(client() for _ in range(40)))
    assert (await verified(database, new_call().workspace)).records == before.records + 800


async def test_writers_of_several_processes_and_transactions_make_one_chain(
    database: Database, writer: AdmissionWriter, new_call: NewCall, agent: Agent
) -> None:
    second = writer_of(database, "another-process")
    await second.start()

    async def calls(through: AdmissionWriter) -> None:
        for _ in range(20):
            call = new_call()
            assert isinstance(await through.admit(call), Admitted)
            await through.finish(call.invocation, DONE)

    async def governs() -> None:
        for number in range(20):
            async with database.transaction() as session:
                record = AuditRecord(agent.workspace, utcnow(), SYSTEM, Action.PERSON_ADDED, f"person/{number}", {})
                await audit.append(session, record)

    before = await verified(database, agent.workspace)
    await asyncio.gather(calls(writer), calls(second), governs())
    await second.close()
    assert (await verified(database, agent.workspace)).records == before.records + 100


async def test_a_failing_call_does_not_take_others_with_it(
    database: Database, writer: AdmissionWriter, new_call: NewCall
) -> None:
    """All of these wait for one lock, so they are one batch and one commit."""
    good = [new_call() for _ in range(3)]
    bad = [
        replace(new_call(), invocation=good[0].invocation),  # a second call with one id
        new_call(skill_version=SkillVersionId(404)),
        new_call(actor=Actor(ActorKind.AGENT, 404)),
        new_call(actor=SYSTEM),
        new_call(workspace=WorkspaceId(404)),
        new_call(facts={"object": object()}),
        new_call(entry="lone \ud800 surrogate"),
        new_call(at=NOON.replace(tzinfo=None)),
        new_call(skill_version=SkillVersionId(2**70)),
    ]
    order = [good[0], *bad[:4], good[1], *bad[4:], good[2]]
    async with somebody_writing(database):
        tasks = [asyncio.create_task(writer.admit(call)) for call in order]
        unknown = asyncio.create_task(writer.finish(InvocationId("404"), DONE))
        await submitted()
    answers = dict(zip(map(id, order), await asyncio.gather(*tasks, return_exceptions=True), strict=True))
    assert [answers[id(call)] for call in good] == [Admitted(call.invocation) for call in good]
    assert [type(answers[id(call)]) for call in bad] == [
        ConflictError,
        NotFoundError,
        NotFoundError,
        AdmissionFailedError,
        NotFoundError,
        *[AdmissionFailedError] * 4,
    ]
    with pytest.raises(NotFoundError):
        await unknown
    async with database.reading() as session:
        rows = await invocations(session, good[0].workspace, limit=100)
    # Some of the bad ones fail behind the insert of their row: that must be gone as well.
    assert {row.id for row in rows} == {call.invocation for call in good}
    verification = await verified(database, good[0].workspace)
    chain = await entries(database, good[0].workspace)
    admitted = [record for record in chain if record.action == "invocation.admitted"]
    assert len(admitted) == 3
    assert verification.head.hash == admitted[-1].hash


async def test_no_call_crosses_a_workspace(
    database: Database, writer: AdmissionWriter, new_call: NewCall, agent: Agent
) -> None:
    async with database.transaction() as session:
        other = await people.create_workspace(session, "other", by=SYSTEM, at=NOON)
        boss = await people.add_person(session, other.id, "boss", Role.ADMIN, by=SYSTEM, at=NOON)
        spy = await people.add_agent(
            session, other.id, "spy", owner=boss.id, maturity=Maturity.AUTONOMOUS, by=SYSTEM, at=NOON
        )
    theirs = await add_version(database, other.id, "secret")
    async with database.reading() as session:
        now = await epoch.current(session)
    crossing = [
        new_call(epoch=now, skill_version=theirs),
        new_call(epoch=now, actor=Actor(ActorKind.AGENT, spy.id)),
        new_call(epoch=now, actor=boss.actor),
        new_call(epoch=now, workspace=other.id),
        new_call(epoch=now, workspace=other.id, skill_version=theirs),
        new_call(epoch=now, workspace=other.id, actor=Actor(ActorKind.AGENT, spy.id)),
    ]
    for call in crossing:
        with pytest.raises(NotFoundError):
            await writer.admit(call)
    call = new_call(epoch=now)
    await writer.admit(call)
    async with database.reading() as session:
        assert await invocations(session, other.id, limit=10) == ()
        with pytest.raises(NotFoundError):
            await get_invocation(session, other.id, call.invocation)
        assert len(await invocations(session, agent.workspace, limit=10)) == 1


async def test_more_than_the_bound_is_refused_but_ends_are_taken(database: Database, new_call: NewCall) -> None:
    writer = writer_of(database, "small", max_waiting=3)
    await writer.start()
    running = new_call()
    await writer.admit(running)
    async with somebody_writing(database):
        waiting = [asyncio.create_task(writer.admit(new_call())) for _ in range(3)]
        await submitted()
        with pytest.raises(AdmissionOverloadError):
            await writer.admit(new_call())
        refusal = AuditRecord(running.workspace, NOON, SYSTEM, Action.INVOCATION_REFUSED, "x", {})
        with pytest.raises(AdmissionOverloadError):
            await writer.record(refusal)
        ending = asyncio.create_task(writer.finish(running.invocation, DONE))
        await submitted()
    assert all(isinstance(answer, Admitted) for answer in await asyncio.gather(*waiting))
    await ending
    assert isinstance(await writer.admit(new_call()), Admitted)
    await writer.close()
