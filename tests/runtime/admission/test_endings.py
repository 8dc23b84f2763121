"""Callers that leave, writers that close, processes that die: no half call, no lost answer."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from skillyard.database import Database, Kind
from skillyard.governance.decision import Agent
from skillyard.ids import InvocationId, SkillVersionId
from skillyard.runtime.admission import AdmissionWriter
from skillyard.runtime.errors import ShuttingDownError
from skillyard.runtime.invocations import invocations, mark_lost
from skillyard.runtime.journal import Admitted
from skillyard.runtime.states import InvocationState
from sqlalchemy import text
from tests.runtime.admission.books import (
    DONE,
    NewCall,
    entries,
    find,
    somebody_writing,
    submitted,
    verified,
    writer_of,
)

SERVER = """
import asyncio, sys, os
from skillyard.database import locate
from skillyard.times import utcnow
from skillyard.governance.identity import Actor, ActorKind
from skillyard.runtime.admission import AdmissionWriter, open_journal
from skillyard.runtime.journal import Admission
from skillyard.sandbox.outcome import Outcome, OutcomeState
import uuid

url, workspace, agent, version, epoch = sys.argv[1], *map(int, sys.argv[2:])

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
    writer = AdmissionWriter(open_journal(locate(url), instance="victim"))
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


async def nobody_else_writes(database: Database) -> None:
    """Until the server has noticed that the killed are gone: it ends what they had asked for in its own time."""
    if database.kind is Kind.SQLITE:
        return  # A lock of a process that was killed is gone with it.
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = :name"
    async with asyncio.timeout(60):
        while True:
            async with database.reading() as session:
                if await session.scalar(text(others), {"name": "skillyard admitting"}) <= 1:
                    return
            await asyncio.sleep(0.05)


async def test_a_caller_that_goes_away_leaves_no_open_call(
    database: Database, writer: AdmissionWriter, new_call: NewCall
) -> None:
    call = new_call()
    async with somebody_writing(database):
        waiting = asyncio.create_task(writer.admit(call))
        await submitted()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
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
    async with somebody_writing(database):
        ending = asyncio.create_task(writer.finish(call.invocation, DONE))
        await submitted()
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
    await writer.admit(new_call())
    assert (await find(database, call)).state is InvocationState.SUCCEEDED


async def test_closing_writes_and_answers_what_waits(database: Database, new_call: NewCall) -> None:
    writer = writer_of(database, "closing")
    await writer.start()
    calls = [new_call() for _ in range(600)]
    waiting = [asyncio.ensure_future(writer.admit(call)) for call in calls]
    await submitted()
    await writer.close()
    assert await asyncio.gather(*waiting) == [Admitted(call.invocation) for call in calls]
    await verified(database, calls[0].workspace)


async def test_a_closed_writer_takes_nothing_and_leaves_nothing(database: Database, new_call: NewCall) -> None:
    writer = writer_of(database, "closed")
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
    if database.kind is Kind.POSTGRESQL:
        return
    opened = {str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}
    assert not [path for path in opened if path.startswith(str(database.path))]


async def test_a_process_killed_at_work_leaves_no_half_call_and_loses_no_answer(
    database: Database, agent: Agent, version: SkillVersionId, writer: AdmissionWriter, new_call: NewCall
) -> None:
    survivor = new_call()
    await writer.admit(survivor)
    arguments = (database.url, agent.workspace, agent.id, version, survivor.epoch)
    told: dict[str, str] = {}
    for acknowledged in (40, 150, 333):
        told |= await asyncio.to_thread(run_until_killed, acknowledged, *arguments)
    await nobody_else_writes(database)

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
