"""Each limit ends a call with an outcome of its own, and the sandbox serves the next call."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from skillyard.sandbox.outcome import InputFile, OutcomeState
from skillyard.skills.permissions import MIB


@pytest.mark.parametrize(
    ("entry", "given"),
    [
        ("scripts/bombs.py:loop", {}),
        ("scripts/bombs.py:sleep", {}),
        ("scripts/bombs.py:stubborn", {}),
        ("scripts/bombs.py:stray", {"then": "hang"}),
    ],
)
async def test_a_call_that_does_not_end_is_ended_at_its_time(start, call, entry: str, given: dict[str, str]) -> None:
    running = await start()
    outcome = await call(running, entry, given, timeout_seconds=0.5)
    assert outcome.state is OutcomeState.TIMED_OUT
    assert outcome.reason == "the call did not end within 0.5 s"
    assert outcome.usage.wall_seconds is not None
    await _serves_a_clean_call(running, call)


async def test_a_call_cannot_have_more_time_than_granted(start, call) -> None:
    running = await start(limits={"timeout_seconds": 0.5})
    outcome = await call(running, "scripts/bombs.py:sleep", timeout_seconds=3600.0)
    assert outcome.state is OutcomeState.TIMED_OUT


async def test_a_stray_that_left_the_process_group_is_gone_in_the_next_call(start, call) -> None:
    running = await start()
    outcome = await call(running, "scripts/bombs.py:stray")
    assert outcome.result_json == b'"left a stray"'
    await _serves_a_clean_call(running, call)


@pytest.mark.parametrize("entry", ["scripts/bombs.py:memory", "scripts/bombs.py:memory_of_subprocess"])
async def test_memory_without_end_is_out_of_memory(start, call, entry: str) -> None:
    running = await start(limits={"memory_bytes": 96 * MIB, "scratch_bytes": 8 * MIB})
    outcome = await call(running, entry)
    assert outcome.state is OutcomeState.OUT_OF_MEMORY
    await _serves_a_clean_call(running, call)


async def test_a_script_ended_for_memory_says_so(start, call) -> None:
    running = await start(limits={"memory_bytes": 96 * MIB, "scratch_bytes": 8 * MIB})
    outcome = await call(running, "scripts/bomb_script.py", argv=("memory",))
    assert outcome.state is OutcomeState.OUT_OF_MEMORY
    assert outcome.signal == 9


async def test_more_processes_than_granted_is_the_process_limit(start, call) -> None:
    running = await start(limits={"processes": 24})
    outcome = await call(running, "scripts/bombs.py:forks")
    assert outcome.state is OutcomeState.PROCESS_LIMIT
    await _serves_a_clean_call(running, call)


async def test_a_fork_storm_ends_and_whoever_is_asked_next_answers(start, call) -> None:
    running = await start(limits={"processes": 48})
    outcome = await call(running, "scripts/bombs.py:fork_storm", timeout_seconds=2.0)
    assert outcome.state is OutcomeState.PROCESS_LIMIT
    # A storm may be faster than the sweep, which then gives the container up: both are clean ends.
    if running.alive:
        await _serves_a_clean_call(running, call)


@pytest.mark.parametrize("stream", [1, 2])
async def test_output_up_to_the_limit_is_kept(start, call, stream: int) -> None:
    outcome = await call(await start(), "scripts/bombs.py:shout", {"stream": stream, "size": MIB})
    assert outcome.state is OutcomeState.SUCCEEDED
    assert (outcome.stdout, outcome.stderr)[stream - 1] == b"x" * MIB


@pytest.mark.parametrize("stream", [1, 2])
async def test_output_beyond_the_limit_ends_the_call(start, call, stream: int) -> None:
    running = await start()
    outcome = await call(running, "scripts/bombs.py:shout", {"stream": stream, "size": MIB + 1})
    assert outcome.state is OutcomeState.OUTPUT_LIMIT
    assert outcome.reason == ("standard output", "standard error")[stream - 1] + " passed its size limit"
    assert (outcome.stdout, outcome.stderr)[stream - 1] == b"x" * MIB
    await _serves_a_clean_call(running, call)


async def test_a_flood_ends_the_call_long_before_its_time(start, call) -> None:
    outcome = await call(await start(), "scripts/bombs.py:shout_for_ever", timeout_seconds=30.0)
    assert outcome.state is OutcomeState.OUTPUT_LIMIT


async def test_a_result_beyond_the_limit_ends_the_call(start, call) -> None:
    running = await start()
    size = running_limit = 2 * MIB
    assert (await call(running, "scripts/plain.py:big", {"size": size - 2})).state is OutcomeState.SUCCEEDED
    outcome = await call(running, "scripts/plain.py:big", {"size": running_limit})
    assert outcome.state is OutcomeState.OUTPUT_LIMIT
    assert outcome.reason == "the result passed its size limit"
    assert outcome.result_json is None
    await _serves_a_clean_call(running, call)


@pytest.mark.parametrize("folder", ["/scratch/work", "/tmp", "/dev/shm"])
@pytest.mark.parametrize("function", ["fill", "fill_quietly"])
async def test_a_full_folder_is_named(start, call, folder: str, function: str) -> None:
    running = await start(limits={"scratch_bytes": 4 * MIB})
    outcome = await call(running, f"scripts/bombs.py:{function}", {"folder": folder})
    assert outcome.state is OutcomeState.DISK_FULL
    await _serves_a_clean_call(running, call)


async def test_files_without_end_fill_the_folder_too(start, call) -> None:
    running = await start()
    outcome = await call(running, "scripts/bombs.py:many_files", {"folder": "/scratch/work"})
    assert outcome.state is OutcomeState.DISK_FULL
    await _serves_a_clean_call(running, call)


async def test_a_file_larger_than_granted_is_refused(start, call) -> None:
    running = await start(limits={"file_bytes": MIB})
    assert (await call(running, "scripts/bombs.py:large_file", {"size": MIB})).state is OutcomeState.SUCCEEDED
    outcome = await call(running, "scripts/bombs.py:large_file", {"size": MIB + 1})
    assert outcome.state is OutcomeState.DISK_FULL
    assert outcome.reason == "OSError: [Errno 27] File too large"


async def test_input_that_takes_more_room_than_its_bytes_is_a_full_disk(start, call) -> None:
    running = await start(limits={"scratch_bytes": MIB})
    # 512 bytes, which a file system keeps in 512 pages.
    files = tuple(InputFile(f"file-{number}", b"x") for number in range(512))
    outcome = await call(running, "scripts/tool.py", files=files)
    assert outcome.state is OutcomeState.DISK_FULL
    assert outcome.reason == "the call's input could not be stored: [Errno 28] No space left on device"
    await _serves_a_clean_call(running, call)


@pytest.mark.parametrize(("count", "size"), [(1, 9 * MIB), (9, MIB), (513, 1)])
async def test_files_beyond_the_limit_make_the_outcome(start, call, tmp_path, count: int, size: int) -> None:
    running = await start()
    outcome = await call(
        running, "scripts/bombs.py:artefacts", {"count": count, "size": size}, artefacts_to=tmp_path / "out"
    )
    assert outcome.state is OutcomeState.OUTPUT_LIMIT
    assert outcome.reason is not None
    assert "files" in outcome.reason
    assert outcome.files == ()
    assert not (tmp_path / "out").exists()
    await _serves_a_clean_call(running, call)


async def test_a_guest_that_falls_silent_is_timed_out_by_the_host(start, call, engine) -> None:
    running = await start()
    started = asyncio.Event()
    slow = asyncio.create_task(
        call(running, "scripts/bombs.py:stubborn", timeout_seconds=30.0, on_output=lambda _: started.set())
    )
    await started.wait()
    # A frozen container does not even answer its own timer.
    await asyncio.to_thread(engine._api().pause, running.container)
    running._incoming.limit.reschedule(asyncio.get_running_loop().time())  # As if that time, and the grace, were over.
    outcome = await slow
    assert outcome.state is OutcomeState.TIMED_OUT
    assert outcome.reason == "the call did not end within 30 s; its container was removed"
    assert not running.alive


async def _serves_a_clean_call(running, call) -> None:
    assert running.alive
    outcome = await call(running, "scripts/hostile.py:find_things")
    assert outcome.state is OutcomeState.SUCCEEDED, outcome
    assert orjson.loads(outcome.result_json) == {"found": [], "strays": []}
