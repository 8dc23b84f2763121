"""The durable writer: a call is admitted under current rules and on disk, or it is not admitted."""

from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from skillyard.database import Database, utcnow
from skillyard.errors import ConflictError, NotFoundError
from skillyard.governance import audit, epoch, people
from skillyard.governance.audit import Action, AuditRecord, Entry, Verification
from skillyard.governance.decision import Agent, Maturity, SkillState
from skillyard.governance.identity import SYSTEM, Actor, ActorKind, Person, Role
from skillyard.ids import Epoch, InvocationId, SkillVersionId, WorkspaceId
from skillyard.runtime.admission import AdmissionOverloadError, AdmissionWriter
from skillyard.runtime.errors import ShuttingDownError
from skillyard.runtime.invocations import Cursor, InvocationSummary, get_invocation, invocations, mark_lost
from skillyard.runtime.journal import Admission, AdmissionFailedError, Admitted, AlreadyFinishedError, StaleEpoch
from skillyard.runtime.tables import InvocationState, SkillRow, SkillVersionRow
from skillyard.sandbox.outcome import Outcome, OutcomeState, Usage

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
DONE = Outcome(OutcomeState.SUCCEEDED, usage=Usage(0.25, 0.125, 4096), exit_code=0)

NewCall = Callable[..., Admission]


async def add_version(database: Database, workspace: WorkspaceId, name: str = "csv-report") -> SkillVersionId:
    async with database.transaction() as session:
        skill = SkillRow(workspace_id=workspace, publisher="local", name=name, created_at=NOON)
        session.add(skill)
        await session.flush()
        version = SkillVersionRow(
            workspace_id=workspace,
            skill_id=skill.id,
            version="1.0.0",
            bundle_digest="sha256:" + "0" * 64,
            lock_digest="sha256:" + "1" * 64,
            lock_json="[]",
            report_json="{}",
            skill_json="{}",
            state=SkillState.ACTIVE,
            origin="/skills/csv-report",
            installed_at=NOON,
        )
        session.add(version)
        await session.flush()
        return SkillVersionId(version.id)


@pytest.fixture
async def version(database: Database, agent: Agent) -> SkillVersionId:
    return await add_version(database, agent.workspace)


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[AdmissionWriter]:
    started = AdmissionWriter(path=database.path, instance="this-process")
    await started.start()
    yield started
    await started.close()


@pytest.fixture
async def new_call(database: Database, agent: Agent, version: SkillVersionId) -> NewCall:
    """Makes admissions of the agent under the present epoch; any field can be given by name."""
    async with database.reading() as session:
        now = await epoch.current(session)

    def make(**changed: object) -> Admission:
        call = Admission(
            invocation=InvocationId(str(uuid.uuid4())),
            workspace=agent.workspace,
            actor=Actor(ActorKind.AGENT, agent.id),
            skill_version=version,
            entry="scripts/report.py:run",
            epoch=now,
            at=NOON,
            facts={"reasons": ["approved"]},
        )
        return replace(call, **changed)  # type: ignore[arg-type]

    return make


async def verified(database: Database, workspace: WorkspaceId) -> Verification:
    async with database.reading() as session:
        verification = await audit.verify(session, workspace)
    assert verification.broken is None, verification.broken
    return verification


async def entries(database: Database, workspace: WorkspaceId) -> list[Entry]:
    async with database.reading() as session:
        return [Entry(**orjson.loads(line)) async for line in audit.export(session, workspace)]


async def find(database: Database, call: Admission) -> InvocationSummary:
    async with database.reading() as session:
        return await get_invocation(session, call.workspace, call.invocation)


async def submitted() -> None:
    """Gives the loop one turn, in which every task made before hands its operation to the writer."""
    await asyncio.sleep(0)


async def taken(writer: AdmissionWriter) -> None:
    """Until the writer's thread has taken everything that was submitted."""
    await submitted()
    while not writer._jobs.empty():  # noqa: ASYNC110 - it happens in a thread, which tells nobody
        await asyncio.sleep(0)


