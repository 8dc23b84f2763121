"""Calls of SUPERVISED agents: seen while they run, stopped, looked at afterwards."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from skillyard.api.auth import Admin
from skillyard.api.call_paging import cursor_of, place_of
from skillyard.api.paging import Cursor, PageSize, page_of
from skillyard.api.schemas.invocations import InvocationRecordView
from skillyard.api.schemas.supervision import RecordedEvent, StopRequest, SupervisedView
from skillyard.api.schemas.values import MAX_KEY, Page
from skillyard.api.state import TheRuntime
from skillyard.api.streams import NDJSON
from skillyard.api.watched import WatchStream
from skillyard.ids import AgentId, InvocationId, WorkspaceId
from skillyard.runtime.invocations import CallFilter
from skillyard.runtime.runtime import Runtime

router = APIRouter(prefix="/v1/supervision", tags=["supervision"])

Id = Annotated[uuid.UUID, Path()]
OfAgent = Annotated[int | None, Query(ge=1, le=MAX_KEY, description="Calls of this agent alone.")]
_STOPPED: dict[int | str, dict[str, Any]] = {
    202: {"model": InvocationRecordView, "description": "Another process runs it, and is told; look again."},
    409: {"description": "It had ended before, or was not supervised."},
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"model": RecordedEvent, "description": "A JSON object a line, each with `event`."},
    409: {"description": "It runs over another home, which the problem names; or it was not supervised."},
    410: {"description": "The recording was kept for its time and is gone."},
    429: {"description": "Too many recordings are being read here."},
}


@router.get("")
async def list_supervised(
    runtime: TheRuntime, admin: Admin, agent: OfAgent = None, cursor: Cursor = None, limit: PageSize = 100
) -> Page[SupervisedView]:
    """Supervised calls, newest first, those that run included."""
    return await _page(runtime, admin.workspace, _wanted(agent, live=False), cursor, limit)


@router.get("/live")
async def list_live(
    runtime: TheRuntime, admin: Admin, agent: OfAgent = None, cursor: Cursor = None, limit: PageSize = 100
) -> Page[SupervisedView]:
    """Supervised calls that run now, in whatever process, newest first."""
    return await _page(runtime, admin.workspace, _wanted(agent, live=True), cursor, limit)


@router.get("/{invocation_id}")
async def get_supervised(runtime: TheRuntime, admin: Admin, invocation_id: Id) -> SupervisedView:
    found = await runtime.supervision.supervisor.show(admin.workspace, _id(invocation_id))
    return SupervisedView.of(found)


@router.get("/{invocation_id}/stream", responses=_STREAM, response_class=StreamingResponse)
async def stream(request: Request, runtime: TheRuntime, admin: Admin, invocation_id: Id) -> Response:
    """What the call did, from its start on, as JSON lines; of a call that runs, also what it does until its end."""
    lines = await runtime.supervision.watcher.watch(admin.workspace, _id(invocation_id))
    return WatchStream(lines, receive=request.receive, media_type=NDJSON)


@router.post("/{invocation_id}/stop", responses=_STOPPED)
async def stop(
    runtime: TheRuntime, admin: Admin, invocation_id: Id, body: StopRequest, response: Response
) -> InvocationRecordView:
    """End a running call. Its caller gets `cancelled` with the reason, which is recorded."""
    record = await runtime.supervision.supervisor.stop(_id(invocation_id), by=admin, reason=body.reason)
    if record.ended_at is None:
        response.status_code = 202
    return InvocationRecordView.model_validate(record)


async def _page(
    runtime: Runtime, workspace: WorkspaceId, wanted: CallFilter, cursor: str | None, limit: int
) -> Page[SupervisedView]:
    found = await runtime.supervision.supervisor.list(workspace, wanted, limit=limit + 1, after=place_of(cursor))
    return page_of(found, limit, SupervisedView.of, key=lambda last: cursor_of(last.call))


def _wanted(agent: int | None, *, live: bool) -> CallFilter:
    return CallFilter(supervised=True, live=live, agent=None if agent is None else AgentId(agent))


def _id(invocation_id: uuid.UUID) -> InvocationId:
    return InvocationId(str(invocation_id))
