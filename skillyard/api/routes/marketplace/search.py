"""Searching the own catalogue or the mirror of a remote, and everything that either says of one skill."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from skillyard.api.auth import MarketReader
from skillyard.api.paging import PageSize, page_of
from skillyard.api.problems import ForbiddenError
from skillyard.api.schemas.marketplace_search import (
    DeprecationView,
    FacetValueView,
    FacetView,
    ListingView,
    MirrorView,
    RatingView,
    SearchView,
    SkillDetailView,
    StandingView,
    VersionView,
)
from skillyard.api.schemas.values import Page
from skillyard.api.state import TheMarketplace
from skillyard.governance.identity import AgentPrincipal, Principal
from skillyard.marketplace_sync.catalogue.entry import CatalogueId
from skillyard.marketplace_sync.catalogue.standing import Standing
from skillyard.marketplace_sync.hub.values import InstancePrincipal
from skillyard.marketplace_sync.marketplace import Marketplace
from skillyard.marketplace_sync.search.detail import RatingSaid, VersionSaid
from skillyard.marketplace_sync.search.query import MAX_LIMIT, MAX_TEXT, Listing, Sort
from skillyard.marketplace_sync.search.query import Query as Search

router = APIRouter(prefix="/v1/marketplace/skills", tags=["marketplace"])

Text = Annotated[str, Query(max_length=MAX_TEXT, description="Words to look for; without any, everything.")]
Label = Annotated[str | None, Query(max_length=64)]
Stars = Annotated[int | None, Query(ge=1, le=5, description="The least average rating.")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Most skills on a page.")]
Place = Annotated[str | None, Query(max_length=1024, description="`next_cursor` of the page before.")]
RemoteName = Annotated[
    str | None, Query(max_length=64, description="Search the mirror of this remote of the workspace instead.")
]
Name = Annotated[str, Path(max_length=64, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
After = Annotated[str | None, Query(max_length=300, description="`next_cursor` of the page before.")]


@router.get("")
async def search_skills(
    market: TheMarketplace,
    reader: MarketReader,
    *,
    q: Text = "",
    category: Label = None,
    topic: Label = None,
    kind: Label = None,
    ecosystem: Label = None,
    verdict: Label = None,
    publisher: Label = None,
    stars: Stars = None,
    sort: Sort = Sort.RELEVANCE,
    facets: bool = True,
    cursor: Place = None,
    limit: Limit = 20,
    remote: RemoteName = None,
) -> SearchView:
    """Skills by words, facets and order: exact names first, then names that begin so, then by relevance."""
    catalogue, mirror = await _catalogue(market, reader, remote)
    query = Search(
        text=q,
        category=category,
        topic=topic,
        kind=kind,
        ecosystem=ecosystem,
        verdict=verdict,
        publisher=publisher,
        stars=stars,
        sort=sort,
        cursor=cursor,
        limit=limit,
        facets=facets,
    )
    page = await market.search.search([catalogue], query)
    return SearchView(
        items=tuple(map(_listing, page.items)),
        next_cursor=page.next_cursor,
        total=page.total,
        facets=tuple(
            FacetView(name=one.name, values=tuple(FacetValueView(value=value, count=n) for value, n in one.values))
            for one in page.facets
        ),
        cut=page.cut,
        similar=page.similar,
        mirror=mirror,
    )


@router.get("/{publisher}/{name}")
async def get_skill(
    market: TheMarketplace, reader: MarketReader, publisher: Name, name: Name, *, remote: RemoteName = None
) -> SkillDetailView:
    """What a catalogue says of one skill, also of one that search does not show, with the reason."""
    catalogue, mirror = await _catalogue(market, reader, remote)
    said, latest = await market.search.said(catalogue, f"{publisher}/{name}")
    listing = await market.search.listing(catalogue, said.key)
    document = said.document
    return SkillDetailView(
        skill=said.key,
        rev=said.rev,
        description=document.description,
        license=document.license,
        topics=document.topics,
        categories=document.categories,
        channels=document.channels,
        deprecated=None if document.deprecated is None else DeprecationView.model_validate(document.deprecated),
        body=document.body,
        updated_at=document.updated_at,
        moderation=_standing(said.standing),
        listing=None if listing is None else _listing(listing),
        latest=None if latest is None else _version(latest),
        mirror=mirror,
    )


@router.get("/{publisher}/{name}/versions")
async def list_skill_versions(
    market: TheMarketplace,
    reader: MarketReader,
    publisher: Name,
    name: Name,
    *,
    cursor: After = None,
    limit: PageSize = 100,
    remote: RemoteName = None,
) -> Page[VersionView]:
    """Its versions by the text of their number, with what moderators said of each."""
    catalogue, _ = await _catalogue(market, reader, remote)
    found = await market.search.versions(catalogue, f"{publisher}/{name}", after=cursor or "", limit=limit + 1)
    return page_of(found, limit, _version)


@router.get("/{publisher}/{name}/ratings")
async def list_skill_ratings(
    market: TheMarketplace,
    reader: MarketReader,
    publisher: Name,
    name: Name,
    *,
    cursor: After = None,
    limit: PageSize = 100,
    remote: RemoteName = None,
) -> Page[RatingView]:
    """Its ratings and reviews, by who gave them."""
    catalogue, _ = await _catalogue(market, reader, remote)
    found = await market.search.ratings(catalogue, f"{publisher}/{name}", after=cursor or "", limit=limit + 1)
    return page_of(found, limit, _rating)


async def _catalogue(
    market: Marketplace, reader: Principal | InstancePrincipal, remote: str | None
) -> tuple[CatalogueId, MirrorView | None]:
    if remote is None:
        return market.hub.catalogue, None
    if isinstance(reader, InstancePrincipal):
        raise ForbiddenError("mirrors belong to a workspace; an instance's token reads the own catalogue alone")
    workspace = reader.agent.workspace if isinstance(reader, AgentPrincipal) else reader.person.workspace
    found = await market.remotes.get(workspace, remote)
    return found.catalogue, MirrorView(
        remote=found.name,
        state=found.state.value,
        as_of=found.succeeded_at,
        tried_at=found.tried_at,
        error=found.error,
    )


def _listing(one: Listing) -> ListingView:
    return ListingView(
        skill=one.key,
        publisher=one.publisher,
        name=one.name,
        description=one.description,
        version=one.version,
        kind=one.kind,
        verdict=one.verdict,
        deprecated=one.deprecated,
        rating=one.rating,
        ratings=one.ratings,
        installs=one.installs,
        calls=one.calls,
        updated_at=one.updated_at,
        categories=one.labelled("category"),
        topics=one.labelled("topic"),
        ecosystems=one.labelled("ecosystem"),
    )


def _standing(one: Standing) -> StandingView:
    return StandingView(state=one.state.value, stops=one.stop is not None, reason=one.reason)


def _version(one: VersionSaid) -> VersionView:
    said = one.document
    return VersionView(
        version=one.id,
        bundle=said.bundle,
        bundle_bytes=said.bundle_bytes,
        files=said.files,
        lock=said.lock,
        kind=said.kind.value,
        ecosystems=tuple(ecosystem.value for ecosystem in said.ecosystems),
        packages=said.packages_in_all,
        verdict=said.verdict,
        scanned_at=said.scanned_at,
        published_at=said.published_at,
        signed=said.signature is not None,
        moderation=_standing(one.standing),
    )


def _rating(one: RatingSaid) -> RatingView:
    origin, _, rater = one.id.partition("/")
    said = one.document
    return RatingView(origin=origin, rater=rater, author=said.author, stars=said.stars, review=said.review, at=said.at)
