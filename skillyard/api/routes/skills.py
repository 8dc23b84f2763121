"""Skills of the caller's workspace: install, list, inspect, swap, remove."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from skillyard.api.auth import Admin, Anyone
from skillyard.api.paging import Cursor, PageSize, key_of, page_of
from skillyard.api.schemas.skills import (
    ActivateRequest,
    InstallationView,
    RollbackRequest,
    SkillSummaryView,
    SwapView,
    VersionView,
)
from skillyard.api.schemas.values import Page
from skillyard.api.state import TheMarketplace, TheRuntime
from skillyard.api.uploads import UPLOAD_BODY, FromRemote, submission
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.marketplace import Marketplace
from skillyard.runtime.values import SkillRef

router = APIRouter(prefix="/v1/skills", tags=["skills"])

Part = Annotated[str, Path(min_length=1, max_length=64)]
Version = Annotated[str, Path(min_length=1, max_length=128)]
Relock = Annotated[bool, Query(description="Resolve anew, also where the same packages are declared.")]
Force = Annotated[bool, Query(description="Also where agents are pinned to it; their pins end.")]


@router.get("")
async def list_skills(
    runtime: TheRuntime, principal: Anyone, cursor: Cursor = None, limit: PageSize = 100
) -> Page[SkillSummaryView]:
    """Installed skills with their versions, in the order they were first installed."""
    found = await runtime.skills(principal.workspace, after=key_of(cursor), limit=limit + 1)
    return page_of(found, limit, SkillSummaryView.model_validate)


@router.post("", status_code=201, openapi_extra=UPLOAD_BODY)
async def install(
    request: Request, response: Response, runtime: TheRuntime, market: TheMarketplace, admin: Admin
) -> InstallationView:
    """Install a skill that is not installed yet: parse, resolve, scan, store. Answers 200 if this very version and
    content was installed before."""
    async with submission(request, runtime.settings, remote=_remote(market, admin.workspace)) as wanted:
        installation = await runtime.install(
            wanted.source,
            workspace=admin.workspace,
            publisher=wanted.publisher,
            actor=admin,
            mode=wanted.mode,
        )
    response.status_code = 201 if installation.created else 200
    return InstallationView.model_validate(installation)


@router.post("/upgrade", openapi_extra=UPLOAD_BODY)
async def upgrade(
    request: Request, runtime: TheRuntime, market: TheMarketplace, admin: Admin, relock: Relock = False
) -> SwapView:
    """Install another version of an installed skill, start it beside the old one, check it, move the pointer.

    It keeps the lock of the active version where both declare the same packages."""
    async with submission(request, runtime.settings, remote=_remote(market, admin.workspace)) as wanted:
        swap = await runtime.upgrade(
            wanted.source,
            workspace=admin.workspace,
            publisher=wanted.publisher,
            actor=admin,
            mode=wanted.mode,
            relock=relock,
        )
    return SwapView.model_validate(swap)


@router.get("/{publisher}/{name}")
async def inspect_active(runtime: TheRuntime, principal: Anyone, publisher: Part, name: Part) -> VersionView:
    """The version that the skill's pointer names, with its lock and report."""
    found = await runtime.version(principal.workspace, SkillRef(publisher, name))
    return VersionView.model_validate(found)


@router.get("/{publisher}/{name}/versions/{version}")
async def inspect_version(
    runtime: TheRuntime, principal: Anyone, publisher: Part, name: Part, version: Version
) -> VersionView:
    """One installed version, with its lock and report."""
    found = await runtime.version(principal.workspace, SkillRef(publisher, name, version))
    return VersionView.model_validate(found)


@router.post("/{publisher}/{name}/activate")
async def activate(runtime: TheRuntime, admin: Admin, publisher: Part, name: Part, body: ActivateRequest) -> SwapView:
    """Move the pointer to another installed version, with the same checks as an upgrade."""
    ref = SkillRef(publisher, name, body.version)
    return SwapView.model_validate(await runtime.activate(ref, workspace=admin.workspace, actor=admin))


@router.post("/{publisher}/{name}/rollback")
async def rollback(
    runtime: TheRuntime, admin: Admin, publisher: Part, name: Part, body: RollbackRequest | None = None
) -> SwapView:
    """Move the pointer back to the version that was active before, or to the one named."""
    ref = SkillRef(publisher, name, body.version if body else None)
    return SwapView.model_validate(await runtime.rollback(ref, workspace=admin.workspace, actor=admin))


@router.delete("/{publisher}/{name}", status_code=204)
async def remove_skill(runtime: TheRuntime, admin: Admin, publisher: Part, name: Part, force: Force = False) -> None:
    """Remove a skill with all its versions; their calls end first."""
    await runtime.uninstall(SkillRef(publisher, name), workspace=admin.workspace, actor=admin, force=force)


@router.delete("/{publisher}/{name}/versions/{version}", status_code=204)
async def remove_version(
    runtime: TheRuntime, admin: Admin, *, publisher: Part, name: Part, version: Version, force: Force = False
) -> None:
    """Remove one version; its calls end first."""
    ref = SkillRef(publisher, name, version)
    await runtime.uninstall(ref, workspace=admin.workspace, actor=admin, force=force)


def _remote(market: Marketplace, workspace: WorkspaceId) -> FromRemote:
    return lambda address: market.follower.source(workspace, address)
