"""What every ``Sandbox`` must do, run against each that this distribution registers. There is no pretend one."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import importlib_metadata
import orjson
import pytest
from skillyard.errors import InputError
from skillyard.ids import BundleDigest
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.errors import HealthError, NotBegunError
from skillyard.sandbox.events import Emitted, Logged, LogLevel, Output, Progressed
from skillyard.sandbox.outcome import Call, InputFile, OutcomeState
from skillyard.sandbox.sandbox import RunningSandbox, Sandbox, SandboxSpec
from skillyard.settings import Settings
from skillyard.skills.permissions import MIB, Granted
from skillyard.skills.skill import Entry, EntryKind, SkillKind

SKILL = Path(__file__).parent.parent / "assets" / "sandbox" / "skill"
GRANTED = Granted(256 * MIB, 20.0, 64, 1024, None, 32 * MIB, MIB, MIB, 8 * MIB, 256, 16 * MIB)
REGISTERED = sorted(point.name for point in importlib_metadata.entry_points(group="skillyard.sandboxes"))


@pytest.fixture(params=[(name, channel) for name in REGISTERED for channel in ("socket", "attached")], ids="-".join)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    name, channel = request.param
    (point,) = importlib_metadata.entry_points(group="skillyard.sandboxes", name=name)
    return point.load()(Settings(channel=channel))


@pytest.fixture
async def running(sandbox: Sandbox) -> AsyncIterator[RunningSandbox]:
    """A sandbox that must be gone, with everything it opened, when its test ends."""
    instance = f"contract-{uuid.uuid4().hex[:12]}"
    spec = SandboxSpec(
        SkillKind.PYTHON, BundleDigest("sha256:" + "0" * 64), SKILL, None, (), {"instance": instance, "lease": "1"}
    )
    started = await sandbox.start(spec, GRANTED)
    yield started
    await started.stop()
    engine = Engine()
    give_up = time.monotonic() + 60
    while left := await engine.containers({"skillyard.instance": instance}):
        assert time.monotonic() < give_up, f"containers stay: {left}"
        await asyncio.sleep(0.05)
    await engine.close()


def function(name: str) -> Entry:
    path, _, attribute = name.partition(":")
    return Entry(EntryKind.FUNCTION, path, attribute)


async def test_a_function_is_called_and_measured(running: RunningSandbox) -> None:
    outcome = await running.call(Call(function("scripts/plain.py:echo"), input_json=b'{"a": [1, "b"]}'))
    assert outcome.state is OutcomeState.SUCCEEDED
    assert orjson.loads(outcome.result_json or b"") == {"a": [1, "b"]}
    assert outcome.usage.wall_seconds is not None


async def test_a_script_is_run_with_everything_it_takes(running: RunningSandbox, tmp_path: Path) -> None:
    call = Call(
        Entry(EntryKind.SCRIPT, "scripts/tool.py"),
        argv=("--in", "a", "--out", "b", "--exit", "3"),
        stdin=b"given",
        files=(InputFile("a", b"text"),),
        artefacts_to=tmp_path / "out",
    )
    outcome = await running.call(call)
    assert outcome.state is OutcomeState.FAILED
    assert outcome.exit_code == 3
    assert b"stdin given\n" in outcome.stdout
    assert [(file.path, file.location.read_bytes()) for file in outcome.files] == [("b", b"TEXT")]


async def test_output_is_handed_on_as_it_comes(running: RunningSandbox) -> None:
    seen: list[Output] = []
    outcome = await running.call(Call(function("scripts/plain.py:talk"), input_json=b'{"count": 3}'), seen.append)
    assert b"".join(piece.data for piece in seen if piece.stream == 1) == outcome.stdout == b"out 0\nout 1\nout 2\n"


async def test_progress_and_log_lines_are_handed_on_as_they_come(running: RunningSandbox) -> None:
    seen: list[Emitted] = []
    outcome = await running.call(Call(function("scripts/saying.py:reads")), seen.append)
    assert outcome.state is OutcomeState.SUCCEEDED
    assert seen == [
        *(Progressed(done, 4, f"row {done}") for done in range(1, 5)),
        Logged(LogLevel.WARNING, "two rows are empty", {"rows": [4, 9]}),
    ]


async def test_large_files_go_in_and_out_by_way_of_the_disk(running: RunningSandbox, tmp_path: Path) -> None:
    given = tmp_path / "given.bin"
    given.write_bytes(random.Random(1).randbytes(7 * MIB + 13))
    digest = hashlib.sha256(given.read_bytes()).hexdigest()
    files = (InputFile("in/small.txt", b"small"), InputFile("in/large.bin", given), InputFile("in/more.txt", b"more"))
    took = await running.call(Call(function("scripts/saying.py:digests"), b'{"path": "in/large.bin"}', files=files))
    assert orjson.loads(took.result_json or b"") == {"sha256": digest, "size": 7 * MIB + 13}
    typed = await running.call(Call(Entry(EntryKind.SCRIPT, "scripts/saying.py"), argv=("digest",), stdin=given))
    assert typed.stdout == f"{digest}\n".encode()
    left = await running.call(
        Call(
            function("scripts/saying.py:copies"),
            b'{"source": "large.bin", "target": "out/LARGE.csv"}',
            files=(InputFile("large.bin", given),),
            artefacts_to=tmp_path / "artefacts" / "call",
            staged_as=tmp_path / "artefacts" / "lease",
        )
    )
    (file,) = left.files
    assert file.location.read_bytes() == given.read_bytes()
    assert (file.path, file.sha256, file.size) == ("out/LARGE.csv", digest, 7 * MIB + 13)
    assert file.media_type == "text/csv"
    assert [path.name for path in (tmp_path / "artefacts").iterdir()] == ["call"]


@pytest.mark.parametrize("what", ["missing", "folder", "too large"])
async def test_a_file_that_cannot_go_in_is_refused_before_anything_runs(
    running: RunningSandbox, tmp_path: Path, what: str
) -> None:
    place = tmp_path / what
    if what == "folder":
        place.mkdir()
    elif what == "too large":
        place.touch()
        os.truncate(place, GRANTED.file_bytes + 1)
    for fields in ({"files": (InputFile("a", place),)}, {"stdin": place}):
        with pytest.raises(InputError):
            await running.call(Call(function("scripts/plain.py:echo"), **fields))
    assert (await running.call(Call(function("scripts/plain.py:echo")))).state is OutcomeState.SUCCEEDED


async def test_a_file_that_shrinks_on_its_way_in_ends_the_call_before_it_runs(
    running: RunningSandbox, tmp_path: Path
) -> None:
    place = tmp_path / "shrinks"
    place.touch()
    os.truncate(place, 8 * MIB)
    call = asyncio.create_task(
        running.call(Call(function("scripts/saying.py:digests"), b'{"path": "a"}', files=(InputFile("a", place),)))
    )
    await asyncio.sleep(0)  # It has been looked at by then, and nothing of it has been read.
    os.truncate(place, MIB)
    with pytest.raises(InputError, match="became shorter"):
        await call
    after = await running.call(Call(function("scripts/plain.py:echo")))
    assert after.state is (OutcomeState.SUCCEEDED if running.alive else OutcomeState.LOST)


async def test_cancelling_while_a_file_goes_in_leaves_the_sandbox_usable_or_not_alive(
    running: RunningSandbox, tmp_path: Path
) -> None:
    place = tmp_path / "large"
    place.touch()
    os.truncate(place, 16 * MIB)
    call = asyncio.create_task(
        running.call(Call(function("scripts/saying.py:digests"), b'{"path": "a"}', files=(InputFile("a", place),)))
    )
    for _ in range(20):
        await asyncio.sleep(0)
    assert not call.done()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    after = await running.call(Call(function("scripts/plain.py:echo")))
    assert after.state is (OutcomeState.SUCCEEDED if running.alive else OutcomeState.LOST)


async def test_a_failure_is_an_outcome_and_the_next_call_is_served(running: RunningSandbox) -> None:
    failed = await running.call(Call(function("scripts/plain.py:fails"), input_json=b'{"message": "no"}'))
    assert (failed.state, failed.reason) == (OutcomeState.FAILED, "ValueError: no")
    assert running.alive
    assert (await running.call(Call(function("scripts/plain.py:echo")))).state is OutcomeState.SUCCEEDED


async def test_the_time_is_kept(running: RunningSandbox) -> None:
    outcome = await running.call(Call(function("scripts/bombs.py:stubborn"), timeout_seconds=0.5))
    assert outcome.state is OutcomeState.TIMED_OUT


async def test_cancelling_ends_the_call_and_the_sandbox_is_usable_or_not_alive(running: RunningSandbox) -> None:
    first = asyncio.Event()
    call = asyncio.create_task(running.call(Call(function("scripts/bombs.py:stubborn")), lambda _output: first.set()))
    await first.wait()
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    after = await running.call(Call(function("scripts/plain.py:echo")))
    assert after.state is (OutcomeState.SUCCEEDED if running.alive else OutcomeState.LOST)


async def test_check_tells_good_entries_from_bad(running: RunningSandbox) -> None:
    await running.check((function("scripts/plain.py:echo"), Entry(EntryKind.SCRIPT, "scripts/tool.py")))
    with pytest.raises(HealthError):
        await running.check((function("scripts/plain.py:nobody"),))


async def test_input_outside_its_folder_is_refused(running: RunningSandbox) -> None:
    with pytest.raises(InputError):
        await running.call(Call(function("scripts/plain.py:echo"), files=(InputFile("../up", b""),)))


async def test_stop_is_final_and_may_be_said_twice(running: RunningSandbox) -> None:
    await running.stop()
    await running.stop()
    assert not running.alive
    with pytest.raises(NotBegunError):
        await running.call(Call(function("scripts/plain.py:echo")))


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_nothing_stays_open(sandbox: Sandbox) -> None:
    spec = SandboxSpec(SkillKind.PYTHON, BundleDigest("sha256:0"), SKILL, None, (), {"instance": "contract-open"})
    counts = []
    for _ in range(16):
        running = await sandbox.start(spec, GRANTED)
        await running.call(Call(function("scripts/plain.py:echo")))
        await running.stop()
        counts.append(open_descriptors())
    # An engine keeps some connections for reuse; after those, a start that left anything open would show each time.
    # What closes a little later, as a connection may, does not.
    assert min(counts[-4:]) <= max(counts[4:-4]), counts
