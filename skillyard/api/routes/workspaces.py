"""Workspaces, for operators; and for everybody what their own one uses.

A person who is no operator is told of other workspaces what they are told of ones that do not exist.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from skillyard.api.auth import AnyPerson, Operator
from skillyard.api.paging import Cursor, PageSize, key_of, page_of
from skillyard.api.schemas.people import PersonView
from skillyard.api.schemas.values import MAX_KEY, Page
from skillyard.api.schemas.workspaces import (
    AddWorkspaceRequest,
    FoundedView,
    QuotasRequest,
    WorkspaceReasonRequest,
    WorkspaceUseView,
    WorkspaceView,
)
from skillyard.api.state import TheRuntime
from skillyard.errors import NotFoundError
from skillyard.governance.identity import PersonPrincipal, Role
from skillyard.ids import WorkspaceId

router = APIRouter(prefix="/v1/workspaces", tags=["workspaces"])

Key = Annotated[int, Path(ge=1, le=MAX_KEY)]


@router.get("")
async def list_workspaces(
    runtime: TheRuntime, _operator: Operator, cursor: Cursor = None, limit: PageSize = 100
) -> Page[WorkspaceView]:
    """Every workspace of the instance, in the order they were added."""
    found = await runtime.workspaces.page(after=key_of(cursor), limit=limit + 1)
    return page_of(found, limit, WorkspaceView.model_validate)


@router.post("", status_code=201)
async def add_workspace(runtime: TheRuntime, operator: Operator, body: AddWorkspaceRequest) -> FoundedView:
    """A new workspace with its first admin. That person's token is in this answer and nowhere else."""
    founded = await runtime.workspaces.add(body.name, admin=body.admin, by=operator)
    return FoundedView(
        workspace=WorkspaceView.model_validate(founded.workspace),
        admin=PersonView.model_validate(founded.admin),
        token=founded.token,
    )


@router.get("/{workspace_id}")
async def get_workspace(runtime: TheRuntime, person: AnyPerson, workspace_id: Key) -> WorkspaceView:
    """One's own; any, for an operator."""
    return WorkspaceView.model_validate(await runtime.workspaces.get(_theirs(person, workspace_id)))


@router.get("/{workspace_id}/usage")
async def usage(runtime: TheRuntime, person: AnyPerson, workspace_id: Key) -> WorkspaceUseView:
    """Every quota, and what is used of it. One's own workspace; any, for an operator.

    Sandboxes and their memory are those of the server process that answers.
    """
    return WorkspaceUseView.model_validate(await runtime.quotas.use(_theirs(person, workspace_id)))


@router.post("/{workspace_id}/quotas")
async def change_quotas(
    runtime: TheRuntime, operator: Operator, workspace_id: Key, body: QuotasRequest
) -> WorkspaceUseView:
    """Set the quotas that are named, from the next call on and in every server process."""
    changed = await runtime.quotas.change(WorkspaceId(workspace_id), body.wanted(), by=operator)
    return WorkspaceUseView.model_validate(changed)


@router.post("/{workspace_id}/suspend")
async def suspend_workspace(
    runtime: TheRuntime, operator: Operator, workspace_id: Key, body: WorkspaceReasonRequest
) -> WorkspaceView:
    """No call of the workspace is admitted any more, and its sandboxes stop. What is there can be read."""
    changed = await runtime.workspaces.suspend(WorkspaceId(workspace_id), reason=body.reason, by=operator)
    return WorkspaceView.model_validate(changed)


@router.post("/{workspace_id}/resume")
async def resume_workspace(
    runtime: TheRuntime, operator: Operator, workspace_id: Key, body: WorkspaceReasonRequest
) -> WorkspaceView:
    """End a suspension."""
    changed = await runtime.workspaces.resume(WorkspaceId(workspace_id), reason=body.reason, by=operator)
    return WorkspaceView.model_validate(changed)


def _theirs(person: PersonPrincipal, workspace: int) -> WorkspaceId:
    if workspace != person.workspace and person.person.role is not Role.OPERATOR:
        raise NotFoundError(f"workspace {workspace} does not exist")
    return WorkspaceId(workspace)
