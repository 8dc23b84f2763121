"""Running an outside tool (uv, pip-audit, …): bounded in time, output and disk, and dead when its task or we are.

A tool gets its own session and process group, an environment that is passed in whole, and nothing on standard input.
Nothing about its exit code is judged here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skillyard.errors import MachineError
from skillyard.subprocesses import launch
from skillyard.subprocesses.sizes import folder_size

GIB = 1024**3
_CHUNK = 64 * 1024
_WATCH_SECONDS = 0.25
_REAP_SECONDS = 30.0


class ToolError(MachineError):
    """A tool could not be started, or had to be killed (time limit, too much output, too much disk)."""

    code = "tool"


class ToolTimeoutError(ToolError):
    """A tool did not end within its time limit."""

    code = "tool_timeout"


class ToolDiskError(ToolError):
    """A tool wrote more than it may."""

    code = "tool_disk"


@dataclass(frozen=True, slots=True)
class Ended:
    """A tool that ended by itself. A negative exit code is the number of the signal that ended it."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class DiskLimit:
    """Most that a tool's folder may hold, bytes. It is looked at four times a second while the tool runs."""

    folder: Path
    bytes: int


async def run_tool(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path,
    timeout: float,
    output_limit: int = 16 * 1024 * 1024,
    disk_limit: DiskLimit | None = None,
    file_limit: int = 8 * GIB,
    memory_limit: int | None = None,
    keep_open: Sequence[int] = (),
    on_stderr: Callable[[bytes], None] | None = None,
) -> Ended:
    """Run ``command`` (an absolute program path and arguments) to its end.

    ``output_limit`` bounds each stream, ``memory_limit`` the tool's address space, in bytes. ``keep_open`` are
    descriptors that the tool inherits: a lock passed on this way stays held for as long as the tool lives, even if we
    do not. Raises ``ToolError``; no process of the group is left when this returns, raises or is cancelled.
    """
    name = Path(command[0]).name
    process = await _start(
        command, environment=environment, cwd=cwd, file_limit=file_limit, memory_limit=memory_limit, keep_open=keep_open
    )
    try:
        async with asyncio.timeout(timeout):
            stdout, stderr = await _to_end(process, name, output_limit, disk_limit, on_stderr)
    except TimeoutError as error:
        raise ToolTimeoutError(f"{name} did not end within {timeout:g} s and was killed") from error
    finally:
        await _end(process)
    if process.returncode is None:
        raise ToolError(f"{name} closed its output but did not end")
    return Ended(process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


async def _start(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path,
    file_limit: int,
    memory_limit: int | None,
    keep_open: Sequence[int],
) -> asyncio.subprocess.Process:
    launcher = [
        sys.executable,
        "-I",
        "-S",
        "-B",
        launch.__file__,
        str(os.getpid()),
        str(file_limit),
        str(memory_limit or 0),
    ]
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *launcher,
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
            pass_fds=tuple(keep_open),
        )
    )
    try:
        # A start that is cancelled half-way would leave a process that nobody knows.
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _end(await starting)
        raise
    except OSError as error:
        raise ToolError(f"{command[0]} could not be started: {error.strerror}") from error


async def _to_end(
    process: asyncio.subprocess.Process,
    name: str,
    output_limit: int,
    disk_limit: DiskLimit | None,
    on_stderr: Callable[[bytes], None] | None,
) -> tuple[bytes, bytes]:
    if process.stdout is None or process.stderr is None:
        raise ToolError(f"{name} was started without pipes")
    try:
        async with asyncio.TaskGroup() as group:
            out = group.create_task(_read(process.stdout, name, output_limit, None))
            err = group.create_task(_read(process.stderr, name, output_limit, on_stderr))
            watch = group.create_task(_watch(name, disk_limit)) if disk_limit else None
            await process.wait()
            if watch is not None:
                watch.cancel()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return out.result(), err.result()


async def _read(stream: asyncio.StreamReader, name: str, limit: int, on_data: Callable[[bytes], None] | None) -> bytes:
    data = bytearray()
    while chunk := await stream.read(_CHUNK):
        data += chunk
        if len(data) > limit:
            raise ToolError(f"{name} printed more than {limit} bytes and was killed")
        if on_data is not None:
            on_data(chunk)
    return bytes(data)


async def _watch(name: str, limit: DiskLimit) -> None:
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        if await asyncio.to_thread(folder_size, limit.folder) > limit.bytes:
            raise ToolDiskError(f"{name} wrote more than {limit.bytes} bytes and was killed")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of the group (also grandchildren that outlived the tool), and reap the tool."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    reaping = asyncio.create_task(_reap(process))
    await asyncio.shield(asyncio.wait({reaping}, timeout=_REAP_SECONDS))
    if not reaping.done():
        reaping.cancel()
        raise ToolError(f"process {process.pid} was killed and did not end within {_REAP_SECONDS:g} s")


async def _reap(process: asyncio.subprocess.Process) -> None:
    # asyncio answers `wait` only when both pipes have ended, and a pipe that nobody reads never shows its end.
    pipes = [pipe for pipe in (process.stdout, process.stderr) if pipe is not None]
    await asyncio.gather(process.wait(), *(_discard(pipe) for pipe in pipes))


async def _discard(pipe: asyncio.StreamReader) -> None:
    while await pipe.read(_CHUNK):
        pass
