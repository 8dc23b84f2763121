"""A supervised call, recorded in full while it runs: what went in, what it said, what came out, how it ended.

A call that cannot be recorded does not run, and one whose recording cannot go on is ended: what nobody can look at
later must not happen under supervision.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar, assert_never

import orjson
import structlog

from skillyard.errors import MachineError
from skillyard.ids import InvocationId
from skillyard.json_value import JsonValue
from skillyard.runtime.recording_file import LIVE, RecordingFile
from skillyard.runtime.values import InvokeRequest
from skillyard.sandbox.events import Emitted, Logged, Output, Progressed
from skillyard.sandbox.outcome import Outcome, OutcomeState, OutputFile
from skillyard.sandbox.sandbox import OutputSink

T = TypeVar("T")

_log = structlog.get_logger("skillyard.recording")
_READ_BYTES = 256 * 1024
_STREAMS = {1: "stdout", 2: "stderr"}


class RecordingError(MachineError):
    """A supervised call has to be recorded in full, and that cannot be done."""

    code = "recording_failed"


class Recording:
    """One call's. Made by ``Recorder.begin``; ``end`` makes it durable, ``close`` lets go of it."""

    def __init__(self, file: RecordingFile, stop: Callable[[str], object]) -> None:
        """``stop`` ends the call, with the reason, where its recording cannot go on."""
        self._file = file
        self._stop = stop
        self._said: deque[Emitted] = deque()
        self._more = asyncio.Event()
        self._failed: Exception | None = None
        self._writer = asyncio.create_task(self._write())

    def hears(self, on_output: OutputSink) -> OutputSink:
        """A sink that records, and passes on."""

        def hear(emitted: Emitted) -> None:
            self._said.append(emitted)
            self._more.set()
            on_output(emitted)

        return hear

    @property
    def failed(self) -> bool:
        """Whether something of the call is not on record: what it left is not handed out then."""
        return self._failed is not None

    async def end(self, outcome: Outcome) -> Outcome:
        """The outcome, once all that led to it is on disk. Where it cannot be put there, another outcome, without
        the result: nobody gets what was not recorded."""
        self._writer.cancel()
        await asyncio.wait([self._writer])
        if self._failed is None:
            try:
                await _whole(asyncio.to_thread(self._finish, outcome))
            except Exception as error:  # noqa: BLE001 - as in ``_write``
                self._failed = error
                _log.error("recording_failed", error=str(error))
        if self._failed is None or outcome.state is not OutcomeState.SUCCEEDED:
            return outcome
        return Outcome(OutcomeState.LOST, reason=f"recording_failed: {self._failed}", usage=outcome.usage)

    def close(self) -> None:
        self._writer.cancel()
        self._file.close()

    async def _write(self) -> None:
        """What the call says, as it says it."""
        try:
            while True:
                await self._more.wait()
                self._more.clear()
                # Whole, also when this is cancelled meanwhile: the file has one writer at a time.
                await _whole(asyncio.to_thread(self._drain))
        except Exception as error:  # noqa: BLE001 - whatever it is that keeps a call from being recorded ends the call
            self._failed = error
            _log.error("recording_failed", error=str(error))
            self._stop(f"its recording could not go on: {error}")

    def _drain(self) -> None:
        while self._said:
            match self._said.popleft():
                case Output(stream=stream, data=data):
                    self._file.data("output", _STREAMS[stream], data)
                case Progressed(progress=progress, total=total, message=message):
                    facts: dict[str, JsonValue] = {"progress": progress, "total": total, "message": message}
                    self._file.fact("progress", "progress", facts)
                case Logged(level=level, message=message, data=data):
                    self._file.fact("log", "log", {"level": level.value, "message": message, "data": data})
                case other:
                    assert_never(other)

    def _finish(self, outcome: Outcome) -> None:
        self._drain()
        if outcome.result_json is not None:
            self._file.data("result", "result", outcome.result_json)
        for file in (*outcome.files, *(() if outcome.result_file is None else (outcome.result_file,))):
            self._file.fact("left_file", "files", _left(file, is_result=file is outcome.result_file))
        usage = outcome.usage
        self._file.end(
            {
                "state": outcome.state.value,
                "reason": None if outcome.reason is None else outcome.reason[:2000],
                "exit_code": outcome.exit_code,
                "signal": outcome.signal,
                "wall_seconds": usage.wall_seconds,
                "cpu_seconds": usage.cpu_seconds,
                "peak_memory_bytes": usage.peak_memory_bytes,
            }
        )


class Unrecorded:
    """For calls that nobody supervises."""

    failed = False

    def hears(self, on_output: OutputSink) -> OutputSink:
        return on_output

    async def end(self, outcome: Outcome) -> Outcome:
        return outcome

    def close(self) -> None:
        """There is nothing to let go of."""


class Recorder:
    """Begins recordings, in a folder of this home. ``limit`` is the most bytes of one."""

    def __init__(self, *, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit

    async def begin(
        self,
        invocation: InvocationId,
        request: InvokeRequest,
        facts: Mapping[str, JsonValue],
        stop: Callable[[str], object],
    ) -> Recording:
        """A recording that holds what goes into the call. Raises ``RecordingError``; nothing may run then."""
        opening = asyncio.ensure_future(asyncio.to_thread(self._open, invocation, request, facts))
        try:
            return Recording(await asyncio.shield(opening), stop)
        except asyncio.CancelledError:
            await asyncio.wait([opening])
            if opening.exception() is None:
                opening.result().remove()
            raise
        except OSError as error:
            raise RecordingError(f"the call cannot be recorded, so it was not made: {error}") from error

    def _open(self, invocation: InvocationId, request: InvokeRequest, facts: Mapping[str, JsonValue]) -> RecordingFile:
        file = RecordingFile(self._folder / f"{invocation}{LIVE}", self._limit)
        try:
            file.line("started", {"invocation": invocation, **facts, "limit_bytes": self._limit})
            self._write_input(file, request)
        except BaseException:
            file.remove()
            raise
        return file

    def _write_input(self, file: RecordingFile, request: InvokeRequest) -> None:
        # Half of the room at most: what came of it has to have some as well.
        half = self._limit // 2
        file.data("input", "input", request.input_json, limit=half)
        if request.argv:
            file.data("input", "argv", orjson.dumps(request.argv), limit=half)
        contents = [("stdin", request.stdin)] if request.stdin else []
        contents += [(f"file {given.path}", given.content) for given in request.files]
        for of, content in contents:
            digest, size = _record_content(file, of, content, half)
            file.fact("input_file", "input files", {"of": of, "size": size, "sha256": digest})


async def _whole(work: Coroutine[Any, Any, T]) -> T:
    """What a thread does, to its end: a thread cannot be cancelled, and the file is its own until then."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _record_content(file: RecordingFile, of: str, content: bytes | Path, limit: int) -> tuple[str, int]:
    """Hash and size of all of it, however much of it is kept."""
    digest, size = hashlib.sha256(), 0
    if isinstance(content, bytes):
        file.data("input", of, content, limit=limit)
        return hashlib.sha256(content).hexdigest(), len(content)
    with content.open("rb") as read:
        while piece := read.read(_READ_BYTES):
            digest.update(piece)
            size += len(piece)
            file.data("input", of, piece, limit=limit)
    return digest.hexdigest(), size


def _left(file: OutputFile, *, is_result: bool) -> dict[str, JsonValue]:
    """The content is kept with the call's files, for as long as those are."""
    return {
        "path": file.path,
        "size": file.size,
        "sha256": file.sha256,
        "media_type": file.media_type,
        "result": is_result,
    }
