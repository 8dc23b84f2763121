"""The process that scans: everything imported once, a child with limits for each scan. Standard input is its lifeline.

A request is one line of JSON (``folder``, ``seconds``); the answer is one line (``state``, ``size``) and that many
bytes. The child parses what other people wrote, so it can do little: it may write no file, open few, and use so much
memory and time. It gives its result through a pipe of which this process reads a bounded part and believes nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

from skillyard.governance.static.scanner import scan_folder, warm_up

MEMORY_BYTES: Final = 1024 * 1024 * 1024
"""Address space of one scan beyond what this process has already."""
RESULT_BYTES: Final = 4 * 1024 * 1024
IDLE_SECONDS: Final = 60.0
"""A worker that nobody needs ends; the next scan starts another."""
_RECURSION: Final = 6_000
_OPEN_FILES: Final = 64
_PR_SET_PDEATHSIG: Final = 1
_CHUNK: Final = 64 * 1024


def serve() -> None:
    """Answer requests until standard input ends or nothing was asked for a while."""
    sys.setrecursionlimit(_RECURSION)
    warm_up()
    gc.collect()
    gc.freeze()
    requests = sys.stdin.buffer.raw if hasattr(sys.stdin.buffer, "raw") else sys.stdin.buffer
    pending = b""
    while True:
        while b"\n" not in pending:
            ready, _, _ = select.select([requests], [], [], IDLE_SECONDS)
            chunk = requests.read(_CHUNK) if ready else b""
            if not chunk:
                return
            pending += chunk
        line, _, pending = pending.partition(b"\n")
        request = json.loads(line)
        _answer(*_scan(Path(os.fsdecode(bytes.fromhex(request["folder"]))), float(request["seconds"])))


def _answer(state: str, payload: bytes) -> None:
    head = json.dumps({"state": state, "size": len(payload)}).encode() + b"\n"
    sys.stdout.buffer.write(head + payload)
    sys.stdout.buffer.flush()


def _scan(folder: Path, seconds: float) -> tuple[str, bytes]:
    """One scan in a child: ``ok`` and its result, or why there is none."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_child(folder, writing, seconds)
    os.close(writing)
    try:
        with open(reading, "rb", buffering=0, closefd=True) as pipe:  # noqa: PTH123 - a descriptor, not a path
            state, payload = _read(pipe.fileno(), time.monotonic() + seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if state == "ok" and not payload.endswith(b"\n"):
        return "died", _ending(status)
    return state, payload


def _read(pipe: int, deadline: float) -> tuple[str, bytes]:
    payload = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return "time", b""
        ready, _, _ = select.select([pipe, 0], [], [], left)
        if 0 in ready and pipe not in ready:
            # Nobody asks while we work: standard input has ended, and so have we.
            sys.exit(0)
        if pipe in ready:
            chunk = os.read(pipe, _CHUNK)
            if not chunk:
                return "ok", bytes(payload)
            payload += chunk
            if len(payload) > RESULT_BYTES:
                return "size", b""


def _ending(status: int) -> bytes:
    code = os.waitstatus_to_exitcode(status)
    return (f"signal {-code}" if code < 0 else f"exit code {code}").encode()


def _be_child(folder: Path, writing: int, seconds: float) -> NoReturn:
    code = 1
    try:
        _limit(seconds)
        gc.disable()
        result = json.dumps(dataclasses.asdict(scan_folder(folder))).encode() + b"\n"
        view = memoryview(result)
        while view:
            view = view[os.write(writing, view) :]
        code = 0
    except MemoryError:
        code = 3
    except BaseException as error:  # noqa: BLE001 - whatever it is, the child ends here and its owner is told
        sys.stderr.write(f"{type(error).__name__}\n")
    finally:
        os._exit(code)


def _limit(seconds: float) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for what, limit in (
        (resource.RLIMIT_AS, size + MEMORY_BYTES),
        (resource.RLIMIT_CPU, max(1, round(seconds))),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))


if __name__ == "__main__":
    serve()
