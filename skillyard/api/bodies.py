"""A call's body, as JSON or as multipart, read after the caller is known and checked."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from skillyard.api.problems import MediaTypeError
from skillyard.api.schemas.invocations import MAX_FILES, CallForm, CallRequest
from skillyard.api.uploads import media_type, validated
from skillyard.errors import InputError
from skillyard.ids import AgentId, WorkspaceId
from skillyard.runtime.values import InvokeRequest, SkillRef
from skillyard.sandbox.outcome import InputFile

MAX_REQUEST_FIELD_BYTES = 8 * 1024 * 1024
"""Most that the JSON in the field ``request`` of a multipart body may hold; files go beside it."""

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


async def call_of(request: Request, *, workspace: WorkspaceId, agent: AgentId) -> InvokeRequest:
    """The call that a request's body asks for.

    Raises ``MediaTypeError``, ``InputError`` and ``RequestValidationError`` for a body that does not fit.
    """
    match media_type(request):
        case "application/json":
            call = await _parsed(await request.body())
            files: tuple[InputFile, ...] = ()
        case "multipart/form-data":
            async with request.form(max_files=MAX_FILES, max_fields=4, max_part_size=MAX_REQUEST_FIELD_BYTES) as form:
                call, files = await _parsed(_request_field(form)), await _files(form)
        case other:
            raise MediaTypeError(f"{other or 'no media type'}: send application/json or multipart/form-data")
    inline = tuple(InputFile(path, content) for path, content in call.files.items())
    return InvokeRequest(
        workspace=workspace,
        agent=agent,
        skill=SkillRef.parse(call.skill),
        entry=call.entry,
        input_json=_json(call),
        argv=call.argv,
        stdin=call.stdin_base64 or (call.stdin or "").encode(),
        files=_distinct((*inline, *files)),
        timeout_seconds=call.timeout_seconds,
    )


async def _parsed(body: bytes) -> CallRequest:
    if len(body) < _LARGE:
        return validated(CallRequest, body)
    return await asyncio.to_thread(validated, CallRequest, body)


def _request_field(form: FormData) -> bytes:
    field = form.get("request")
    if not isinstance(field, str):
        raise InputError("the multipart field `request` must hold the call as JSON", field="request")
    return field.encode()


async def _files(form: FormData) -> tuple[InputFile, ...]:
    uploads = form.getlist("files")
    if not all(isinstance(upload, UploadFile) and upload.filename for upload in uploads):
        raise InputError("every part named `files` needs a file name, which is its path", field="files")
    return tuple(
        [InputFile(upload.filename or "", await upload.read()) for upload in uploads if isinstance(upload, UploadFile)]
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
