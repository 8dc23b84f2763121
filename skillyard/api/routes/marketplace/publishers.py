"""Publishers and their keys, and the list of categories."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from skillyard.api.auth import Admin, AnyPerson, MarketReader, Operator
from skillyard.api.paging import Cursor, PageSize, page_of
from skillyard.api.schemas.marketplace import (
    AddKeyRequest,
    CategoryBody,
    CategoryView,
    NamespaceView,
    PublisherView,
    TakeNamespaceRequest,
)
from skillyard.api.schemas.values import Page
from skillyard.api.state import TheMarketplace
from skillyard.marketplace_sync.catalogue.documents import CategoryDocument, PublisherDocument, read_document
from skillyard.marketplace_sync.catalogue.entry import Entry

router = APIRouter(prefix="/v1/marketplace", tags=["marketplace"])

Part = Annotated[str, Path(min_length=1, max_length=64)]
Key = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]


@router.get("/publishers")
async def list_publishers(
    market: TheMarketplace, _reader: MarketReader, cursor: Cursor = None, limit: PageSize = 100
) -> Page[PublisherView]:
    """Publishers by name."""
    found = await market.hub.namespaces.page(after=cursor or "", limit=limit + 1)
    return page_of(found, limit, _publisher, key=lambda entry: entry.id.key)


@router.get("/namespaces")
async def list_namespaces(market: TheMarketplace, person: AnyPerson) -> tuple[NamespaceView, ...]:
    """The namespaces that your workspace publishes to."""
    return tuple(NamespaceView.model_validate(one) for one in await market.hub.namespaces.of(person.workspace))


@router.post("/publishers", status_code=201)
async def take_namespace(market: TheMarketplace, admin: Admin, body: TakeNamespaceRequest) -> NamespaceView:
    """Take a name for your workspace, first come, first served. One that looks like another is held for a moderator."""
    return NamespaceView.model_validate(await market.hub.namespaces.take(body.name, body.display_name, by=admin))


@router.post("/publishers/{publisher}/keys", status_code=201)
async def add_publisher_key(
    market: TheMarketplace, admin: Admin, publisher: Part, body: AddKeyRequest
) -> PublisherView:
    """From now on every version is signed by one of the publisher's keys."""
    document = await market.hub.namespaces.add_key(publisher, body.key, by=admin)
    return PublisherView(name=publisher, display_name=document.display_name, keys=document.keys)


@router.delete("/publishers/{publisher}/keys/{key}", status_code=204)
async def revoke_publisher_key(market: TheMarketplace, admin: Admin, publisher: Part, key: Key) -> None:
    """Signatures with this key are not taken any more."""
    await market.hub.namespaces.revoke_key(publisher, key, by=admin)


@router.get("/categories")
async def list_categories(
    market: TheMarketplace, _reader: MarketReader, cursor: Cursor = None, limit: PageSize = 100
) -> Page[CategoryView]:
    """Categories that skills may be in, by their short names."""
    found = await market.hub.categories.page(after=cursor or "", limit=limit + 1)
    return page_of(found, limit, _category, key=lambda entry: entry.id.key)


@router.put("/categories/{category}")
async def put_category(market: TheMarketplace, operator: Operator, category: Part, body: CategoryBody) -> CategoryView:
    """Add a category, or change its title and description."""
    document = await market.hub.categories.put(category, body.document, by=operator)
    return CategoryView(slug=category, title=document.title, description=document.description)


@router.delete("/categories/{category}", status_code=204)
async def remove_category(market: TheMarketplace, operator: Operator, category: Part) -> None:
    """Take a category off the list; 409 while a skill is in it."""
    await market.hub.categories.remove(category, by=operator)


def _publisher(entry: Entry) -> PublisherView:
    document = read_document(PublisherDocument, entry.document or "")
    return PublisherView(name=entry.id.key, display_name=document.display_name, keys=document.keys)


def _category(entry: Entry) -> CategoryView:
    document = read_document(CategoryDocument, entry.document or "")
    return CategoryView(slug=entry.id.key, title=document.title, description=document.description)
