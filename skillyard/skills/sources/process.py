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
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from skillyard.skills.errors import SourceError

T = TypeVar("T")

_DYING_SECONDS = 1.0
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
wait "$watcher" 2>/dev/null
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
    """Run to the end, reading ``stdin`` or nothing; ``SourceError`` for time, output, or a tool that is not there.

    The tool prints into unnamed files, not pipes: something it leaves running could hold a pipe open for ever.
    """
    name = Path(command[0]).name
    shell = ("/bin/sh", "-c", _SHELL, "sh", str(max(1, file_bytes // 512)), str(stdin or os.devnull), *command)
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = await _start(shell, folder, environment, stdout, stderr)
        try:
            async with asyncio.timeout(timeout_seconds):
                code = await process.wait()
        except TimeoutError as error:
            raise SourceError(f"{name} did not finish within {timeout_seconds:g} s") from error
        finally:
            await _end(process)
        if code == 127:
            raise SourceError(f"{name} is not installed")
        if stdout.seek(0, os.SEEK_END) > output_bytes:
            raise SourceError(f"{name} printed more than {output_bytes} bytes")
        return Finished(128 - code if code > 128 else code, _last(stdout, output_bytes), _text(stderr))


async def finished(task: asyncio.Future[T]) -> None:
    """Wait until a task is done, whatever becomes of us; a cancel that comes meanwhile is raised afterwards."""
    cancel: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancel = error
    if cancel is not None:
        raise cancel


async def _start(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], stdout: IO[bytes], stderr: IO[bytes]
) -> asyncio.subprocess.Process:
    """Start the shell. A cancel that comes meanwhile waits until there is a process to end: asyncio itself, cancelled
    between the fork and the connecting of pipes, may wait for ever."""
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env=dict(environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        try:
            await finished(starting)
        finally:
            if starting.exception() is None:
                await _end(starting.result())
        raise
    except OSError as error:
        raise SourceError(f"a shell cannot be started: {error.strerror}") from error


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of the group, reap the shell and wait until the group is gone, also if cancelled meanwhile."""
    killed = _kill_group(process.pid)
    if process.stdin is not None:
        process.stdin.close()
    await finished(asyncio.ensure_future(process.wait()))
    if killed:
        await finished(asyncio.ensure_future(_group_gone(process.pid)))


async def _group_gone(group: int) -> None:
    """Killed processes may still finish a system call; nothing of ours may be written after the fetch has returned."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DYING_SECONDS):
            while await asyncio.to_thread(_group_lives, group):  # noqa: ASYNC110 - the kernel offers no such event
                await asyncio.sleep(0.001)


def _group_lives(group: int) -> bool:
    """Whether a process of the group still runs; zombies do not, and where nobody reaps orphans they stay."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            _command, _paren, facts = path.read_text().rpartition(")")
        except OSError:
            continue
        state, _parent, its_group = facts.split()[:3]
        if int(its_group) == group and state not in "ZX":
            return True
    return False


def _kill_group(group: int) -> bool:
    """Whether there was anybody to kill. A group's number is not given out again while a member lives."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _last(file: IO[bytes], most: int) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - most))
    return file.read(most)


def _text(file: IO[bytes]) -> str:
    return _last(file, _ERROR_BYTES).decode(errors="replace")
