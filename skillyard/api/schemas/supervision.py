"""Supervised calls and their recordings."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from skillyard.api.schemas.agents import Reason
from skillyard.api.schemas.invocations import InvocationRecordView
from skillyard.api.schemas.values import Body, View
from skillyard.runtime.states import RecordingState
from skillyard.runtime.supervisor import Supervised


class StopRequest(Body):
    reason: Reason


class RecordingView(View):
    """``truncated``: its limit was reached, and it says where. ``cut``: its end is missing."""

    state: RecordingState
    size: int = Field(description="Bytes.")
    expires_at: datetime
    removed_at: datetime | None


class SupervisedView(View):
    """A call of a SUPERVISED agent. ``recording`` is ``null`` while the call runs, and a moment longer.

    ``instance`` is the process that runs it.
    """

    call: InvocationRecordView
    agent: int | None
    instance: str
    live: bool
    recording: RecordingView | None

    @classmethod
    def of(cls, supervised: Supervised) -> SupervisedView:
        call, kept = supervised.call, supervised.recording
        return cls(
            call=InvocationRecordView.model_validate(call),
            agent=call.caller.id,
            instance=call.instance,
            live=call.ended_at is None,
            recording=None if kept is None else RecordingView.model_validate(kept),
        )


class RecordedEvent(View):
    """One line of a recording; what else it holds depends on ``event``."""

    event: Literal[
        "started",
        "input",
        "input_file",
        "output",
        "progress",
        "log",
        "result",
        "left_file",
        "truncated",
        "ended",
        "cut",
    ]
    at: datetime | None = None
    of: str | None = Field(default=None, description="What the bytes are of: `stdout`, `result`, `file NAME` …")
    text: str | None = None
    base64: str | None = None
