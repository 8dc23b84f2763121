"""Scanning other people's files in a process that they cannot take anything down with.

The worker is started at the first scan and kept warm; each scan is a child of it (``worker_process``). It ends with its
owner, whichever way that ends, because it reads a pipe of which the owner holds the other end.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from skillyard.governance.errors import GovernanceError
from skillyard.governance.static.scanned import Scanned

SCAN_SECONDS: Final = 30.0
_GRACE: Final = 5.0
"""Seconds beyond a scan's time in which the worker has to say that it was up."""
_START_SECONDS: Final = 30.0
_HEAD_BYTES: Final = 1000
_MOST_BYTES: Final = 8 * 1024 * 1024
_SCANNED: Final[TypeAdapter[Scanned]] = TypeAdapter(Scanned)
_WHY: Final = {
    "time": "it took longer than {seconds:g} seconds",
    "size": "it found more than can be reported",
    "died": "its process died ({detail})",
}


class ScanDiedError(GovernanceError):
    """A scan gave no result: it ran out of time or memory, or its process died."""

    code = "scan_died"


class Worker:
    """One warm process, one scan at a time; for use from any thread. ``command`` starts it."""

    def __init__(self, command: tuple[str, ...] = ()) -> None:
        module = "skillyard.governance.static.worker_process"
        self._command = command or (sys.executable, "-I", "-X", "utf8", "-m", module)
        self._process: subprocess.Popen[bytes] | None = None
        self._ending: weakref.finalize[..., Worker] | None = None
        self._lock = threading.Lock()

    def scan(self, folder: Path, *, seconds: float = SCAN_SECONDS) -> Scanned:
        """Blocks until the result is there. Raises ``ScanDiedError``, within ``seconds`` and a little."""
        with self._lock:
            try:
                return self._scan(folder, seconds)
            except ScanDiedError:
                raise
            except OSError as error:
                self.close()
                raise ScanDiedError(f"the scan's process cannot be used: {error.strerror or error}") from error

    def close(self) -> None:
        """End the worker; the next scan starts another."""
        if self._ending is not None:
            self._ending()
        self._ending = self._process = None

    @classmethod
    def of_this_process(cls) -> Worker:
        """The one that all scanners of this process share; it ends when none of them is left."""
        with _SHARED_LOCK:
            worker = _SHARED.get(os.getpid())
            if worker is None:
                worker = _SHARED[os.getpid()] = cls()
            return worker

    def _scan(self, folder: Path, seconds: float) -> Scanned:
        process, fresh = self._started()
        request = {"folder": os.fsencode(folder.absolute()).hex(), "seconds": seconds}
        if process.stdin is None:
            raise ScanDiedError("the scan's process has no standard input")
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            # It was idle and ended; that is no failure of this scan, unless it cannot even start.
            self.close()
            if fresh:
                raise ScanDiedError("the scan's process does not start") from None
            return self._scan(folder, seconds)
        deadline = time.monotonic() + seconds + _GRACE + (_START_SECONDS if fresh else 0)
        try:
            head = self._head(process, deadline)
            payload = _exactly(process, int(str(head["size"])), deadline)
        except (ScanDiedError, ValueError, KeyError, TypeError) as error:
            died = process.poll()
            self.close()
            if not fresh and died == 0:
                return self._scan(folder, seconds)
            raise ScanDiedError("the scan's process answered nothing that can be read") from error
        state = str(head["state"])
        if state != "ok":
            detail = payload[:100].decode("ascii", "replace")
            raise ScanDiedError(_WHY.get(state, "it failed ({detail})").format(seconds=seconds, detail=detail))
        try:
            return _SCANNED.validate_json(payload)
        except ValidationError as error:
            raise ScanDiedError("the scan's process answered something else than a result") from error

    def _started(self) -> tuple[subprocess.Popen[bytes], bool]:
        if self._process is not None and self._process.poll() is None:
            return self._process, False
        self.close()
        process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}, cwd="/",
            start_new_session=True,
        )  # fmt: skip
        self._process = process
        self._ending = weakref.finalize(self, _end, process)
        return process, True

    def _head(self, process: subprocess.Popen[bytes], deadline: float) -> dict[str, object]:
        head = b""
        while not head.endswith(b"\n"):
            head += _exactly(process, 1, deadline)
            if len(head) > _HEAD_BYTES:
                raise ValueError("a head that does not end")
        answer = json.loads(head)
        if not isinstance(answer, dict):
            raise TypeError("not an object")
        return answer


_SHARED: Final[weakref.WeakValueDictionary[int, Worker]] = weakref.WeakValueDictionary()
"""By the id of the process, since a forked one must not talk through its parent's pipes."""
_SHARED_LOCK: Final = threading.Lock()


def _exactly(process: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
    """So many bytes of the worker's answer, by the deadline."""
    if process.stdout is None:
        raise ScanDiedError("the scan's process has no standard output")
    if not 0 <= size <= _MOST_BYTES:
        raise ValueError("an answer of an impossible size")
    pipe = process.stdout.fileno()
    data = bytearray()
    while len(data) < size:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise ScanDiedError("no answer in time")
        chunk = os.read(pipe, size - len(data))
        if not chunk:
            raise ScanDiedError("the worker ended")
        data += chunk
    return bytes(data)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Its children die with it: the kernel kills them (``PR_SET_PDEATHSIG``)."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.wait()
