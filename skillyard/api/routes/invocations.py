"""Calls: make one, look at what was recorded, fetch what it left behind."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import FileResponse, Response

from skillyard.api.answers import invocation_json, invocation_view, kept_file_view, status_of_call
from skillyard.api.auth import Anyone, AnyPerson, Caller
from skillyard.api.bodies import CALL_BODY, call_of
from skillyard.api.call_paging import cursor_of, place_of
from skillyard.api.calls import RunningCall
from skillyard.api.downloads import download
from skillyard.api.paging import Cursor, PageSize, key_of, page_of
from skillyard.api.schemas.invocations import InvocationRecordView, InvocationView, KeptFileView, RefusedView
from skillyard.api.schemas.values import Page
from skillyard.api.state import TheRuntime
from skillyard.api.streams import NDJSON, RESULT_BYTES, CallStream
from skillyard.errors import NotFoundError
from skillyard.governance.identity import AgentPrincipal, Principal
from skillyard.ids import InvocationId
from skillyard.runtime import files, invocations
from skillyard.runtime.invocations import InvocationSummary
from skillyard.runtime.runtime import Runtime
from skillyard.runtime.values import Invocation

router = APIRouter(prefix="/v1/invocations", tags=["invocations"])

Id = Annotated[uuid.UUID, Path()]

_CANCELLED: dict[int | str, dict[str, Any]] = {
    202: {"model": InvocationRecordView, "description": "Another process runs it, and is told; look again."},
    409: {"description": "It had ended before, or ended otherwise."},
}
_FILES: dict[int | str, dict[str, Any]] = {
    206: {"description": "The range that was asked for."},
    304: {"description": "The client has it already."},
    410: {"description": "It was kept for its time and is gone."},
    416: {"description": "The file is shorter than that."},
}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    202: {"model": RefusedView, "description": "Held: `approval` must be decided by a second person."},
    403: {"model": RefusedView, "description": "Denied, with the reasons."},
    429: {"description": "Too many calls wait; `Retry-After` says when to try again."},
}


@router.post("", openapi_extra=CALL_BODY, response_model=InvocationView, responses=_REFUSALS)
async def invoke(request: Request, runtime: TheRuntime, caller: Caller) -> Response:
    """Call a skill and wait for its end: 200 whatever came of it, also when the skill failed.

    With `Accept: application/x-ndjson` an admitted call is answered line by line while it runs: its id first, then
    output, progress and log lines, the outcome last. One that waits for its approval begins with `held`. A client that
    goes away cancels its call, unless the request says `"on_disconnect": "continue"`.
    """
    streamed = NDJSON in request.headers.get("accept", "").lower()
    wanted = await call_of(request, runtime, caller, result_file_above=RESULT_BYTES if streamed else None)
    call = RunningCall(runtime, wanted, request.receive)
    try:
        if streamed and await call.begun():
            return CallStream(call)  # which closes the call
        invocation = await call.end()
    except BaseException:
        await call.close()
        raise
    await call.close()
    return _answer(invocation)


@router.get("")
async def list_invocations(
    runtime: TheRuntime, person: AnyPerson, cursor: Cursor = None, limit: PageSize = 100
) -> Page[InvocationRecordView]:
    """The workspace's admitted calls, newest first."""
    async with runtime.database.reading() as session:
        found = await invocations.invocations(session, person.workspace, limit=limit + 1, after=place_of(cursor))
    return page_of(found, limit, InvocationRecordView.model_validate, key=cursor_of)


@router.get("/{invocation_id}")
async def get_invocation(runtime: TheRuntime, principal: Anyone, invocation_id: Id) -> InvocationRecordView:
    """One admitted call. An agent sees its own alone."""
    return InvocationRecordView.model_validate(await _record(runtime, principal, invocation_id))


@router.post("/{invocation_id}/cancel", responses=_CANCELLED)
async def cancel(runtime: TheRuntime, principal: Anyone, invocation_id: Id, response: Response) -> InvocationRecordView:
    """End a call before its time. An agent may its own calls, a person those of their agents, an admin any."""
    record = await runtime.cancel(InvocationId(str(invocation_id)), principal=principal)
    if record.ended_at is None:
        response.status_code = 202
    return InvocationRecordView.model_validate(record)


@router.get("/{invocation_id}/files")
async def list_files(
    runtime: TheRuntime, principal: Anyone, invocation_id: Id, cursor: Cursor = None, limit: PageSize = 100
) -> Page[KeptFileView]:
    """What the call left behind, also what is not kept any more."""
    record = await _record(runtime, principal, invocation_id)
    async with runtime.database.reading() as session:
        found = await files.call_files(session, principal.workspace, record.id, limit=limit + 1, after=key_of(cursor))
    return page_of(found, limit, lambda file: kept_file_view(record.id, file), key=lambda last: last.key)


@router.get("/{invocation_id}/files/{path:path}", response_class=FileResponse, responses=_FILES)
async def get_file(
    request: Request,
    runtime: TheRuntime,
    principal: Anyone,
    invocation_id: Id,
    path: Annotated[str, Path(max_length=1024)],
) -> Response:
    """A file that the call left behind, as a download; never shown by a browser as a page of this server.

    `ETag` is its sha256, which never changes; `Range`, `If-Range` and `If-None-Match` are honoured.
    """
    record = await _record(runtime, principal, invocation_id)
    file, location = await runtime.artefact(principal.workspace, record.id, path)
    return download(request.headers, file, location)


async def _record(runtime: Runtime, principal: Principal, invocation_id: uuid.UUID) -> InvocationSummary:
    invocation = InvocationId(str(invocation_id))
    async with runtime.database.reading() as session:
        record = await invocations.get_invocation(session, principal.workspace, invocation)
    if isinstance(principal, AgentPrincipal) and record.caller != principal.actor:
        raise NotFoundError(f"invocation {invocation} does not exist")
    return record


def _answer(invocation: Invocation) -> Response:
    status = status_of_call(invocation)
    if status == 200:
        return Response(invocation_json(invocation), media_type="application/json")
    refused = RefusedView(
        **invocation_view(invocation).__dict__,
        detail=invocation.outcome.reason or "the call was refused",
        code=(invocation.outcome.refusal or {}).get("code", "refused"),
    )
    headers = {"Location": f"/v1/approvals/{invocation.approval}"} if invocation.approval is not None else None
    return Response(refused.model_dump_json(), status, headers=headers, media_type="application/json")
