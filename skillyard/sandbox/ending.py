"""From the guest's facts about how a call ended to one typed state: a pure function.

What the skill's own process says (a result, a failure, no space left) decides only between succeeded and failed; exit,
signal, time, kills for memory and refused processes come from the kernel by way of the relay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from skillyard.sandbox.guest.frames import FrameError
from skillyard.sandbox.outcome import OutcomeState, Usage


@dataclass(frozen=True, slots=True)
class EndFacts:
    """The ``END`` frame. Seconds and bytes; ``None`` where nothing was measured or said."""

    reported: str | None
    reason: str | None
    disk_full: bool
    exit_code: int | None
    signal: int | None
    killed_for: str | None
    oom_kills: int
    process_refusals: int
    wall: float | None
    cpu: float | None
    peak: int | None
    files: bool

    @property
    def usage(self) -> Usage:
        return Usage(wall_seconds=self.wall, cpu_seconds=self.cpu, peak_memory_bytes=self.peak)


_SHAPE: dict[str, tuple[type, ...]] = {
    "reported": (str, type(None)),
    "reason": (str, type(None)),
    "disk_full": (bool,),
    "exit_code": (int, type(None)),
    "signal": (int, type(None)),
    "killed_for": (str, type(None)),
    "oom_kills": (int,),
    "process_refusals": (int,),
    "wall": (float, int, type(None)),
    "cpu": (float, int, type(None)),
    "peak": (int, type(None)),
    "files": (bool,),
}

_KILLED_FOR = {None, "timeout", "cancel", "stdout", "stderr", "result", "event", "guest", "unbegun"}


def parse_facts(payload: bytes) -> EndFacts:
    """Raises ``FrameError`` for anything but exactly the fields of ``EndFacts`` in their types."""
    value = parse_object(payload)
    if value.keys() != _SHAPE.keys() or any(not isinstance(value[name], kinds) for name, kinds in _SHAPE.items()):
        raise FrameError("the END frame does not have its shape")
    if value["killed_for"] not in _KILLED_FOR:
        raise FrameError(f"a call cannot be killed for {value['killed_for']!r}")
    return EndFacts(**value)


def parse_object(payload: bytes) -> dict[str, Any]:
    """The JSON object of a frame. Raises ``FrameError`` for anything else."""
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise FrameError("a frame is not JSON") from error
    if not isinstance(value, dict):
        raise FrameError("a frame is not a JSON object")
    return value


_STREAMS: dict[str | None, str] = {
    "stdout": "standard output",
    "stderr": "standard error",
    "result": "the result",
    "event": "a progress or log event, or all of them together,",
}


def state_of(facts: EndFacts, *, script: bool, timeout: float) -> tuple[OutcomeState, str | None]:
    """The state and the reason for it; ``None`` for a success.

    Exhausted memory and processes outrank the time-out that they often lead to, since that is what to act on.
    """
    if facts.killed_for == "cancel":
        return OutcomeState.CANCELLED, "the call was cancelled"
    if facts.killed_for in {"guest", "unbegun"}:
        return OutcomeState.LOST, facts.reason or "a part of the guest went away"
    if facts.killed_for is None and (facts.exit_code == 0 if script else facts.reported == "result"):
        return OutcomeState.SUCCEEDED, None
    if facts.killed_for in _STREAMS:
        return OutcomeState.OUTPUT_LIMIT, f"{_STREAMS[facts.killed_for]} passed its size limit"
    if facts.oom_kills:
        return OutcomeState.OUT_OF_MEMORY, f"the kernel ended {facts.oom_kills} process(es) at the memory limit"
    if facts.process_refusals:
        return OutcomeState.PROCESS_LIMIT, f"the kernel refused {facts.process_refusals} new process(es) at the limit"
    if facts.killed_for == "timeout":
        return OutcomeState.TIMED_OUT, f"the call did not end within {timeout:g} s"
    return _failure(facts, script=script)


def _failure(facts: EndFacts, *, script: bool) -> tuple[OutcomeState, str]:
    if facts.disk_full:
        return OutcomeState.DISK_FULL, facts.reason or "the writable folders are full"
    if facts.signal is not None:
        return OutcomeState.KILLED, f"ended by signal {facts.signal}"
    if facts.reason is not None:
        return OutcomeState.FAILED, facts.reason
    if script and facts.exit_code is not None:
        return OutcomeState.FAILED, f"ended with exit code {facts.exit_code}"
    if facts.exit_code is not None:
        return OutcomeState.FAILED, f"ended without a result, with exit code {facts.exit_code}"
    return OutcomeState.FAILED, "ended without a result"
