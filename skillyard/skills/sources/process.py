"""Running a tool that fetches: in a process group of its own, with limits, and never longer than its owner.

The tool's group ends when it is done, when its time is up, when the task is cancelled, and also when this process dies,
by ``kill -9`` too: a small shell beside the tool reads a pipe of which this process holds the other end, and kills the
group at its end of file. The same shell sets the limit on the size of any file the tool writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from skillyard.skills.errors import SourceError

T = TypeVar("T")

_ERROR_BYTES = 16 * 1024
# $1 is the file size limit in blocks of 512 bytes (POSIX), $2 what the tool reads, the rest its command line. The tool
# does not get the pipe; the watcher is killed when the tool is done, so that nothing of the group stays.
_SHELL = """
ulimit -f "$1" || exit 126
input=$2
shift 2
exec 3<&0
"$@" <"$input" 3<&- &
tool=$!
{ while read -r _ <&3; do :; done; kill -9 0; } >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$tool"
code=$?
kill -9 "$watcher" 2>/dev/null
exit "$code"
"""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a tool ended: its exit code (negative: killed by that signal), standard output, the end of standard error."""

    code: int
    stdout: bytes
    stderr: str


async def run_tool(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    timeout_seconds: float,
    output_bytes: int,
    file_bytes: int,
    stdin: Path | None = None,
) -> Finished:
    """Run to the end, reading ``stdin`` or nothing; ``SourceError`` for time, output, or a tool that is not there."""
    name = Path(command[0]).name
    shell = ("/bin/sh", "-c", _SHELL, "sh", str(max(1, file_bytes // 512)), str(stdin or os.devnull), *command)
    process = await _start(shell, name, folder, environment)
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _finish(process, name, output_bytes)
    except TimeoutError as error:
        raise SourceError(f"{name} did not finish within {timeout_seconds:g} s") from error
    finally:
        await _end(process)


async def _start(
    command: Sequence[str], name: str, folder: Path, environment: Mapping[str, str]
) -> asyncio.subprocess.Process:
    """Start the shell. A cancel that comes meanwhile waits until there is a process to end: asyncio itself, cancelled
    between the fork and the connecting of pipes, may wait for ever."""
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env=dict(environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await finished(starting)
        if starting.exception() is None:
            await _end(starting.result())
        raise
    except OSError as error:
        raise SourceError(f"{name} cannot be started: {error.strerror}") from error


async def _finish(process: asyncio.subprocess.Process, name: str, output_bytes: int) -> Finished:
    stdout, stderr = await asyncio.gather(_read_all(process.stdout, output_bytes, name), _read_end(process.stderr))
    code = await process.wait()
    if code == 127:
        raise SourceError(f"{name} is not installed")
    return Finished(128 - code if code > 128 else code, stdout, stderr.decode(errors="replace"))


async def _read_all(stream: asyncio.StreamReader | None, limit: int, name: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    while stream is not None and (chunk := await stream.read(64 * 1024)):
        size += len(chunk)
        if size > limit:
            raise SourceError(f"{name} printed more than {limit} bytes")
        parts.append(chunk)
    return b"".join(parts)


async def _read_end(stream: asyncio.StreamReader | None) -> bytes:
    end = b""
    while stream is not None and (chunk := await stream.read(64 * 1024)):
        end = (end + chunk)[-_ERROR_BYTES:]
    return end


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of the group and reap the shell; shielded, so that a cancel does not cut it short.

    The group's number is safe to use after the shell is gone: it is not given out again while a member lives.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdin is not None:
        process.stdin.close()
    await finished(asyncio.ensure_future(process.wait()))


async def finished(task: asyncio.Future[T]) -> None:
    """Wait until a task is done, whatever becomes of us; a cancel is put off, not lost: the caller raises it."""
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
