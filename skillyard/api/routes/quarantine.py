"""Versions of the caller's workspace that are in quarantine, and letting one out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from skillyard.api.auth import Admin, AnyPerson
from skillyard.api.paging import Cursor, PageSize, key_of, page_of
from skillyard.api.schemas.quarantine import LiftRequest, QuarantinedView
from skillyard.api.schemas.values import Page
from skillyard.api.state import TheRuntime
from skillyard.runtime.values import SkillRef

router = APIRouter(prefix="/v1/quarantine", tags=["skills"])

Part = Annotated[str, Path(min_length=1, max_length=64)]
Version = Annotated[str, Path(min_length=1, max_length=128)]


@router.get("")
async def list_quarantined(
    runtime: TheRuntime, person: AnyPerson, cursor: Cursor = None, limit: PageSize = 100
) -> Page[QuarantinedView]:
    """Versions that nobody may call because of what became known of them, with their reports as they count now."""
    found = await runtime.quarantine.page(person.workspace, after=key_of(cursor), limit=limit + 1)
    return page_of(found, limit, QuarantinedView.model_validate)


@router.post("/{publisher}/{name}/versions/{version}/lift")
async def lift(
    runtime: TheRuntime, admin: Admin, *, publisher: Part, name: Part, version: Version, body: LiftRequest
) -> QuarantinedView:
    """Let a version be called again, as far as its packages are approved; its report must not block it any more."""
    ref = SkillRef(publisher, name, version)
    lifted = await runtime.quarantine.lift(ref, workspace=admin.workspace, by=admin, reason=body.reason)
    return QuarantinedView.model_validate(lifted)
