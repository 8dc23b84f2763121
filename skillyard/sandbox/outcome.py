"""What goes into a call and what comes out: closed, typed, with real measurements or ``None``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from skillyard.skills.skill import Entry


class OutcomeState(StrEnum):
    """How a call ended. Every accepted call ends in exactly one of these."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The skill raised, exited non-zero, or returned something that is not JSON."""
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    PROCESS_LIMIT = "process_limit"
    OUTPUT_LIMIT = "output_limit"
    DISK_FULL = "disk_full"
    CANCELLED = "cancelled"
    KILLED = "killed"
    """Ended by a signal that we did not send and that was not the memory limit."""
    LOST = "lost"
    """The container or its guest went away during the call; what the skill did is unknown."""
    REFUSED = "refused"
    """Never started: denied, held, queue full. Made by the runtime only."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file handed to a call; ``path`` is relative to the call's working directory.

    ``content`` is bytes, or the file on the host that holds them and does not change while the call is made: it is
    sent piece by piece and never held in memory as a whole.
    """

    path: str
    content: bytes | Path


@dataclass(frozen=True, slots=True)
class Call:
    """One invocation of an entry.

    ``input_json`` is the JSON text passed to a function as keyword arguments (an object) and offered to a script in
    no way; ``argv``, ``stdin`` and ``files`` serve scripts, ``files`` also functions.
    """

    entry: Entry
    input_json: bytes = b"{}"
    argv: tuple[str, ...] = ()
    stdin: bytes | Path = b""
    files: tuple[InputFile, ...] = ()
    timeout_seconds: float | None = None
    """Shorter than the granted time-out, or ``None`` for the granted one."""
    artefacts_to: Path | None = None
    """Host folder that receives the files the call leaves in its working directory; ``None`` discards them."""
    staged_as: Path | None = None
    """Begin of the place, on the same file system, where those files are until all have arrived; the name of
    ``artefacts_to`` follows it. It says whose leftovers they are after a kill. ``None``: hidden, beside the folder."""


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that a call left behind. ``location`` is where the host keeps it; the type is by the name alone."""

    path: str
    sha256: str
    size: int
    location: Path
    media_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Usage:
    """Measured by the kernel for the call's process: seconds and bytes; ``None`` where there was nothing to measure."""

    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One call's end. ``result_json`` is set for a succeeded function; ``reason`` says why for any other state.

    A large result may be in ``result_file`` instead, where the caller asked for that.
    """

    state: OutcomeState
    reason: str | None = None
    result_json: bytes | None = None
    exit_code: int | None = None
    signal: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    files: tuple[OutputFile, ...] = ()
    result_file: OutputFile | None = None
    usage: Usage = field(default_factory=Usage)
    refusal: Mapping[str, str] | None = None
    """For ``refused``: the decision's code and what to do about it."""
