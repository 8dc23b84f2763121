"""Files that calls leave: found by those they belong to, under no path that leads elsewhere."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from skillyard.errors import NotFoundError
from skillyard.ids import InvocationId, WorkspaceId
from skillyard.runtime.files import ArtefactDamagedError, ArtefactExpiredError, call_files
from skillyard.runtime.runtime import create_runtime
from skillyard.runtime.tables import InvocationFileRow
from skillyard.sandbox.outcome import OutcomeState
from skillyard.settings import Settings
from skillyard.times import utcnow
from sqlalchemy import select, update
from tests.runtime.conftest import Yard, until

WRITES = """
import os
from pathlib import Path


def run() -> None:
    Path("sub").mkdir()
    Path("sub/made.txt").write_text("here")
"""


async def made(yard: Yard) -> InvocationId:
    await yard.install(yard.skill(WRITES))
    return (await yard.invoke(await yard.agent("bot"), given={})).id


async def test_a_file_that_a_call_left_is_found_by_its_path(yard: Yard) -> None:
    invocation = await made(yard)
    file, found = await yard.runtime.artefact(yard.admin.workspace, invocation, "sub/made.txt")
    assert found.read_text() == "here"
    assert (file.path, file.size, file.media_type) == ("sub/made.txt", 4, "text/plain")
    assert file.sha256 == hashlib.sha256(b"here").hexdigest()
    kept = timedelta(days=yard.runtime.settings.artefact_retention_days)
    assert abs(file.expires_at - utcnow() - kept) < timedelta(minutes=5)


@pytest.mark.parametrize(
    "path",
    ["../../skillyard.db", "/etc/passwd", "sub/../../../skillyard.db", "sub", "", "a\0b", "a" * 5000, "sub/made.txt/x"],
)
async def test_no_other_path_leads_anywhere(yard: Yard, path: str) -> None:
    invocation = await made(yard)
    with pytest.raises(NotFoundError):
        await yard.runtime.artefact(yard.admin.workspace, invocation, path)


@pytest.mark.parametrize("what", ["link", "link to a folder", "shorter", "gone"])
async def test_a_file_that_is_not_what_was_recorded_is_not_handed_out(yard: Yard, what: str, tmp_path: Path) -> None:
    invocation = await made(yard)
    _, found = await yard.runtime.artefact(yard.admin.workspace, invocation, "sub/made.txt")
    twin = tmp_path / "twin" / "made.txt"
    twin.parent.mkdir()
    twin.write_text("evil")
    if what == "link to a folder":
        found.unlink()
        found.parent.rmdir()
        found.parent.symlink_to(twin.parent)
    else:
        found.unlink()
        if what == "link":
            found.symlink_to(twin)
        elif what == "shorter":
            found.write_text("her")
    with pytest.raises(ArtefactDamagedError):
        await yard.runtime.artefact(yard.admin.workspace, invocation, "sub/made.txt")


async def test_what_was_kept_for_its_time_is_gone_and_says_so(yard: Yard) -> None:
    invocation = await made(yard)
    async with yard.runtime.database.transaction() as session:
        await session.execute(update(InvocationFileRow).values(expires_at=utcnow()))
    with pytest.raises(ArtefactExpiredError):
        await yard.runtime.artefact(yard.admin.workspace, invocation, "sub/made.txt")


async def test_a_call_of_another_workspace_is_not_found(yard: Yard) -> None:
    invocation = await made(yard)
    with pytest.raises(NotFoundError, match="does not exist"):
        await yard.runtime.artefact(WorkspaceId(yard.admin.workspace + 1), invocation, "sub/made.txt")


LARGE = """
from pathlib import Path


def run(size: int) -> str:
    Path("result.json").write_text("mine")
    return "x" * size
"""


async def test_a_large_result_is_a_file_of_the_call_where_that_is_asked_for(yard: Yard) -> None:
    await yard.install(yard.skill(LARGE))
    bot = await yard.agent("bot")
    plain = await yard.invoke(bot, given={"size": 2000})
    assert plain.outcome.result_json == orjson.dumps("x" * 2000)
    small = await yard.invoke(bot, given={"size": 998}, result_file_above=1000)
    assert (small.outcome.result_json, small.outcome.result_file) == (orjson.dumps("x" * 998), None)
    large = (await yard.invoke(bot, given={"size": 999}, result_file_above=1000)).outcome
    assert large.state is OutcomeState.SUCCEEDED
    assert large.result_json is None
    assert large.result_file is not None
    assert large.result_file.location.read_bytes() == orjson.dumps("x" * 999)
    assert large.result_file.path == "result-2.json", "the skill's own file keeps its name"
    assert [file.path for file in large.files] == ["result.json"]


async def test_rows_of_files_are_written_with_the_end_and_nothing_stays_in_staging(yard: Yard) -> None:
    await yard.install(yard.skill(LARGE))
    bot = await yard.agent("bot")
    call = (await yard.invoke(bot, given={"size": 999}, result_file_above=1000)).id
    async with yard.runtime.database.reading() as session:
        rows = await call_files(session, yard.admin.workspace, call, limit=10)
    assert [(row.path, row.size, row.media_type, row.removed_at) for row in rows] == [
        ("result.json", 4, "application/json", None),
        ("result-2.json", 1001, "application/json", None),
    ]
    assert list((yard.runtime.settings.home / "staging").glob("*")) == []


WAITS = """
import time
from pathlib import Path


def run() -> None:
    Path("made.txt").write_text("here")
    time.sleep(600)
"""


async def test_a_cancelled_call_leaves_neither_file_nor_row(yard: Yard) -> None:
    await yard.install(yard.skill(WAITS))
    bot = await yard.agent("bot")
    call = asyncio.create_task(yard.invoke(bot, given={}))
    await until(lambda: yard.runtime.pool.counts().busy == 1)
    call.cancel()
    await asyncio.wait([call])
    async with yard.runtime.database.reading() as session:
        assert (await session.scalars(select(InvocationFileRow))).all() == []
    assert list((yard.runtime.settings.home / "artefacts").glob("*")) == []
    assert list((yard.runtime.settings.home / "staging").glob("*")) == []


KILLED = """
import asyncio, sys
from pathlib import Path
from skillyard.api.spool import Spool
from skillyard.runtime.instance import take_lease
from skillyard.sandbox.artefacts import ArrivingFiles


async def main() -> None:
    home = Path(sys.argv[1])
    lease = take_lease(home)
    spool = Spool(home / "uploads", lease=lease.id)
    spool.add(spool.new_file(), b"half an upload")
    await spool.flush(all_of_it=True)
    arriving = ArrivingFiles(home / "artefacts" / "call", home / "staging" / lease.id, hold=lambda _held: None)
    arriving.take("half.bin")
    arriving.take(b"half a file")
    while not list((home / "staging").glob("*/half.bin")):
        await asyncio.sleep(0.01)
    print("written", flush=True)
    await asyncio.sleep(600)


asyncio.run(main())
"""


async def test_what_a_killed_server_was_receiving_is_gone_after_the_next_start(
    settings: Settings,
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(settings.home), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"written\n"
    async with await create_runtime(settings) as beside:
        assert len(list((settings.home / "uploads").iterdir())) == 1, "nothing of a living process is touched"
        assert len(list((settings.home / "staging").iterdir())) == 1
        assert beside.lease
    process.kill()
    await process.wait()
    async with await create_runtime(settings):
        assert list((settings.home / "uploads").iterdir()) == []
        assert list((settings.home / "staging").iterdir()) == []
