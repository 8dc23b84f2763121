"""Turns on an SQLite file: who waits to write is next, whatever the others have to do."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from skillyard.database import Database, Gate, Kind
from skillyard.governance import audit
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import Agent
from skillyard.governance.identity import SYSTEM
from skillyard.runtime.admission import AdmissionWriter
from skillyard.runtime.journal import Admitted
from skillyard.times import utcnow
from tests.runtime.admission.books import DONE, NewCall, entries, taken

pytestmark = pytest.mark.database(Kind.SQLITE)

LONG = 60.0


@pytest.fixture
def gate(database: Database) -> Iterator[Gate]:
    with closing(Gate(database.path)) as opened:
        yield opened


async def change(database: Database, agent: Agent) -> None:
    async with database.transaction() as session:
        record = AuditRecord(agent.workspace, utcnow(), SYSTEM, Action.PERSON_ADDED, "person/9", {})
        await audit.append(session, record)


async def waits(task: asyncio.Task[object]) -> bool:
    """Whether it still waits after what takes longer than it would."""
    done, _ = await asyncio.wait([task], timeout=0.3)
    return not done


async def test_a_change_waits_at_the_gate_and_leaves_it_open(
    database: Database, agent: Agent, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skillyard.database.sqlite.GATE_SECONDS", LONG)
    assert gate.try_enter()
    changing = asyncio.create_task(change(database, agent))
    assert await waits(changing)
    gate.leave()
    await changing
    assert gate.try_enter()


async def test_a_call_waits_at_the_gate_too_and_not_on_the_event_loop(
    writer: AdmissionWriter, new_call: NewCall, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skillyard.database.turns.GATE_SECONDS", LONG)
    assert gate.try_enter()
    call = new_call()
    admitting = asyncio.create_task(writer.admit(call))
    assert await waits(admitting)
    gate.leave()
    assert await admitting == Admitted(call.invocation)
    assert gate.try_enter()


async def test_who_stops_inside_the_gate_is_passed_by(
    database: Database,
    agent: Agent,
    writer: AdmissionWriter,
    new_call: NewCall,
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("sqlite", "turns"):
        monkeypatch.setattr(f"skillyard.database.{module}.GATE_SECONDS", 0.05)
    assert gate.try_enter()
    await change(database, agent)
    call = new_call()
    assert await writer.admit(call) == Admitted(call.invocation)
    await writer.finish(call.invocation, DONE)


async def test_the_gate_of_a_process_that_died_is_open(database: Database, gate: Gate) -> None:
    holder = (
        "import sys; from pathlib import Path; from skillyard.database import Gate\n"
        "gate = Gate(Path(sys.argv[1])); print(gate.try_enter(), flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holder, str(database.path)]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"True\n"
    assert not gate.try_enter()
    process.send_signal(signal.SIGKILL)
    await process.wait()
    assert gate.try_enter()


async def test_who_waits_inside_the_gate_is_next_though_calls_wait_as_well(
    database: Database, agent: Agent, writer: AdmissionWriter, new_call: NewCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("sqlite", "turns"):
        monkeypatch.setattr(f"skillyard.database.{module}.GATE_SECONDS", LONG)
    with closing(sqlite3.connect(database.path, isolation_level=None)) as lock, closing(Gate(database.path)) as gate:
        lock.execute("BEGIN IMMEDIATE")
        changing = asyncio.create_task(change(database, agent))
        while gate.try_enter():
            gate.leave()
            await asyncio.sleep(0)
        calls = [asyncio.create_task(writer.admit(new_call())) for _ in range(20)]
        await taken(writer)
        lock.execute("COMMIT")
        await asyncio.gather(changing, *calls)
    order = [entry.subject for entry in await entries(database, agent.workspace)]
    first_call = next(place for place, subject in enumerate(order) if subject.startswith("invocation/"))
    assert order.index("person/9") < first_call
