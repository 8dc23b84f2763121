"""Approval requests of the caller's workspace: what was held, and what a second person made of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from skillyard.api.approval_views import approval_view
from skillyard.api.auth import AdminPerson, Anyone, AnyPerson
from skillyard.api.paging import Cursor, PageSize, key_of, page_of
from skillyard.api.schemas.approvals import ApprovalView, ApproveRequest, DenyRequest, RevokeRequest
from skillyard.api.schemas.values import MAX_KEY, Page
from skillyard.api.state import TheRuntime
from skillyard.errors import NotFoundError
from skillyard.governance.decision import ApprovalState, Maturity
from skillyard.governance.identity import AgentPrincipal
from skillyard.ids import AgentId, ApprovalId
from skillyard.runtime.review import QueueFilter

router = APIRouter(prefix="/v1/approvals", tags=["approvals"])

Key = Annotated[int, Path(ge=1, le=MAX_KEY)]
_DECADE = 10 * 365 * 86_400

WantedState = Annotated[ApprovalState | None, Query(description="By the clock: `expired` is also what ran out.")]
WantedAgent = Annotated[int | None, Query(ge=1, le=MAX_KEY, description="Asked for by this agent.")]
WantedSkill = Annotated[
    str | None, Query(min_length=1, max_length=260, description="About this skill, or this version of it.")
]
WantedPackage = Annotated[
    str | None, Query(min_length=1, max_length=220, description="Asks for a package of this name; `npm:name` for npm.")
]
OlderThan = Annotated[float | None, Query(ge=0, le=_DECADE, description="Asked for at least this many seconds ago.")]


def _wanted(
    state: WantedState = None,
    agent: WantedAgent = None,
    skill: WantedSkill = None,
    package: WantedPackage = None,
    older_than: OlderThan = None,
) -> QueueFilter:
    return QueueFilter(
        state=state,
        agent=None if agent is None else AgentId(agent),
        skill=skill,
        package=package,
        older_than=None if older_than is None else timedelta(seconds=older_than),
    )


@router.get("")
async def list_approvals(
    runtime: TheRuntime,
    person: AnyPerson,
    wanted: Annotated[QueueFilter, Depends(_wanted)],
    cursor: Cursor = None,
    limit: PageSize = 100,
) -> Page[ApprovalView]:
    """Requests, the longest waiting first."""
    found = await runtime.reviewer.queue(person.workspace, wanted, after=key_of(cursor), limit=limit + 1)
    return page_of(found, limit, approval_view, key=lambda last: last.request.id)


@router.get("/{approval_id}")
async def get_approval(runtime: TheRuntime, principal: Anyone, approval_id: Key) -> ApprovalView:
    """One request. An agent sees what it asked for itself alone, so that it can wait for the decision."""
    found = await runtime.reviewer.one(principal.workspace, ApprovalId(approval_id))
    if isinstance(principal, AgentPrincipal) and found.request.requested_by_agent != principal.agent.id:
        raise NotFoundError(f"there is no approval request {approval_id}")
    return approval_view(found)


@router.post("/{approval_id}/approve")
async def approve(
    runtime: TheRuntime, admin: AdminPerson, approval_id: Key, body: ApproveRequest | None = None
) -> ApprovalView:
    """Approve the whole lock at once, or some of its packages. Needs a second person: not who asked, nor the owner of
    the agent that asked.

    The answer is what was approved: of some packages a request of its own, whose `split_from` goes on waiting.
    """
    wanted = body or ApproveRequest()
    approved = await runtime.approver.approve(
        ApprovalId(approval_id),
        person=admin,
        only=wanted.packages,
        min_maturity=None if wanted.min_maturity is None else Maturity[wanted.min_maturity],
        comment=wanted.comment,
        expires_at=wanted.expires_at,
    )
    return approval_view(await runtime.reviewer.one(admin.workspace, approved.id))


@router.post("/{approval_id}/deny")
async def deny(
    runtime: TheRuntime, admin: AdminPerson, approval_id: Key, body: DenyRequest | None = None
) -> ApprovalView:
    """Say no. The same question of the same agent has this answer for a while."""
    denied = await runtime.approver.deny(ApprovalId(approval_id), person=admin, comment=body.comment if body else None)
    return approval_view(await runtime.reviewer.one(admin.workspace, denied.id))


@router.post("/{approval_id}/revoke")
async def revoke(runtime: TheRuntime, admin: AdminPerson, approval_id: Key, body: RevokeRequest) -> ApprovalView:
    """Take an approval back: exactly the rules it made end."""
    revoked = await runtime.approver.revoke(ApprovalId(approval_id), person=admin, reason=body.reason)
    return approval_view(await runtime.reviewer.one(admin.workspace, revoked.id))
