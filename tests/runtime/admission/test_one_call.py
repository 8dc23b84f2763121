"""One call: on disk with its record before anybody is answered, ended once."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest
from skillyard.database import Database
from skillyard.errors import NotFoundError
from skillyard.governance import audit
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.identity import Person
from skillyard.ids import InvocationId
from skillyard.runtime.admission import AdmissionWriter
from skillyard.runtime.invocations import Cursor, invocations, mark_lost
from skillyard.runtime.journal import Admitted, AlreadyFinishedError
from skillyard.runtime.states import InvocationState
from skillyard.sandbox.outcome import Outcome, OutcomeState, Usage
from tests.runtime.admission.books import (
    DONE,
    NOON,
    NewCall,
    entries,
    find,
    verified,
)


async def test_an_admitted_call_is_on_disk_with_its_audit_record(
    database: Database, writer: AdmissionWriter, new_call: NewCall
) -> None:
    call = new_call()
    before = await verified(database, call.workspace)
    assert await writer.admit(call) == Admitted(call.invocation)
    stored = await find(database, call)
    assert (stored.state, stored.caller, stored.skill_version) == (
        InvocationState.ACCEPTED,
        call.actor,
        call.skill_version,
    )
    assert (stored.started_at, stored.ended_at, stored.epoch) == (NOON, None, call.epoch)
    record = (await entries(database, call.workspace))[-1]
    assert (record.action, record.subject) == ("invocation.admitted", f"invocation/{call.invocation}")
    assert orjson.loads(record.payload) == {
        "reasons": ["approved"],
        "skill_version": call.skill_version,
        "entry": call.entry,
        "epoch": call.epoch,
    }
    assert (await verified(database, call.workspace)).records == before.records + 1


async def test_an_ended_call_says_how_it_ended(database: Database, writer: AdmissionWriter, new_call: NewCall) -> None:
    call = new_call()
    await writer.admit(call)
    failed = replace(DONE, state=OutcomeState.FAILED, reason="exit code 3", exit_code=3)
    head = await writer.finish(call.invocation, failed)
    stored = await find(database, call)
    assert (stored.state, stored.reason, stored.exit_code) == (InvocationState.FAILED, "exit code 3", 3)
    assert stored.usage == Usage(0.25, 0.125, 4096)
    assert stored.ended_at is not None
    assert (await verified(database, call.workspace)).head == head
    record = (await entries(database, call.workspace))[-1]
    assert (record.action, record.actor_kind, record.actor_id) == ("invocation.finished", "agent", call.actor.id)
    assert orjson.loads(record.payload) == {"state": "failed", "reason": "exit code 3", "exit_code": 3}


@pytest.mark.parametrize("state", OutcomeState)
async def test_every_outcome_can_be_kept(
    database: Database, writer: AdmissionWriter, new_call: NewCall, state: OutcomeState
) -> None:
    call = new_call()
    await writer.admit(call)
    await writer.finish(call.invocation, Outcome(state))
    stored = await find(database, call)
    assert stored.state.value == state.value
    assert stored.usage == Usage(None, None, None)


async def test_a_person_can_call_too(
    database: Database, writer: AdmissionWriter, new_call: NewCall, admin: Person
) -> None:
    call = new_call(actor=admin.actor)
    assert await writer.admit(call) == Admitted(call.invocation)
    await writer.finish(call.invocation, DONE)
    assert (await find(database, call)).caller == admin.actor


async def test_a_call_ends_once(database: Database, writer: AdmissionWriter, new_call: NewCall) -> None:
    call = new_call()
    await writer.admit(call)
    await writer.finish(call.invocation, DONE)
    with pytest.raises(AlreadyFinishedError, match="succeeded"):
        await writer.finish(call.invocation, Outcome(OutcomeState.FAILED))
    with pytest.raises(NotFoundError):
        await writer.finish(InvocationId(str(uuid.uuid4())), DONE)
    assert (await find(database, call)).state is InvocationState.SUCCEEDED
    assert [record.action for record in await entries(database, call.workspace)].count("invocation.finished") == 1


async def test_a_refusal_is_recorded_in_the_same_chain(
    database: Database, writer: AdmissionWriter, new_call: NewCall
) -> None:
    call = new_call()
    await writer.admit(call)
    facts = {"reasons": ["banned_package"]}
    refusal = AuditRecord(call.workspace, NOON, call.actor, Action.INVOCATION_DENIED, "local/x@1.0.0", facts)
    head = await writer.record(refusal)
    async with database.transaction() as session:
        after = await audit.append(session, replace(refusal, action=Action.INVOCATION_HELD))
    assert after.seq == head.seq + 1
    await writer.finish(call.invocation, DONE)
    assert [record.action for record in await entries(database, call.workspace)][-4:] == [
        "invocation.admitted",
        "invocation.denied",
        "invocation.held",
        "invocation.finished",
    ]
    await verified(database, call.workspace)


async def test_what_a_skill_says_cannot_keep_its_end_from_being_recorded(
    database: Database, writer: AdmissionWriter, new_call: NewCall
) -> None:
    """A reason may quote the skill: text that is not Unicode, or a megabyte of it, must not leave the call open."""
    for reason in ("lone \ud800 surrogate", "a\0b", "x" * 1_000_000):
        call = new_call()
        await writer.admit(call)
        await writer.finish(call.invocation, Outcome(OutcomeState.FAILED, reason=reason))
        stored = await find(database, call)
        assert stored.state is InvocationState.FAILED
        assert stored.reason is not None
        assert 1 <= len(stored.reason) <= 2000
    await verified(database, new_call().workspace)


async def test_a_lost_call_does_not_end_a_second_time(
    database: Database, writer: AdmissionWriter, new_call: NewCall
) -> None:
    call = new_call()
    await writer.admit(call)
    async with database.transaction() as session:
        assert await mark_lost(session, ["somebody-else"]) == 0
        assert await mark_lost(session, []) == 0
        assert await mark_lost(session, ["this-process"]) == 1
    with pytest.raises(AlreadyFinishedError, match="lost"):
        await writer.finish(call.invocation, DONE)


async def test_calls_are_listed_newest_first_by_page(
    database: Database, writer: AdmissionWriter, new_call: NewCall
) -> None:
    calls = [new_call(at=NOON + timedelta(seconds=number // 2)) for number in range(7)]
    for call in calls:
        await writer.admit(call)
    expected = [call.invocation for call in sorted(calls, key=lambda call: (call.at, call.invocation), reverse=True)]
    found: list[InvocationId] = []
    after: Cursor | None = None
    async with database.reading() as session:
        while page := await invocations(session, calls[0].workspace, limit=3, after=after):
            found += [row.id for row in page]
            after = Cursor(page[-1].started_at, page[-1].id)
    assert found == expected


def test_the_states_of_an_invocation_are_those_of_an_outcome() -> None:
    assert {state.value for state in InvocationState} == {state.value for state in OutcomeState} | {"accepted"}