class HeldLock:
    """The database's write lock, held by somebody else."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("BEGIN IMMEDIATE")

    def execute(self, statement: str) -> None:
        self._connection.execute(statement)

    def commit(self) -> None:
        self._connection.execute("COMMIT")
        self._connection.close()


# --- one call ---------------------------------------------------------------------------------------------------------


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


# --- the epoch --------------------------------------------------------------------------------------------------------


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
    ban = HeldLock(database.path)
    ban.execute("UPDATE rules_epoch SET epoch = epoch + 1")
    call = new_call()
    waiting = asyncio.create_task(writer.admit(call))
    await taken(writer)
    assert not waiting.done(), "answered while the ban was still being written"
    ban.commit()
    assert await waiting == StaleEpoch(Epoch(call.epoch + 1))


# --- many calls -------------------------------------------------------------------------------------------------------


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


async def test_calls_that_come_one_by_one_do_not_let_the_write_ahead_log_grow(
    database: Database, writer: AdmissionWriter, new_call: NewCall
) -> None:
    """What is written on the event loop leaves checkpoints to the thread, and nobody else asks for them."""
    log = database.path.with_name(database.path.name + "-wal")
    largest = 0
    for _ in range(400):
        call = new_call()
        await writer.admit(call)
        await writer.finish(call.invocation, DONE)
        largest = max(largest, log.stat().st_size)
    assert largest < 16 * 1024 * 1024  # 400 calls write half as much again


async def test_writers_of_several_processes_and_transactions_make_one_chain(
    database: Database, writer: AdmissionWriter, new_call: NewCall, agent: Agent
) -> None:
    second = AdmissionWriter(path=database.path, instance="another-process")
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
    lock = HeldLock(database.path)
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
    tasks = [asyncio.create_task(writer.admit(call)) for call in order]
    unknown = asyncio.create_task(writer.finish(InvocationId("404"), DONE))
    await submitted()
    lock.commit()
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
    writer = AdmissionWriter(path=database.path, instance="small", max_waiting=3)
    await writer.start()
    running = new_call()
    await writer.admit(running)
    lock = HeldLock(database.path)
    waiting = [asyncio.create_task(writer.admit(new_call())) for _ in range(3)]
    await submitted()
    with pytest.raises(AdmissionOverloadError):
        await writer.admit(new_call())
    refusal = AuditRecord(running.workspace, NOON, SYSTEM, Action.INVOCATION_REFUSED, "x", {})
    with pytest.raises(AdmissionOverloadError):
        await writer.record(refusal)
    ending = asyncio.create_task(writer.finish(running.invocation, DONE))
    await submitted()
    lock.commit()
    assert all(isinstance(answer, Admitted) for answer in await asyncio.gather(*waiting))
    await ending
    assert isinstance(await writer.admit(new_call()), Admitted)
    await writer.close()


# --- cancellation, failure, closing -----------------------------------------------------------------------------------


async def test_a_caller_that_goes_away_leaves_no_open_call(
    database: Database, writer: AdmissionWriter, new_call: NewCall
) -> None:
    call = new_call()
    lock = HeldLock(database.path)
    waiting = asyncio.create_task(writer.admit(call))
    await submitted()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    lock.commit()
    # Two more rounds through the writer: one behind the admission, one behind the end that follows it.
    for _ in range(2):
        await writer.admit(new_call())
    stored = await find(database, call)
    assert stored.state is InvocationState.CANCELLED
    await verified(database, call.workspace)


async def test_an_end_is_recorded_also_when_the_caller_is_cancelled(
    database: Database, writer: AdmissionWriter, new_call: NewCall
) -> None:
    call = new_call()
    await writer.admit(call)
    lock = HeldLock(database.path)
    ending = asyncio.create_task(writer.finish(call.invocation, DONE))
    await submitted()
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    lock.commit()
    await writer.admit(new_call())
    assert (await find(database, call)).state is InvocationState.SUCCEEDED


@contextmanager
def no_space_beyond(size: int) -> Iterator[None]:
    """The kernel refuses this process any write behind ``size`` bytes of a file, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_commit_that_fails_fails_every_call_in_it_and_the_next_one_works(
    database: Database, writer: AdmissionWriter, new_call: NewCall
) -> None:
    before = await verified(database, new_call().workspace)
    log = database.path.with_name(database.path.name + "-wal")
    with no_space_beyond(log.stat().st_size):
        answers = await asyncio.gather(*(writer.admit(new_call()) for _ in range(5)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {AdmissionFailedError}
    assert len({id(answer) for answer in answers}) == 5
    assert await verified(database, new_call().workspace) == before
    assert isinstance(await writer.admit(new_call()), Admitted)
    assert (await verified(database, new_call().workspace)).records == before.records + 1


async def test_closing_writes_and_answers_what_waits(database: Database, new_call: NewCall) -> None:
    writer = AdmissionWriter(path=database.path, instance="closing")
    await writer.start()
    calls = [new_call() for _ in range(600)]
    waiting = [asyncio.ensure_future(writer.admit(call)) for call in calls]
    await submitted()
    await writer.close()
    assert await asyncio.gather(*waiting) == [Admitted(call.invocation) for call in calls]
    await verified(database, calls[0].workspace)


async def test_a_closed_writer_takes_nothing_and_leaves_nothing(database: Database, new_call: NewCall) -> None:
    writer = AdmissionWriter(path=database.path, instance="closed")
    with pytest.raises(ShuttingDownError):
        await writer.admit(new_call())
    await writer.start()
    await writer.admit(new_call())
    await writer.close()
    await writer.close()
    with pytest.raises(ShuttingDownError):
        await writer.admit(new_call())
    with pytest.raises(ShuttingDownError):
        await writer.finish(InvocationId("x"), DONE)
    assert not [thread for thread in threading.enumerate() if thread.name == "skillyard-admission"]
    await database.close()
    opened = {str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}
    assert not [path for path in opened if path.startswith(str(database.path))]


@pytest.mark.parametrize("content", [None, b"a diary\n" * 500, b""], ids=["absent", "foreign", "empty"])
async def test_a_file_that_is_not_our_database_does_not_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "skillyard.db"
    if content is not None:
        path.write_bytes(content)
    writer = AdmissionWriter(path=path, instance="x")
    with pytest.raises(AdmissionFailedError):
        await writer.start()
    await writer.close()
    assert content is not None or not path.exists()


# --- death ------------------------------------------------------------------------------------------------------------

SERVER = """
import asyncio, sys, os
from pathlib import Path
from skillyard.database import utcnow
from skillyard.governance.identity import Actor, ActorKind
from skillyard.runtime.admission import AdmissionWriter
from skillyard.runtime.journal import Admission
from skillyard.sandbox.outcome import Outcome, OutcomeState
import uuid

path, workspace, agent, version, epoch = sys.argv[1], *map(int, sys.argv[2:])

async def client(writer, number):
    for count in range(10**9):
        call = Admission(
            str(uuid.uuid4()), workspace, Actor(ActorKind.AGENT, agent), version, "x.py:run", epoch, utcnow()
        )
        await writer.admit(call)
        os.write(1, f"admitted {call.invocation}\\n".encode())
        if (count + number) % 3:
            await writer.finish(call.invocation, Outcome(OutcomeState.SUCCEEDED))
            os.write(1, f"finished {call.invocation}\\n".encode())

async def main():
    writer = AdmissionWriter(path=Path(path), instance="victim")
    await writer.start()
    await asyncio.gather(*(client(writer, number) for number in range(8)))

asyncio.run(main())
"""


def run_until_killed(acknowledged: int, *arguments: object) -> dict[str, str]:
    """Runs a busy process, kills it hard after that many answers, and returns what each caller had been told."""
    command = [sys.executable, "-c", SERVER, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline() for _ in range(acknowledged)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
        errors = process.stderr.read()
    assert process.returncode == -signal.SIGKILL, errors.decode()
    return {call: state for state, call in (line.decode().split() for line in lines if line.endswith(b"\n"))}


async def test_a_process_killed_at_work_leaves_no_half_call_and_loses_no_answer(
    database: Database, agent: Agent, version: SkillVersionId, writer: AdmissionWriter, new_call: NewCall
) -> None:
    survivor = new_call()
    await writer.admit(survivor)
    arguments = (database.path, agent.workspace, agent.id, version, survivor.epoch)
    told: dict[str, str] = {}
    for acknowledged in (40, 150, 333):
        told |= await asyncio.to_thread(run_until_killed, acknowledged, *arguments)

    await verified(database, agent.workspace)
    chain = await entries(database, agent.workspace)
    admitted = {entry.subject for entry in chain if entry.action == "invocation.admitted"}
    finished = {entry.subject for entry in chain if entry.action == "invocation.finished"}
    async with database.reading() as session:
        rows = await invocations(session, agent.workspace, limit=100_000)
    # Row and record came with one commit, or not at all.
    assert {f"invocation/{row.id}" for row in rows} == admitted
    assert {f"invocation/{row.id}" for row in rows if row.state is InvocationState.SUCCEEDED} == finished
    # Whoever was answered finds on disk what was answered.
    assert {f"invocation/{call}" for call in told} <= admitted
    assert {f"invocation/{call}" for call, state in told.items() if state == "finished"} <= finished

    async with database.transaction() as session:
        lost = await mark_lost(session, ["victim"])
        assert await mark_lost(session, ["victim"]) == 0
    assert lost == len(admitted) - len(finished) - 1 > 0
    async with database.reading() as session:
        rows = await invocations(session, agent.workspace, limit=100_000)
    assert [row.id for row in rows if row.state is InvocationState.ACCEPTED] == [survivor.invocation]
    assert all(row.reason and row.ended_at for row in rows if row.state is InvocationState.LOST)
    await verified(database, agent.workspace)
    await writer.finish(survivor.invocation, DONE)
    assert [entry.action for entry in await entries(database, agent.workspace)].count("invocation.lost") == lost


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


# --- reading back -----------------------------------------------------------------------------------------------------


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
