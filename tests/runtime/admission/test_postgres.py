"""The durable writer on PostgreSQL, whose server and connections can go away at any moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress

import pytest
from skillyard.database import Database, Kind, Location, locate
from skillyard.errors import NotFoundError
from skillyard.ids import SkillVersionId
from skillyard.runtime.admission import AdmissionWriter, open_journal
from skillyard.runtime.invocations import InvocationSummary
from skillyard.runtime.journal import Admission, AdmissionFailedError, Admitted
from skillyard.runtime.states import InvocationState
from sqlalchemy import make_url, text
from tests.postgres import Cluster
from tests.runtime.admission.books import DONE, NewCall, find, somebody_writing, taken, verified

pytestmark = pytest.mark.database(Kind.POSTGRESQL)


class Wire:
    """The way to the server, which can be cut: now, or between a commit and its answer."""

    def __init__(self, port: int) -> None:
        self.location: Location
        self._port = port
        self._open: set[asyncio.StreamWriter] = set()
        self.cut_commits = False
        self.refusing = False
        self.on_commit: Callable[[], None] = lambda: None

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str) -> AsyncIterator[Wire]:
        there = make_url(url)
        assert there.port is not None
        self = cls(there.port)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.location = locate(there.set(port=server.sockets[0].getsockname()[1]).render_as_string(hide_password=False))
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await server.wait_closed()

    def cut(self) -> None:
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._open |= {writer, back}
        try:
            await asyncio.gather(self._ask(reader, back, writer), self._answer(there, writer))
        finally:
            self._open -= {writer, back}
            writer.transport.abort()
            back.transport.abort()

    async def _ask(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if self.cut_commits and b"COMMIT\0" in data:
                    self.cut_commits = False
                    writer.transport.abort()  # The client hears nothing any more; the server is told to commit.
                    back.write(data)
                    await back.drain()
                    self.on_commit()
                    await asyncio.sleep(0.2)
                    return
                back.write(data)
                await back.drain()

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await there.read(65536):
                writer.write(data)
                await writer.drain()


@pytest.fixture
async def wire(database: Database) -> AsyncIterator[Wire]:
    async with Wire.to(database.url) as opened:
        yield opened


@pytest.fixture
async def wired(wire: Wire) -> AsyncIterator[AdmissionWriter]:
    """A writer whose connection goes over the wire."""
    writer = AdmissionWriter(open_journal(wire.location, instance="wired"))
    await writer.start()
    yield writer
    await writer.close()


OURS = "datname = current_database() AND application_name = 'skillyard admitting'"
"""Other tests' databases are on the same server."""


async def kill_backends(postgres: Cluster, database: Database) -> None:
    await postgres.run(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}", database=name_of(database)
    )


def name_of(database: Database) -> str:
    return make_url(database.url).database or ""


async def test_a_connection_that_was_ended_while_idle_costs_no_call(
    database: Database, writer: AdmissionWriter, new_call: NewCall, postgres: Cluster
) -> None:
    call = new_call()
    assert await writer.admit(call) == Admitted(call.invocation)
    await kill_backends(postgres, database)
    another = new_call()
    assert await writer.admit(another) == Admitted(another.invocation)
    await writer.finish(call.invocation, DONE)
    await verified(database, call.workspace)


async def test_a_backend_that_is_ended_at_work_fails_what_it_wrote_and_the_next_call_works(
    database: Database, writer: AdmissionWriter, new_call: NewCall, postgres: Cluster
) -> None:
    before = await verified(database, new_call().workspace)
    calls = [new_call() for _ in range(5)]
    async with somebody_writing(database):
        waiting = [asyncio.create_task(writer.admit(call)) for call in calls]
        await taken(writer)
        first = await until_waiting(postgres, database)
        await kill_backends(postgres, database)
        # It had written nothing yet, and is tried once more on another connection.
        await until_waiting(postgres, database, but=first)
        await kill_backends(postgres, database)
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(answer) for answer in answers} == {AdmissionFailedError}
    assert await verified(database, calls[0].workspace) == before
    again = new_call()
    assert await writer.admit(again) == Admitted(again.invocation)


async def until_waiting(postgres: Cluster, database: Database, *, but: Collection[int] = ()) -> set[int]:
    """Until a writer of calls waits for its turn in the server, another than these; which do."""
    connection = await postgres.superuser(name_of(database))
    waiting = f"SELECT pid FROM pg_stat_activity WHERE {OURS} AND wait_event_type = 'Lock'"
    give_up = time.monotonic() + 60
    try:
        while not (found := {row["pid"] for row in await connection.fetch(waiting)} - set(but)):
            assert time.monotonic() < give_up
            await asyncio.sleep(0.01)
        return found
    finally:
        await connection.close()


