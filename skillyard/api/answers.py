"""From what the runtime returns of a call to what a client gets, and the status that goes with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never
from urllib.parse import quote

import orjson
from pydantic import JsonValue
from pydantic_core import from_json

from skillyard.api.schemas.invocations import (
    DecisionView,
    GrantedView,
    InvocationView,
    KeptFileView,
    OutcomeView,
    OutputFileView,
    UsageView,
    text_and_bytes,
)
from skillyard.api.schemas.reports import PackageView, ReasonView
from skillyard.governance.decision import Allow, Decision, Deny, Hold, Reason
from skillyard.governance.report import PackageRef
from skillyard.ids import InvocationId
from skillyard.runtime.files import CallFile
from skillyard.runtime.values import Invocation
from skillyard.sandbox.outcome import Outcome, OutcomeState, OutputFile


def invocation_view(invocation: Invocation) -> InvocationView:
    """The whole call as values; what a skill returned is taken apart for it."""
    state, reason, result = _result(invocation.outcome)
    return _view(invocation, replace(invocation.outcome, state=state, reason=reason), result)


def invocation_json(invocation: Invocation) -> bytes:
    """The same as JSON on one line. A result goes in as the skill's process wrote it and the sandbox checked it: taking
    megabytes apart and putting them together again would hold up everybody else, and lose digits."""
    document = _view(invocation, invocation.outcome, None).model_dump(mode="json")
    result = invocation.outcome.result_json
    if result is not None:
        # Between tokens a line break is white space, and elsewhere JSON has none.
        document["outcome"]["result"] = orjson.Fragment(result.replace(b"\n", b" ").replace(b"\r", b" "))
    return orjson.dumps(document)


def _view(invocation: Invocation, outcome: Outcome, result: JsonValue) -> InvocationView:
    return InvocationView(
        id=invocation.id,
        skill=str(invocation.skill),
        decision=decision_view(invocation.decision),
        outcome=_outcome_view(invocation.id, outcome, result),
        approval=invocation.approval,
    )


def status_of_call(invocation: Invocation) -> int:
    """200 for every call that ran, whatever came of it; 202 for a held one; 403 for a denied one; 429 when too many
    calls wait; 409 for what was allowed and refused for another reason."""
    if invocation.outcome.state is not OutcomeState.REFUSED:
        return 200
    match invocation.decision:
        case Hold():
            return 202
        case Deny():
            return 403
        case Allow():
            return 429 if (invocation.outcome.refusal or {}).get("code") == "queue_full" else 409
        case _:
            assert_never(invocation.decision)


def decision_view(decision: Decision) -> DecisionView:
    match decision:
        case Allow(granted=granted, reasons=reasons):
            return DecisionView(kind="allow", reasons=_reasons(reasons), granted=GrantedView.model_validate(granted))
        case Hold(packages=packages, first_use=first_use, reasons=reasons):
            held = _packages(packages)
            return DecisionView(kind="hold", reasons=_reasons(reasons), packages=held, first_use=first_use)
        case Deny(reasons=reasons):
            return DecisionView(kind="deny", reasons=_reasons(reasons))
        case _:
            assert_never(decision)


def file_url(invocation: InvocationId, path: str) -> str:
    return f"/v1/invocations/{invocation}/files/{quote(path)}"


def file_views(invocation: InvocationId, files: Iterable[OutputFile]) -> tuple[OutputFileView, ...]:
    return tuple(_file_view(invocation, file) for file in files)


def _file_view(invocation: InvocationId, file: OutputFile) -> OutputFileView:
    return OutputFileView(
        path=file.path,
        sha256=file.sha256,
        size=file.size,
        media_type=file.media_type,
        url=file_url(invocation, file.path),
    )


def kept_file_view(invocation: InvocationId, file: CallFile) -> KeptFileView:
    return KeptFileView(
        path=file.path,
        sha256=file.sha256,
        size=file.size,
        media_type=file.media_type,
        url=file_url(invocation, file.path),
        expires_at=file.expires_at,
        removed_at=file.removed_at,
    )


def _outcome_view(invocation: InvocationId, outcome: Outcome, result: JsonValue) -> OutcomeView:
    stdout, stdout_base64 = text_and_bytes(outcome.stdout)
    stderr, stderr_base64 = text_and_bytes(outcome.stderr)
    return OutcomeView(
        state=outcome.state,
        reason=outcome.reason,
        result=result,
        result_file=None if outcome.result_file is None else _file_view(invocation, outcome.result_file),
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        stdout=stdout,
        stdout_base64=stdout_base64,
        stderr=stderr,
        stderr_base64=stderr_base64,
        files=file_views(invocation, outcome.files),
        usage=UsageView.model_validate(outcome.usage),
        refusal=None if outcome.refusal is None else dict(outcome.refusal),
    )


def _result(outcome: Outcome) -> tuple[OutcomeState, str | None, JsonValue]:
    """State, reason and result. What a skill returns comes from foreign code: text that is not JSON is its failure."""
    if outcome.result_json is None:
        return outcome.state, outcome.reason, None
    try:
        return outcome.state, outcome.reason, from_json(outcome.result_json, allow_inf_nan=False)
    except ValueError:
        return OutcomeState.FAILED, "the skill's result is not JSON, or nested too deeply", None


def _reasons(reasons: tuple[Reason, ...]) -> tuple[ReasonView, ...]:
    return tuple(ReasonView.model_validate(reason) for reason in reasons)


def _packages(packages: tuple[PackageRef, ...]) -> tuple[PackageView, ...]:
    return tuple(PackageView.model_validate(package) for package in packages)
