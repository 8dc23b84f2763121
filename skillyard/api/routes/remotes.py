"""Remotes of the caller's workspace: marketplaces that it follows."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from skillyard.api.auth import Admin, AnyPerson
from skillyard.api.schemas.remotes import (
    AcceptKeyRequest,
    AddRemoteRequest,
    ChangeRemoteRequest,
    FiltersBody,
    RemoteView,
    RotateTokenRequest,
)
from skillyard.api.schemas.values import Page
from skillyard.api.state import TheMarketplace
from skillyard.marketplace_sync.remotes.remote import Filters
from skillyard.marketplace_sync.remotes.remotes import RemoteDraft, RemoteEdit

router = APIRouter(prefix="/v1/remotes", tags=["remotes"])

Name = Annotated[str, Path(min_length=1, max_length=64)]


@router.get("")
async def list_remotes(market: TheMarketplace, person: AnyPerson) -> Page[RemoteView]:
    """Every remote by name, without its token. All of them: a workspace has 50 at most."""
    found = await market.remotes.list(person.workspace)
    return Page(items=tuple(RemoteView.model_validate(one) for one in found), next_cursor=None)


@router.post("", status_code=201)
async def add_remote(market: TheMarketplace, admin: Admin, body: AddRemoteRequest) -> RemoteView:
    """Follow a marketplace from now on."""
    draft = RemoteDraft(
        name=body.name,
        url=body.url,
        token=body.token,
        kind=body.kind,
        filters=_filters(body.filters),
        strategy=body.strategy,
        live=body.live,
        public_key=body.public_key,
    )
    return RemoteView.model_validate(await market.remotes.add(draft, by=admin))


@router.get("/{name}")
async def get_remote(market: TheMarketplace, person: AnyPerson, name: Name) -> RemoteView:
    """How one stands."""
    return RemoteView.model_validate(await market.remotes.get(person.workspace, name))


@router.put("/{name}")
async def change_remote(market: TheMarketplace, admin: Admin, name: Name, body: ChangeRemoteRequest) -> RemoteView:
    """Another address, other filters, another strategy, a live channel or none; what is left out stays."""
    filters = None if body.filters is None else _filters(body.filters)
    edit = RemoteEdit(url=body.url, filters=filters, strategy=body.strategy, live=body.live)
    return RemoteView.model_validate(await market.remotes.change(admin.workspace, name, edit, by=admin))


@router.delete("/{name}", status_code=204)
async def remove_remote(market: TheMarketplace, admin: Admin, name: Name) -> None:
    """Forget a remote, its mirror and what waits to go up to it. What was installed from it stays."""
    await market.remotes.remove(admin.workspace, name, by=admin)


@router.post("/{name}/enable")
async def enable_remote(market: TheMarketplace, admin: Admin, name: Name) -> RemoteView:
    """Follow it again. One that was distrusted begins with a snapshot, under the key that is pinned."""
    return RemoteView.model_validate(await market.remotes.enable(admin.workspace, name, by=admin))


@router.post("/{name}/disable")
async def disable_remote(market: TheMarketplace, admin: Admin, name: Name) -> RemoteView:
    """Ask nothing of it until it is enabled again. The mirror stays."""
    return RemoteView.model_validate(await market.remotes.disable(admin.workspace, name, by=admin))


@router.post("/{name}/accept-key")
async def accept_key(market: TheMarketplace, admin: Admin, name: Name, body: AcceptKeyRequest) -> RemoteView:
    """Believe another key from now on, named in full."""
    return RemoteView.model_validate(await market.remotes.accept_key(admin.workspace, name, body.key, by=admin))


@router.post("/{name}/token")
async def rotate_token(market: TheMarketplace, admin: Admin, name: Name, body: RotateTokenRequest) -> RemoteView:
    """Show it another token from now on. The new one is tried first; one that is refused changes nothing."""
    return RemoteView.model_validate(await market.remotes.rotate_token(admin.workspace, name, body.token, by=admin))


def _filters(body: FiltersBody) -> Filters:
    return Filters(body.publishers, body.categories, body.kinds)
