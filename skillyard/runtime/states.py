"""The states that calls and their recordings go through, as they are stored and as they are shown."""

from __future__ import annotations

from enum import StrEnum


class InvocationState(StrEnum):
    """``accepted`` from admission until the call's end; afterwards the outcome's state."""

    ACCEPTED = "accepted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    PROCESS_LIMIT = "process_limit"
    OUTPUT_LIMIT = "output_limit"
    DISK_FULL = "disk_full"
    CANCELLED = "cancelled"
    KILLED = "killed"
    LOST = "lost"
    REFUSED = "refused"


class RecordingState(StrEnum):
    """Of a kept recording. ``truncated``: the limit was reached, and it says where. ``cut``: its end is missing,
    because it could not be written or its process was gone."""

    COMPLETE = "complete"
    TRUNCATED = "truncated"
    CUT = "cut"
