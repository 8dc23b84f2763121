"""Calls: what goes in, what comes out, and what streams in between."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints, model_validator

from skillyard.api.schemas.reports import PackageView, ReasonView
from skillyard.api.schemas.values import Base64Text, Body, SkillText, View
from skillyard.governance.identity import ActorKind
from skillyard.runtime.states import InvocationState
from skillyard.sandbox.events import LogLevel
from skillyard.sandbox.outcome import OutcomeState

OnDisconnect = Literal["cancel", "continue"]
FilePath = Annotated[str, StringConstraints(min_length=1, max_length=240)]
Argument = Annotated[str, StringConstraints(max_length=32 * 1024)]

MAX_FILES = 512
MAX_ARGUMENTS = 512


class CallRequest(Body):
    """One call. ``input`` becomes a function's keyword arguments; ``argv`` and ``stdin`` serve scripts.

    Multipart requests carry this as JSON in the field ``request``, and further files as parts named ``files`` whose
    file names are their paths.
    """

    skill: SkillText
    entry: Annotated[str, StringConstraints(min_length=1, max_length=512)] | None = None
    input: dict[str, JsonValue] = Field(default_factory=dict)
    argv: Annotated[tuple[Argument, ...], Field(max_length=MAX_ARGUMENTS)] = ()
    stdin: str | None = Field(default=None, description="Standard input as text (UTF-8).")
    stdin_base64: Base64Text | None = Field(default=None, description="Standard input as bytes; instead of `stdin`.")
    files: Annotated[dict[FilePath, Base64Text], Field(max_length=MAX_FILES)] = Field(
        default_factory=dict, description="Path in the call's working directory → content in base64."
    )
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] | None = Field(
        default=None, description="A shorter time-out than the granted one."
    )
    wait_for_approval: Annotated[float, Field(ge=0, le=86_400)] = Field(
        default=0.0,
        description="Seconds to wait where the call is held; it goes on by itself once its request is approved.",
    )
    on_disconnect: OnDisconnect = Field(
        default="cancel", description="What becomes of the call when its client goes away before its end."
    )

    @model_validator(mode="after")
    def _one_stdin(self) -> CallRequest:
        if self.stdin is not None and self.stdin_base64 is not None:
            raise ValueError("give either stdin or stdin_base64")
        return self


class CallForm(Body):
    """The multipart form of a call."""

    request: str = Field(description="A CallRequest as JSON.")
    files: tuple[bytes, ...] = Field(default=(), description="Input files; a part's file name is the file's path.")
    stdin: bytes | None = Field(default=None, description="Standard input; instead of the request's own.")


class GrantedView(View):
    memory_bytes: int
    timeout_seconds: float
    processes: int
    single_use: bool
    """Whether the sandbox serves this call alone."""


class DecisionView(View):
    """``allow``, ``hold`` or ``deny``, with its reasons; what was granted, or what must be approved."""

    kind: Literal["allow", "hold", "deny"]
    reasons: tuple[ReasonView, ...]
    granted: GrantedView | None = None
    packages: tuple[PackageView, ...] = ()
    first_use: bool = False


class OutputFileView(View):
    """A file that the call left behind; ``url`` downloads it with a token of the same workspace.

    ``media_type`` is by the file's name; nothing looked at its content.
    """

    path: str
    sha256: str
    size: int
    media_type: str
    url: str


class KeptFileView(OutputFileView):
    """The same, with how long it is kept; from ``expires_at`` or ``removed_at`` on, ``url`` answers 410."""

    expires_at: datetime
    removed_at: datetime | None


class UsageView(View):
    wall_seconds: float | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None


class OutcomeView(View):
    """How the call ended. ``result`` is what a function returned, and null in every state but ``succeeded``.

    Of a streamed call, a result larger than 1 MiB is in the file ``result_file`` instead.

    ``stdout`` and ``stderr`` are text; where the bytes are not UTF-8, the exact bytes are in the ``_base64`` field.
    """

    state: OutcomeState
    reason: str | None
    result: JsonValue
    result_file: OutputFileView | None
    exit_code: int | None
    signal: int | None
    stdout: str
    stdout_base64: str | None
    stderr: str
    stderr_base64: str | None
    files: tuple[OutputFileView, ...]
    usage: UsageView
    refusal: dict[str, str] | None


class InvocationView(View):
    """A call's end. ``approval`` is the request that waits where the decision was ``hold``."""

    id: str
    skill: str
    decision: DecisionView
    outcome: OutcomeView
    approval: int | None


class RefusedView(InvocationView):
    """A call that was refused: a problem's ``detail`` and ``code`` beside the invocation."""

    detail: str
    code: str


class AcceptedEvent(View):
    """The first line of a stream: the call is admitted and on record, and can be cancelled by this id."""

    event: Literal["accepted"]
    invocation_id: str


class HeldEvent(View):
    """The call is held, and waits for the decision on `approval`, at most until `until`. `accepted` comes once it is
    approved; this comes again every now and then, and with another `approval` where more has to be approved."""

    event: Literal["held"]
    invocation_id: str
    approval: int
    until: datetime


class ProgressEvent(View):
    """How far the skill says that it is, in the terms of the Model Context Protocol."""

    event: Literal["progress"]
    progress: int | float
    total: int | float | None
    message: str | None


class LogEvent(View):
    """A log line of the skill, in the terms of the Model Context Protocol."""

    event: Literal["log"]
    level: LogLevel
    message: str
    data: JsonValue


class OutputEvent(View):
    """A piece of the running call's output, as text for people; the exact bytes are in the outcome."""

    event: Literal["stdout", "stderr"]
    text: str


class OutcomeEvent(View):
    """The last line of a stream whose call ended."""

    event: Literal["outcome"]
    invocation: InvocationView


class ErrorEvent(View):
    """The last line of a stream that the server could not bring to its end."""

    event: Literal["error"]
    status: int = Field(description="The status that a plain answer would have had.")
    detail: str
    code: str
    retry_after_seconds: int | None = None


class CallerView(View):
    kind: ActorKind
    id: int | None


class InvocationRecordView(View):
    """An admitted call as the record has it. ``state`` is ``accepted`` while it runs."""

    id: str
    caller: CallerView
    skill_version: int
    entry: str
    state: InvocationState
    reason: str | None
    started_at: datetime
    ended_at: datetime | None
    cancel_requested_at: datetime | None
    usage: UsageView
    exit_code: int | None
    supervised: bool = Field(description="Recorded in full, because its agent was SUPERVISED.")


def text_and_bytes(data: bytes) -> tuple[str, str | None]:
    """Text for people, and the bytes in base64 where the text does not say exactly the same."""
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return data.decode(errors="replace"), base64.b64encode(data).decode()
