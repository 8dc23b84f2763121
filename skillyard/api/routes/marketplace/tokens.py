"""Tokens that other instances follow, publish and rate with."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path

from skillyard.api.auth import AdminPerson, Instance
from skillyard.api.paging import Cursor, PageSize, key_of, page_of
from skillyard.api.schemas.marketplace import (
    InstanceTokenView,
    IssuedInstanceTokenView,
    IssueInstanceTokenRequest,
    RotateInstanceTokenRequest,
)
from skillyard.api.schemas.values import MAX_KEY, Page
from skillyard.api.state import TheMarketplace
from skillyard.governance.administrators import Administrator
from skillyard.marketplace_sync.hub.values import HubTokenId, InstanceToken

router = APIRouter(prefix="/v1/marketplace", tags=["marketplace"])

TokenKey = Annotated[int, Path(ge=1, le=MAX_KEY)]


@router.get("/tokens")
async def list_instance_tokens(
    market: TheMarketplace, admin: AdminPerson, cursor: Cursor = None, limit: PageSize = 100
) -> Page[InstanceTokenView]:
    """Tokens of other instances, also those that ended, in the order they were issued."""
    found = await market.hub.tokens.page(admin.workspace, after=key_of(cursor), limit=limit + 1)
    return page_of(found, limit, InstanceTokenView.model_validate)


@router.post("/tokens", status_code=201)
async def issue_instance_token(
    market: TheMarketplace, admin: AdminPerson, body: IssueInstanceTokenRequest
) -> IssuedInstanceTokenView:
    """A token for another instance, shown this once."""
    by = Administrator.of(admin)
    return _issued(*await market.hub.tokens.issue(body.name, body.scopes, expires_at=body.expires_at, by=by))


@router.post("/tokens/{token_id}/rotate", status_code=201)
async def rotate_instance_token(
    market: TheMarketplace, admin: AdminPerson, token_id: TokenKey, body: RotateInstanceTokenRequest
) -> IssuedInstanceTokenView:
    """Another token in the place of one; the old one counts for a while longer."""
    rotated = await market.hub.tokens.rotate(
        HubTokenId(token_id),
        expires_at=body.expires_at,
        grace=timedelta(seconds=body.grace_seconds),
        by=Administrator.of(admin),
    )
    return _issued(*rotated)


@router.post("/token/rotate", status_code=201)
async def rotate_own_token(
    market: TheMarketplace, instance: Instance, body: RotateInstanceTokenRequest
) -> IssuedInstanceTokenView:
    """The same by the instance that holds the token which this request carries."""
    grace = timedelta(seconds=body.grace_seconds)
    return _issued(*await market.hub.tokens.rotate_own(instance, expires_at=body.expires_at, grace=grace))


@router.delete("/tokens/{token_id}", status_code=204)
async def revoke_instance_token(market: TheMarketplace, admin: AdminPerson, token_id: TokenKey) -> None:
    """End a token now."""
    await market.hub.tokens.revoke(HubTokenId(token_id), by=Administrator.of(admin))


def _issued(token: InstanceToken, text: str) -> IssuedInstanceTokenView:
    return IssuedInstanceTokenView(id=token.id, token=text, expires_at=token.expires_at)
