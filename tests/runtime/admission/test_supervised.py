"""Supervised calls in both databases: marked by their admission, their recordings kept, packed, and forgotten."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from skillyard.database import Database
from skillyard.governance.decision import Agent
from skillyard.governance.identity import Person
from skillyard.ids import InvocationId, WorkspaceId
from skillyard.runtime import invocations
from skillyard.runtime.admission import AdmissionWriter
from skillyard.runtime.invocations import CallFilter
from skillyard.runtime.journal import Admitted
from skillyard.runtime.open_calls import OpenCalls
from skillyard.runtime.recording_file import DONE, LIVE, RecordingFile
from skillyard.runtime.recordings import KeptRecording, Recordings, kept_pieces, recordings_of
from skillyard.runtime.states import RecordingState
from skillyard.runtime.tables import RecordingRow
from skillyard.sandbox.outcome import Outcome, OutcomeState
from skillyard.times import utcnow
from sqlalchemy import update
from tests.runtime.admission.books import NewCall

SAID = b"\x00\xff" * 300_000
"""More than fits into one row's part."""


@pytest.fixture
def recordings(database: Database, tmp_path: Path) -> Recordings:
    folder = tmp_path / "recordings"
    return Recordings(database=database, folder=folder, calls=OpenCalls(), keep=timedelta(days=1))


def record(folder: Path, invocation: InvocationId, *, whole: bool = True) -> bytes:
    file = RecordingFile(folder / "recordings" / f"{invocation}{LIVE}", 2 * 1024 * 1024)
    file.line("started", {"invocation": invocation})
    file.data("output", "stdout", SAID)
    if whole:
        file.end({"state": "succeeded"})
    file.close()
    return (folder / "recordings" / f"{invocation}{DONE}").read_bytes()


async def kept(database: Database, workspace: WorkspaceId, invocation: InvocationId) -> KeptRecording | None:
    async with database.reading() as session:
        return (await recordings_of(session, workspace, [invocation])).get(invocation)


async def test_the_admission_marks_the_call_and_lists_find_it(
    database: Database, agent: Agent, writer: AdmissionWriter, new_call: NewCall
) -> None:
    plain, watched, over = new_call(), new_call(supervised=True), new_call(supervised=True)
    for call in (plain, watched, over):
        assert isinstance(await writer.admit(call), Admitted)
    await writer.finish(over.invocation, Outcome(OutcomeState.SUCCEEDED))

    async def listed(**wanted: object) -> set[InvocationId]:
        async with database.reading() as session:
            picked = CallFilter(**wanted)  # type: ignore[arg-type]
            found = await invocations.invocations(session, agent.workspace, limit=9, wanted=picked)
        return {one.id for one in found}

    assert await listed() == {plain.invocation, watched.invocation, over.invocation}
    assert await listed(supervised=True, agent=agent.id) == {watched.invocation, over.invocation}
    assert await listed(supervised=True, live=True) == {watched.invocation}


async def test_open_calls_of_one_agent_are_told_to_end_once(
    database: Database, agent: Agent, writer: AdmissionWriter, new_call: NewCall
) -> None:
    opened, over = new_call(), new_call()
    for call in (opened, over):
        await writer.admit(call)
    await writer.finish(over.invocation, Outcome(OutcomeState.SUCCEEDED))
    async with database.transaction() as session:
        asked = (session, agent.workspace, agent.id, "person 1")
        assert await invocations.ask_to_cancel_all(*asked, "suspended") == (opened.invocation,)
        assert await invocations.ask_to_cancel_all(*asked, "again") == ()
        found = await invocations.asked_to_cancel(session, "this-process")
    assert found == ((opened.invocation, "person 1: suspended"),)


async def test_a_finished_recording_moves_into_the_database_in_parts(
    database: Database,
    admin: Person,
    writer: AdmissionWriter,
    new_call: NewCall,
    recordings: Recordings,
    tmp_path: Path,
) -> None:
    call = new_call(supervised=True)
    await writer.admit(call)
    written = record(tmp_path, call.invocation)
    await recordings.keep_finished()
    assert await kept(database, admin.workspace, call.invocation) is None, "its end is not on record yet"
    await writer.finish(call.invocation, Outcome(OutcomeState.SUCCEEDED))
    await recordings.keep_finished()
    found = await kept(database, admin.workspace, call.invocation)
    assert found is not None
    assert (found.state, found.size) == (RecordingState.COMPLETE, len(written))
    assert found.parts > 1
    assert b"".join([piece async for piece in kept_pieces(database, admin.workspace, found)]) == written
    assert await kept(database, WorkspaceId(404), call.invocation) is None
    assert recordings.file_of(call.invocation) is None
    # As after a kill between the commit and the removal of the file.
    record(tmp_path, call.invocation)
    await recordings.keep_finished()
    assert recordings.file_of(call.invocation) is None
    assert await kept(database, admin.workspace, call.invocation) == found
    async with database.transaction() as session:
        await session.execute(update(RecordingRow).values(expires_at=utcnow()))
    await recordings.expire()
    gone = await kept(database, admin.workspace, call.invocation)
    assert gone is not None
    assert gone.removed_at is not None
    assert [piece async for piece in kept_pieces(database, admin.workspace, found)] == []


async def test_what_a_killed_process_left_is_kept_as_cut_and_what_belongs_to_no_call_goes(
    database: Database,
    admin: Person,
    writer: AdmissionWriter,
    new_call: NewCall,
    recordings: Recordings,
    tmp_path: Path,
) -> None:
    call = new_call(supervised=True)
    await writer.admit(call)
    written = record(tmp_path, call.invocation, whole=False)
    folder = tmp_path / "recordings"
    # As a kill leaves it: under the name of one that is written, with room that nothing was written to.
    (folder / f"{call.invocation}{DONE}").write_bytes(written + b'{"event":"out' + bytes(1000))
    (folder / f"{call.invocation}{DONE}").rename(folder / f"{call.invocation}{LIVE}")
    nobody = InvocationId(str(uuid.uuid4()))
    record(tmp_path, nobody)
    await recordings.keep_finished()
    assert recordings.file_of(call.invocation) is not None, "it runs, for all that is on record"
    assert recordings.file_of(nobody) is None
    async with database.transaction() as session:
        assert await invocations.mark_lost(session, ["this-process"]) == 1
    await recordings.keep_finished()
    found = await kept(database, admin.workspace, call.invocation)
    assert found is not None
    assert (found.state, found.size) == (RecordingState.CUT, len(written))
