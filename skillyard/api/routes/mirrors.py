"""Mirrors of the remotes of the caller's workspace: their freshness, what was set aside, believed signers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from skillyard.api.auth import Admin, AnyPerson
from skillyard.api.paging import Cursor, PageSize, key_of, page_of
from skillyard.api.schemas.mirrors import AcceptSignerRequest, MirrorView, SetAsideView, SignerView
from skillyard.api.schemas.values import Page
from skillyard.api.state import TheMarketplace

router = APIRouter(prefix="/v1/remotes", tags=["remotes"])

Name = Annotated[str, Path(min_length=1, max_length=64)]


@router.get("/{name}/mirror")
async def show_mirror(market: TheMarketplace, person: AnyPerson, name: Name) -> MirrorView:
    """What is known here of a remote's catalogue, and as of when."""
    return MirrorView.model_validate(await market.follower.mirror(person.workspace, name))


@router.get("/{name}/set-aside")
async def list_set_aside(
    market: TheMarketplace, person: AnyPerson, name: Name, cursor: Cursor = None, limit: PageSize = 100
) -> Page[SetAsideView]:
    """What came from a remote and could not be taken, and why; it is asked for again with every run."""
    found = await market.follower.set_aside(person.workspace, name, after=key_of(cursor), limit=limit + 1)
    return page_of(found, limit, SetAsideView.model_validate)


@router.get("/{name}/signers")
async def list_signers(
    market: TheMarketplace, person: AnyPerson, name: Name, cursor: Cursor = None, limit: PageSize = 100
) -> Page[SignerView]:
    """The keys that publishers of a remote have to sign with here."""
    found = await market.follower.signers.list(person.workspace, name, after=cursor or "", limit=limit + 1)
    return page_of(found, limit, SignerView.model_validate, key=lambda one: one.publisher)


@router.post("/{name}/signers/{publisher}/accept")
async def accept_signer(
    market: TheMarketplace, admin: Admin, name: Name, publisher: Name, body: AcceptSignerRequest
) -> SignerView:
    """Believe another key of a publisher from now on: the key is named in full, so that nobody accepts one unseen."""
    accepted = await market.follower.signers.accept(admin.workspace, name, publisher, body.key, by=admin)
    return SignerView.model_validate(accepted)