async def test_a_commit_whose_answer_was_lost_is_found_out(
    database: Database, wire: Wire, wired: AdmissionWriter, new_call: NewCall
) -> None:
    """Nobody is told that a call was not admitted which was: it would stay open for ever."""
    call = new_call()
    wire.cut_commits = True
    assert await wired.admit(call) == Admitted(call.invocation)
    assert not wire.cut_commits
    assert (await find(database, call)).state is InvocationState.ACCEPTED
    wire.cut_commits = True
    head = await wired.finish(call.invocation, DONE)
    assert not wire.cut_commits
    assert (await verified(database, call.workspace)).head == head


async def test_a_commit_that_did_not_happen_is_found_out_too(
    database: Database, wire: Wire, wired: AdmissionWriter, new_call: NewCall, postgres: Cluster
) -> None:
    before = await verified(database, new_call().workspace)
    async with somebody_writing(database):
        waiting = asyncio.create_task(wired.admit(new_call()))
        await taken(wired)
        first = await until_waiting(postgres, database)
        wire.cut()
        # It had written nothing yet, and is tried once more on another connection.
        await until_waiting(postgres, database, but=first)
        wire.cut()
        with pytest.raises(AdmissionFailedError):
            await waiting
    assert await verified(database, new_call().workspace) == before
    call = new_call()
    assert await wired.admit(call) == Admitted(call.invocation)


async def test_a_call_admitted_without_anybody_hearing_of_it_is_ended_once_the_server_is_back(
    database: Database, wire: Wire, wired: AdmissionWriter, new_call: NewCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skillyard.runtime.journal_postgres._SETTLE_SECONDS", 0.5)

    def refuse() -> None:
        wire.refusing = True

    wire.cut_commits, wire.on_commit = True, refuse
    lost = new_call()
    with pytest.raises(AdmissionFailedError):
        await wired.admit(lost)
    assert (await once_committed(database, lost)).state is InvocationState.ACCEPTED
    with pytest.raises(AdmissionFailedError):
        await wired.admit(new_call())
    wire.refusing = False
    call = new_call()
    assert await wired.admit(call) == Admitted(call.invocation)
    ended = await find(database, lost)
    assert ended.state is InvocationState.CANCELLED
    assert "did not start" in (ended.reason or "")
    await verified(database, call.workspace)


async def once_committed(database: Database, call: Admission) -> InvocationSummary:
    """The server commits what it was told to in its own time, though nobody waits for it any more."""
    async with asyncio.timeout(60):
        while True:
            with suppress(NotFoundError):
                return await find(database, call)
            await asyncio.sleep(0.02)


async def test_nothing_is_admitted_while_the_server_is_out_of_reach(
    database: Database, wire: Wire, wired: AdmissionWriter, new_call: NewCall
) -> None:
    before = await verified(database, new_call().workspace)
    wire.refusing = True
    wire.cut()
    answers = await asyncio.gather(*(wired.admit(new_call()) for _ in range(300)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {AdmissionFailedError}
    assert await verified(database, new_call().workspace) == before
    wire.refusing = False
    call = new_call()
    assert await wired.admit(call) == Admitted(call.invocation)


async def test_many_calls_are_one_transaction(database: Database, writer: AdmissionWriter, new_call: NewCall) -> None:
    calls = [new_call() for _ in range(200)]
    assert await asyncio.gather(*(writer.admit(call) for call in calls)) == [
        Admitted(call.invocation) for call in calls
    ]
    async with database.reading() as session:
        # By the rows themselves: the numbers of transactions are the whole cluster's, and others write there too.
        found = await session.execute(text("SELECT count(*), count(DISTINCT xmin::text) FROM invocations"))
        written, transactions = found.one()
    assert (written, transactions <= 3) == (200, True), transactions


async def test_a_batch_with_a_call_nobody_could_write_is_made_again_one_by_one(
    database: Database, writer: AdmissionWriter, new_call: NewCall
) -> None:
    """A value that the driver cannot send fails the whole statement, and must fail its own call alone."""
    good = [new_call() for _ in range(20)]
    bad = new_call(skill_version=SkillVersionId(2**70))
    waiting = [asyncio.create_task(writer.admit(call)) for call in [*good[:10], bad, *good[10:]]]
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers.pop(10), AdmissionFailedError)
    assert answers == [Admitted(call.invocation) for call in good]
    with pytest.raises(NotFoundError):
        await find(database, bad)
    await verified(database, bad.workspace)


async def test_a_call_may_end_in_the_batch_that_admits_it(
    database: Database, writer: AdmissionWriter, new_call: NewCall
) -> None:
    call = new_call()
    async with somebody_writing(database):
        admitting = asyncio.create_task(writer.admit(call))
        ending = asyncio.create_task(writer.finish(call.invocation, DONE))
        await taken(writer)
    assert await admitting == Admitted(call.invocation)
    head = await ending
    assert (await find(database, call)).state is InvocationState.SUCCEEDED
    assert (await verified(database, call.workspace)).head == head
