"""A fetching tool never outlives its task, its time or its owner, however they end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from skillyard.skills.errors import SourceError
from skillyard.skills.sources.process import Finished, run_tool


async def _run(
    folder: Path, *command: str, timeout: float = 60, output: int = 1000, file: int = 2**20, **more
) -> Finished:
    environment = {"PATH": os.environ["PATH"], "MARK": "x"}
    return await run_tool(
        command,
        folder=folder,
        environment=environment,
        timeout_seconds=timeout,
        output_bytes=output,
        file_bytes=file,
        **more,
    )


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - other processes make it true
            await asyncio.sleep(0.01)


def _pids(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


SPAWN = "echo $$ >> pids; sleep 1000 & echo $! >> pids; wait"


async def test_output_and_exit_code_come_back(tmp_path):
    finished = await _run(tmp_path, "sh", "-c", "cat; echo out; echo err >&2; echo $MARK $HOME; pwd; exit 3")
    assert finished == Finished(3, f"out\nx\n{tmp_path}\n".encode(), "err\n")


async def test_a_file_can_be_read_from_standard_input(tmp_path):
    (tmp_path / "in").write_bytes(b"hello")
    assert (await _run(tmp_path, "cat", stdin=tmp_path / "in")).stdout == b"hello"


async def test_a_tool_that_is_missing_is_named(tmp_path):
    with pytest.raises(SourceError, match="no-such-tool is not installed"):
        await _run(tmp_path, "no-such-tool")


async def test_a_tool_killed_by_a_signal_is_no_success(tmp_path):
    assert (await _run(tmp_path, "sh", "-c", "kill -9 $$")).code == -9


async def test_too_much_output_is_an_error_not_a_shorter_answer(tmp_path):
    with pytest.raises(SourceError, match="printed more than 1000 bytes"):
        await _run(tmp_path, "head", "-c", "1001", "/dev/zero")


async def test_a_file_larger_than_the_limit_cannot_be_written(tmp_path):
    finished = await _run(tmp_path, "sh", "-c", "head -c 3000000 /dev/zero > big")
    assert finished.code != 0
    assert (tmp_path / "big").stat().st_size == 2**20


async def test_time_up_kills_the_whole_group(tmp_path):
    with pytest.raises(SourceError, match="did not finish within 5 s"):
        await _run(tmp_path, "sh", "-c", SPAWN, timeout=5)  # It has to come as far as to say both numbers.
    assert len(_pids(tmp_path / "pids")) == 2
    assert not any(map(_alive, _pids(tmp_path / "pids")))


async def test_cancelling_kills_the_whole_group(tmp_path):
    task = asyncio.create_task(_run(tmp_path, "sh", "-c", SPAWN))
    await _until(lambda: len(_pids(tmp_path / "pids")) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(map(_alive, _pids(tmp_path / "pids")))


@pytest.mark.parametrize("steps", range(8))
async def test_a_cancel_at_any_moment_of_the_start_comes_through(tmp_path, steps):
    task = asyncio.create_task(_run(tmp_path, "sh", "-c", SPAWN))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(60):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not any(map(_alive, _pids(tmp_path / "pids")))


async def test_what_a_tool_leaves_behind_is_killed_when_it_is_done(tmp_path):
    await _run(tmp_path, "sh", "-c", "sleep 1000 & echo $! >> pids")
    await _until(lambda: not any(map(_alive, _pids(tmp_path / "pids"))))


def _owner(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code])


async def test_killing_the_owner_kills_the_tool(tmp_path):
    code = f"""
        import asyncio
        from pathlib import Path
        from skillyard.skills.sources.process import run_tool
        asyncio.run(run_tool(["sh", "-c", {SPAWN!r}], folder=Path({str(tmp_path)!r}), timeout_seconds=1000,
                             environment={{"PATH": {os.environ["PATH"]!r}}}, output_bytes=1000, file_bytes=10**6))
    """
    with _owner(textwrap.dedent(code)) as owner:
        await _until(lambda: len(_pids(tmp_path / "pids")) == 2)
        assert all(map(_alive, _pids(tmp_path / "pids")))
        owner.send_signal(signal.SIGKILL)
        owner.wait(timeout=60)
    await _until(lambda: not any(map(_alive, _pids(tmp_path / "pids"))))
