"""Approval requests of the caller's workspace: what was held, and what a second person made of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from skillyard.api.auth import Admin, Anyone, AnyPerson
from skillyard.api.paging import Cursor, PageSize, cut, key_of
from skillyard.api.schemas.packages import ApprovalView, ApproveRequest, DenyRequest, RevokeRequest
from skillyard.api.schemas.values import MAX_KEY, Page
from skillyard.api.state import TheRuntime
from skillyard.errors import NotFoundError
from skillyard.governance import approvals
from skillyard.governance.decision import ApprovalState, Maturity
from skillyard.governance.identity import AgentPrincipal
from skillyard.ids import ApprovalId

router = APIRouter(prefix="/approvals", tags=["approvals"])

Key = Annotated[int, Path(ge=1, le=MAX_KEY)]


@router.get("")
async def list_approvals(
    runtime: TheRuntime,
    person: AnyPerson,
    cursor: Cursor = None,
    limit: PageSize = 100,
    state: ApprovalState | None = None,
) -> Page[ApprovalView]:
    """Requests, the longest waiting first."""
    async with runtime.database.reading() as session:
        found = await approvals.list_requests(
            session, person.workspace, state=state, after=key_of(cursor), limit=limit + 1
        )
    page, last = cut(found, limit)
    items = tuple(ApprovalView.model_validate(item) for item in page)
    return Page(items=items, next_cursor=None if last is None else str(last.id))


@router.get("/{approval_id}")
async def get_approval(runtime: TheRuntime, principal: Anyone, approval_id: Key) -> ApprovalView:
    """One request. An agent sees what it asked for itself alone, so that it can wait for the decision."""
    async with runtime.database.reading() as session:
        found = await approvals.get(session, principal.workspace, ApprovalId(approval_id))
    if isinstance(principal, AgentPrincipal) and found.requested_by_agent != principal.agent.id:
        raise NotFoundError(f"there is no approval request {approval_id}")
    return ApprovalView.model_validate(found)


@router.post("/{approval_id}/approve")
async def approve(
    runtime: TheRuntime, admin: Admin, approval_id: Key, body: ApproveRequest | None = None
) -> ApprovalView:
    """Approve the whole lock at once. Needs a second person: not who asked, nor the owner of the agent that asked."""
    wanted = body or ApproveRequest()
    approved = await runtime.approve(
        ApprovalId(approval_id),
        person=admin,
        min_maturity=None if wanted.min_maturity is None else Maturity[wanted.min_maturity],
        comment=wanted.comment,
        expires_at=wanted.expires_at,
    )
    return ApprovalView.model_validate(approved)


@router.post("/{approval_id}/deny")
async def deny(runtime: TheRuntime, admin: Admin, approval_id: Key, body: DenyRequest | None = None) -> ApprovalView:
    """Say no."""
    comment = body.comment if body else None
    return ApprovalView.model_validate(await runtime.deny(ApprovalId(approval_id), person=admin, comment=comment))


@router.post("/{approval_id}/revoke")
async def revoke(runtime: TheRuntime, admin: Admin, approval_id: Key, body: RevokeRequest) -> ApprovalView:
    """Take an approval back: exactly the rules it made end."""
    revoked = await runtime.revoke_approval(ApprovalId(approval_id), person=admin, reason=body.reason)
    return ApprovalView.model_validate(revoked)
