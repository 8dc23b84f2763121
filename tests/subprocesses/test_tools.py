"""Outside tools end when they must: on time, on too much output or disk, with their task, and with our process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from skillyard.subprocesses.tools import DiskLimit, Ended, ToolDiskError, ToolError, ToolTimeoutError, run_tool


async def run(code: str, cwd: Path, **options: object) -> Ended:
    arguments: dict[str, object] = {"environment": {"PATH": os.defpath}, "cwd": cwd, "timeout": 30.0, **options}
    return await run_tool([sys.executable, "-I", "-S", "-c", code], **arguments)  # type: ignore[arg-type]


async def test_output_and_exit_code_come_back(tmp_path: Path) -> None:
    ended = await run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)", tmp_path)
    assert ended == Ended(3, "out\n", "err\n")


async def test_a_tool_sees_only_the_environment_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLYARD_TOKEN", "secret")
    ended = await run("import os; print(sorted(os.environ))", tmp_path, environment={"ONLY": "this", "LC_ALL": "C"})
    assert ended.stdout == "['LC_ALL', 'ONLY']\n"


async def test_a_tool_that_takes_too_long_dies_with_its_children(tmp_path: Path) -> None:
    code = (
        "import os, time, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nif os.fork() == 0:\n"
        "    open('child', 'w').write(str(os.getpid()))\ntime.sleep(1000)"
    )
    with pytest.raises(ToolTimeoutError, match=r"python\S* did not end within 4 s"):
        await run(code, tmp_path, timeout=4.0)  # until then it has to have come as far as its child
    await _gone(int((tmp_path / "child").read_text()))


async def test_a_cancelled_tool_dies(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "started")
    code = "import os, time\nwith open('started', 'w') as f: f.write(str(os.getpid()))\ntime.sleep(1000)"
    task = asyncio.create_task(run(code, tmp_path))
    pid = int(await asyncio.to_thread((tmp_path / "started").read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _gone(pid)


async def test_a_tool_that_prints_without_end_is_killed(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="printed more than 100000 bytes"):
        await run("while True: print('x' * 1000)", tmp_path, output_limit=100_000)


async def test_a_tool_that_fills_its_folder_is_killed(tmp_path: Path) -> None:
    code = (
        "import itertools, time\n"
        "for n in itertools.count():\n    open(str(n), 'wb').write(b'x' * 1000_000)\n    time.sleep(0.01)"
    )
    with pytest.raises(ToolDiskError):
        await run(code, tmp_path, disk_limit=DiskLimit(tmp_path, 5_000_000))


async def test_one_huge_file_is_stopped_by_the_kernel(tmp_path: Path) -> None:
    ended = await run("f = open('x', 'wb')\nwhile True: f.write(b'x' * 65536)", tmp_path, file_limit=1_000_000)
    assert ended.exit_code != 0
    assert (tmp_path / "x").stat().st_size <= 1_000_000


async def test_a_tool_that_takes_too_much_memory_gets_none(tmp_path: Path) -> None:
    ended = await run("print(len(bytes(2**30)))", tmp_path, memory_limit=512 * 1024 * 1024)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "MemoryError" in ended.stderr


async def test_a_program_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    ended = await run_tool(["/no/such/program"], environment={}, cwd=tmp_path, timeout=30.0)
    assert ended.exit_code != 0
    assert "No such file" in ended.stderr


async def test_a_tool_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    """SIGKILL leaves no time to clean up; the kernel has to."""
    os.mkfifo(tmp_path / "started")
    tool = "import os, time\nwith open('started', 'w') as f: f.write(str(os.getpid()))\ntime.sleep(1000)"
    ours = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom skillyard.subprocesses.tools import run_tool\n"
        f"command, cwd = [sys.executable, '-c', {tool!r}], Path({str(tmp_path)!r})\n"
        "asyncio.run(run_tool(command, environment={}, cwd=cwd, timeout=900))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", ours)
    pid = int(await asyncio.to_thread((tmp_path / "started").read_text))
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await _gone(pid)


async def _gone(pid: int) -> None:
    """Wait until a process has ended (a zombie whose parent is gone has)."""
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        await asyncio.sleep(0.01)
