"""Waivers of the caller's workspace: findings that a person lets be, for a reason and until a day."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from skillyard.api.auth import Admin, AnyPerson
from skillyard.api.paging import Cursor, PageSize, key_of, page_of
from skillyard.api.schemas.values import MAX_KEY, Page
from skillyard.api.schemas.waivers import AddWaiverRequest, WaiverView
from skillyard.api.state import TheRuntime
from skillyard.governance.waivers.waiver import draft_waiver
from skillyard.ids import WaiverId
from skillyard.times import utcnow

router = APIRouter(prefix="/v1/waivers", tags=["waivers"])

Ended = Annotated[bool, Query(description="Also those that ran out or were revoked.")]


@router.get("")
async def list_waivers(
    runtime: TheRuntime, person: AnyPerson, ended: Ended = False, cursor: Cursor = None, limit: PageSize = 100
) -> Page[WaiverView]:
    """Waivers that count, in the order they were given."""
    found = await runtime.waivers.list(person.workspace, after=key_of(cursor), limit=limit + 1, ended=ended)
    return page_of(found, limit, WaiverView.model_validate)


@router.post("", status_code=201)
async def add_waiver(runtime: TheRuntime, admin: Admin, body: AddWaiverRequest) -> WaiverView:
    """Let a finding be until a day. Never a record of a malicious package, and never what a scan could not tell."""
    draft = draft_waiver(
        ecosystem=body.ecosystem,
        name=body.name,
        version=body.version,
        advisory=body.advisory,
        rule=body.rule,
        file_sha256=body.file_sha256,
        reason=body.reason,
        expires_at=body.expires_at,
        now=utcnow(),
    )
    return WaiverView.model_validate(await runtime.waivers.add(draft, by=admin, owner=body.owner))


@router.delete("/{waiver_id}", status_code=204)
async def revoke_waiver(runtime: TheRuntime, admin: Admin, waiver_id: Annotated[int, Path(ge=1, le=MAX_KEY)]) -> None:
    """End a waiver. What it let run and nothing else does is denied and stopped."""
    await runtime.waivers.revoke(WaiverId(waiver_id), by=admin)
