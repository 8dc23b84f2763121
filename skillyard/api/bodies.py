"""A call's body, as JSON or as multipart, read after the caller is known and checked."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError

from skillyard.api.multipart import Form, read_form
from skillyard.api.problems import MediaTypeError
from skillyard.api.schemas.invocations import MAX_FILES, CallForm, CallRequest, OnDisconnect
from skillyard.api.spool import Spool
from skillyard.api.uploads import media_type, validated
from skillyard.errors import InputError
from skillyard.governance.identity import AgentPrincipal
from skillyard.runtime.runtime import Runtime
from skillyard.runtime.values import InvokeRequest, SkillRef
from skillyard.sandbox.outcome import InputFile

_LARGE = 64 * 1024
"""From this size on, JSON is taken apart in a thread, so that one large body does not hold up everybody's calls."""

CALL_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/CallRequest"}},
            "multipart/form-data": {"schema": {"$ref": "#/components/schemas/CallForm"}},
        },
    }
}
BODY_MODELS = (CallRequest, CallForm)


@dataclass(frozen=True, slots=True)
class WantedCall:
    """A call as a client asked for it. ``spool`` holds its files until the call has ended."""

    request: InvokeRequest
    on_disconnect: OnDisconnect
    spool: Spool


async def call_of(
    request: Request, runtime: Runtime, caller: AgentPrincipal, *, result_file_above: int | None
) -> WantedCall:
    """The call that a request's body asks for; of its result, what is larger comes as a file.

    Raises ``MediaTypeError``, ``InputError``, ``RequestValidationError`` and ``HTTPException`` 413 for a body that does
    not fit, ``DiskFullError`` where its files do not; nothing of them stays then.
    """
    spool = Spool(runtime.uploads, lease=runtime.lease)
    try:
        call, wanted = await _read(request, runtime, caller, spool)
    except BaseException:
        await spool.discard()
        raise
    return WantedCall(replace(wanted, result_file_above=result_file_above), call.on_disconnect, spool)


async def _read(
    request: Request, runtime: Runtime, caller: AgentPrincipal, spool: Spool
) -> tuple[CallRequest, InvokeRequest]:
    match media_type(request):
        case "application/json":
            call = await _parsed(await request.body())
            return call, _request(call, caller, (), None)
        case "multipart/form-data":
            form = await _read_form(request, runtime, caller, spool)
            call = await _parsed(form.request)
            return call, _request(call, caller, form.files, form.stdin)
        case other:
            raise MediaTypeError(f"{other or 'no media type'}: send application/json or multipart/form-data")


async def _read_form(request: Request, runtime: Runtime, caller: AgentPrincipal, spool: Spool) -> Form:
    most = runtime.policy.limits.scratch_max_bytes

    async def room_for(field: bytes) -> int:
        try:
            ref = SkillRef.parse((await _parsed(field)).skill)
        except (InputError, RequestValidationError):
            return most  # What is wrong with it is said once the whole body is there.
        granted = await runtime.granted(ref, caller.agent)
        return most if granted is None else granted.scratch_bytes

    return await read_form(request.headers["content-type"], request.stream(), spool, room=most, room_for=room_for)


async def _parsed(body: bytes) -> CallRequest:
    if len(body) < _LARGE:
        return validated(CallRequest, body)
    return await asyncio.to_thread(validated, CallRequest, body)


def _request(
    call: CallRequest, caller: AgentPrincipal, files: tuple[tuple[str, Path], ...], stdin: Path | None
) -> InvokeRequest:
    if stdin is not None and (call.stdin is not None or call.stdin_base64 is not None):
        raise InputError("give standard input once", field="stdin")
    inline = [InputFile(path, content) for path, content in call.files.items()]
    spooled = [InputFile(path, place) for path, place in files]
    return InvokeRequest(
        workspace=caller.workspace,
        agent=caller.agent.id,
        skill=SkillRef.parse(call.skill),
        entry=call.entry,
        input_json=_json(call),
        argv=call.argv,
        stdin=stdin or call.stdin_base64 or (call.stdin or "").encode(),
        files=_distinct((*inline, *spooled)),
        timeout_seconds=call.timeout_seconds,
        wait_for_approval=call.wait_for_approval,
    )


def _distinct(files: tuple[InputFile, ...]) -> tuple[InputFile, ...]:
    if len(files) > MAX_FILES:
        raise InputError(f"more than {MAX_FILES} files", field="files")
    seen: set[str] = set()
    for file in files:
        if file.path in seen:
            raise InputError(f"{file.path!r} is given twice", field="files")
        seen.add(file.path)
    return files


def _json(call: CallRequest) -> bytes:
    """The input as JSON text again; integers keep all their digits."""
    try:
        return json.dumps(call.input, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:
        raise InputError("holds a number or text that JSON cannot hold", field="input") from error
