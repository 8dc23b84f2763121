"""Calls: make one, look at what was recorded, fetch what it left behind."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import FileResponse, Response

from skillyard.api.answers import invocation_view, status_of_call
from skillyard.api.auth import Anyone, AnyPerson, Caller
from skillyard.api.bodies import CALL_BODY, call_of
from skillyard.api.calls import NDJSON, CallStream, RunningCall
from skillyard.api.paging import Cursor, PageSize, cut
from skillyard.api.schemas.invocations import InvocationRecordView, InvocationView, RefusedView
from skillyard.api.schemas.values import Page
from skillyard.api.state import TheRuntime
from skillyard.errors import InputError, NotFoundError
from skillyard.governance.identity import AgentPrincipal, Principal
from skillyard.ids import InvocationId
from skillyard.runtime import invocations
from skillyard.runtime.invocations import InvocationSummary
from skillyard.runtime.runtime import Runtime
from skillyard.runtime.values import Invocation

router = APIRouter(prefix="/invocations", tags=["invocations"])

Id = Annotated[uuid.UUID, Path()]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REFUSALS: dict[int | str, dict[str, Any]] = {
    202: {"model": RefusedView, "description": "Held: `approval` must be decided by a second person."},
    403: {"model": RefusedView, "description": "Denied, with the reasons."},
    429: {"description": "Too many calls wait; `Retry-After` says when to try again."},
}


@router.post("", openapi_extra=CALL_BODY, response_model=InvocationView, responses=_REFUSALS)
async def invoke(request: Request, runtime: TheRuntime, caller: Caller) -> Response:
    """Call a skill and wait for its end: 200 whatever came of it, also when the skill failed.

    With `Accept: application/x-ndjson` the output streams while the call runs, and the outcome is the last line. A
    client that goes away cancels its call.
    """
    wanted = await call_of(request, workspace=caller.workspace, agent=caller.agent.id)
    call = RunningCall(runtime, wanted, request.receive)
    try:
        if NDJSON in request.headers.get("accept", "").lower() and await call.printed():
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
        found = await invocations.invocations(session, person.workspace, limit=limit + 1, after=_place(cursor))
    page, last = cut(found, limit)
    items = tuple(InvocationRecordView.model_validate(item) for item in page)
    return Page(items=items, next_cursor=None if last is None else _cursor(last))


@router.get("/{invocation_id}")
async def get_invocation(runtime: TheRuntime, principal: Anyone, invocation_id: Id) -> InvocationRecordView:
    """One admitted call. An agent sees its own alone."""
    return InvocationRecordView.model_validate(await _record(runtime, principal, invocation_id))


@router.get("/{invocation_id}/files/{path:path}", response_class=FileResponse)
async def get_file(
    runtime: TheRuntime, principal: Anyone, invocation_id: Id, path: Annotated[str, Path(max_length=512)]
) -> FileResponse:
    """A file that the call left behind, as a download; never shown by a browser as a page of this server."""
    record = await _record(runtime, principal, invocation_id)
    location = await runtime.artefact(principal.workspace, record.id, path)
    return FileResponse(
        location,
        media_type="application/octet-stream",
        filename=path.rpartition("/")[2],
        content_disposition_type="attachment",
    )


async def _record(runtime: Runtime, principal: Principal, invocation_id: uuid.UUID) -> InvocationSummary:
    invocation = InvocationId(str(invocation_id))
    async with runtime.database.reading() as session:
        record = await invocations.get_invocation(session, principal.workspace, invocation)
    if isinstance(principal, AgentPrincipal) and record.caller != principal.actor:
        raise NotFoundError(f"invocation {invocation} does not exist")
    return record


def _answer(invocation: Invocation) -> Response:
    view = invocation_view(invocation)
    status = status_of_call(invocation)
    if status == 200:
        return Response(view.model_dump_json(), media_type="application/json")
    refused = RefusedView(
        **view.__dict__,
        detail=invocation.outcome.reason or "the call was refused",
        code=(invocation.outcome.refusal or {}).get("code", "refused"),
    )
    headers = {"Location": f"/v1/approvals/{invocation.approval}"} if invocation.approval is not None else None
    return Response(refused.model_dump_json(), status, headers=headers, media_type="application/json")


def _cursor(last: InvocationSummary) -> str:
    return f"{(last.started_at - _EPOCH) // timedelta(microseconds=1)}.{last.id}"


def _place(cursor: str | None) -> invocations.Cursor | None:
    if cursor is None:
        return None
    moment, _, identity = cursor.partition(".")
    try:
        started_at = _EPOCH + timedelta(microseconds=int(moment))
        return invocations.Cursor(started_at, InvocationId(str(uuid.UUID(identity))))
    except (ValueError, OverflowError) as error:
        raise InputError("not a cursor of this list", field="cursor") from error
