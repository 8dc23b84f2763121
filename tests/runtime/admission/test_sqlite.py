"""The durable writer on SQLite: its log, its disk, its file."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from skillyard.database import Database, Kind
from skillyard.runtime.admission import AdmissionWriter
from skillyard.runtime.journal import AdmissionFailedError, Admitted
from skillyard.runtime.journal_sqlite import SqliteJournal
from tests.runtime.admission.books import (
    DONE,
    NewCall,
    verified,
)

pytestmark = pytest.mark.database(Kind.SQLITE)


@contextmanager
def no_space_beyond(size: int) -> Iterator[None]:
    """The kernel refuses this process any write behind ``size`` bytes of a file, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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


@pytest.mark.parametrize("content", [None, b"a diary\n" * 500, b""], ids=["absent", "foreign", "empty"])
async def test_a_file_that_is_not_our_database_does_not_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "skillyard.db"
    if content is not None:
        path.write_bytes(content)
    writer = AdmissionWriter(SqliteJournal(path, instance="x"))
    with pytest.raises(AdmissionFailedError):
        await writer.start()
    await writer.close()
    assert content is not None or not path.exists()
