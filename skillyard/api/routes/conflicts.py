"""Conflicts of the caller's workspace with its remotes: what both changed, and deciding it."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Query

from skillyard.api.auth import Admin
from skillyard.api.paging import Cursor, PageSize, key_of, page_of
from skillyard.api.schemas.conflicts import (
    ConflictDetailView,
    ConflictView,
    PlaceView,
    ResolvedView,
    ResolveManyRequest,
    ResolveRequest,
)
from skillyard.api.schemas.values import MAX_KEY, Page
from skillyard.api.state import TheMarketplace
from skillyard.marketplace_sync.conflicts.difference import places
from skillyard.marketplace_sync.conflicts.values import Conflict, ConflictId, ConflictState

router = APIRouter(prefix="/v1/admin/sync/conflicts", tags=["sync"])

Id = Annotated[int, Path(ge=1, le=MAX_KEY)]
State = Annotated[ConflictState | None, Query(description="Only those that are open, or resolved.")]
NamedRemote = Annotated[str | None, Query(max_length=64, description="With this remote alone.")]


@router.get("")
async def list_conflicts(
    *,
    market: TheMarketplace,
    admin: Admin,
    state: State = None,
    remote: NamedRemote = None,
    cursor: Cursor = None,
    limit: PageSize = 100,
) -> Page[ConflictView]:
    """Conflicts in the order they were found, those that were settled by themselves too."""
    found = await market.conflicts.list(
        admin.workspace, state=state, remote=remote, after=key_of(cursor), limit=limit + 1
    )
    return page_of(found, limit, _view)


@router.post("/resolve")
async def resolve_conflicts(market: TheMarketplace, admin: Admin, body: ResolveManyRequest) -> ResolvedView:
    """Settle many by one strategy: all of them, or none. 409 where a remote has moved on since; look again then."""
    resolved = await market.conflicts.resolve(
        tuple(map(ConflictId, body.ids)), by=admin, successors=market.uploads.collisions, strategy=body.strategy
    )
    return ResolvedView(resolved=tuple(map(_view, resolved)))


@router.get("/{conflict_id}")
async def get_conflict(market: TheMarketplace, admin: Admin, conflict_id: Id) -> ConflictDetailView:
    """One conflict with all sides, and place by place who changed what."""
    return _detail(await market.conflicts.get(admin.workspace, ConflictId(conflict_id)))


@router.post("/{conflict_id}/resolve")
async def resolve_conflict(
    market: TheMarketplace, admin: Admin, conflict_id: Id, body: ResolveRequest
) -> ConflictDetailView:
    """Settle one by a strategy, or by saying what the skill's document is to be."""
    (resolved,) = await market.conflicts.resolve(
        [ConflictId(conflict_id)],
        by=admin,
        successors=market.uploads.collisions,
        strategy=body.strategy,
        document=body.document,
    )
    return _detail(resolved)


def _facts(one: Conflict) -> dict[str, object]:
    return {
        "id": one.id,
        "remote": one.remote_name,
        "key": one.key,
        "kind": one.kind,
        "severity": one.severity,
        "state": one.state,
        "strategy": one.strategy,
        "resolved_by": one.resolved_by,
        "detected_at": one.detected_at,
        "resolved_at": one.resolved_at,
    }


def _view(one: Conflict) -> ConflictView:
    return ConflictView.model_validate(_facts(one))


def _detail(one: Conflict) -> ConflictDetailView:
    sides = {
        "base": None if one.base is None else orjson.loads(one.base),
        "local": orjson.loads(one.local),
        "theirs": orjson.loads(one.theirs),
        "result": None if one.result is None else orjson.loads(one.result),
    }
    found = tuple(PlaceView.model_validate(place) for place in places(one.base, one.local, one.theirs))
    return ConflictDetailView.model_validate(
        {**_facts(one), **sides, "remote_rev": one.remote_rev, "upload": one.upload, "places": found}
    )
