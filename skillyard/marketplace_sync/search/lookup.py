"""Reading the index: exact names first, then names that begin so, then by weight; or by a column.

Weighing costs by how many match, so beyond ``WEIGHED`` of them it is not done for all: what matches in its head (name,
publisher, topics, categories) comes before what matches in its text alone, and of each the first ``WEIGHED`` are
weighed, and their facets counted. Counting matches ends at ``COUNTED_UP_TO``; the page says so. A page of the whole
catalogue needs none of this: its counts are kept as it changes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    Row,
    Select,
    and_,
    cast,
    func,
    literal,
    select,
    text,
    tuple_,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute

from skillyard.database import Session
from skillyard.marketplace_sync.catalogue.entry import CatalogueId
from skillyard.marketplace_sync.search.listings import read_labels
from skillyard.marketplace_sync.search.matches import SIMILAR, Matches, matches, resembling
from skillyard.marketplace_sync.search.query import (
    COUNTED,
    Facet,
    Listing,
    Page,
    Place,
    Query,
    Sort,
    read_place,
    write_place,
)
from skillyard.marketplace_sync.search.store import given_ids, some_ids
from skillyard.marketplace_sync.search.tables import ListingFacetRow, ListingRow
from skillyard.marketplace_sync.search.words import as_name, folded, similarity, trigrams

WEIGHED = 300
COUNTED_UP_TO = 10_000

_FEW = 3
"""With fewer matches, names that resemble the text are added."""
_WALK = 3000
"""With more matches, the column's index is walked and each row asked; with fewer they are found and then sorted."""
_FACET_VALUES = 50
_PUBLISHERS = 20

_COUNTED = frozenset(COUNTED)
_KEY = re.compile(r"[a-z0-9-]{1,64}/[a-z0-9-]{1,64}")
_EXACT, _BEGINS, _HEAD, _TEXT, _RESEMBLES = range(5)


@dataclass(slots=True)
class _Found:
    """Matches of a text by listing number, each with its place: the group it belongs to, and its weight in there."""

    places: dict[int, tuple[int, float]]
    cut: bool = False
    similar: bool = False


async def search(session: Session, catalogues: Sequence[CatalogueId], query: Query) -> Page:
    """Raises ``CursorError``."""
    place = read_place(query, catalogues)
    if session.get_bind().dialect.name == "postgresql":
        # A plan that is good for any word is good for none: the rare and the frequent want different ones.
        await session.execute(_PLAN_EACH)
    if query.order is Sort.RELEVANCE:
        return await _by_relevance(session, catalogues, query, place)
    return await _by_column(session, catalogues, query, place)


async def one(session: Session, catalogue: CatalogueId, key: str) -> Listing | None:
    """One that search shows."""
    row = (await session.execute(_LISTED.where(ListingRow.catalogue_id == catalogue, ListingRow.key == key))).first()
    return None if row is None else _listing(row)


async def by_key(session: Session, catalogue: CatalogueId, *, after: str, limit: int) -> tuple[Listing, ...]:
    query = _LISTED.where(ListingRow.catalogue_id == catalogue, ListingRow.key > after)
    return tuple(_listing(row) for row in await session.execute(query.order_by(ListingRow.key).limit(limit)))


async def _by_relevance(session: Session, catalogues: Sequence[CatalogueId], query: Query, place: Place | None) -> Page:
    found = _Found({})
    asked = [matches(session, one, query) for one in catalogues]
    for catalogue, match in zip(catalogues, asked, strict=True):
        await _find(session, catalogue, match, query, found)
    order = sorted((*where, id_) for id_, where in found.places.items())
    if place is not None:
        # Weights move a little as the catalogue changes, so a page goes on behind where its last item stands now.
        group, weight = found.places.get(place.id, (place.key[0], place.key[1]))
        order = [one for one in order if one > (group, weight, place.id)]
    page, more = order[: query.limit], len(order) > query.limit
    items = {item.id: item for item in await _with_ids(session, [id_ for *_, id_ in page])}
    total = len(found.places)
    if found.cut:
        total = max(total, sum([await _number(session, one) for one in asked]))
    last = page[-1] if more else None
    return Page(
        items=tuple(items[id_] for *_, id_ in page if id_ in items),
        next_cursor=None if last is None else write_place(Place(last[:2], last[2]), query, catalogues),
        total=min(total, COUNTED_UP_TO),
        more_in_all=total > COUNTED_UP_TO,
        facets=await _facets_of(session, list(found.places)) if query.facets else (),
        counted=total if not query.facets else len(found.places),
        cut=found.cut,
        similar=found.similar,
    )


async def _find(session: Session, catalogue: CatalogueId, match: Matches, query: Query, found: _Found) -> None:
    """The matches of one catalogue, each in the first group that it belongs to."""
    name = as_name(query.text)
    narrowed = [ListingRow.labels.contains(f"|{facet}:{value}|", autoescape=True) for facet, value in query.labels]
    named = (ListingRow.catalogue_id == catalogue, ListingRow.listed.is_(True), *narrowed)
    begins = and_(ListingRow.name > name, ListingRow.name < f"{name}\x7f")
    length = cast(func.length(ListingRow.name), Float)
    # One statement, for each costs a journey to the database; and no alternatives in a condition, which SQLite answers
    # by reading everything.
    whole = [ListingRow.name == name] if name else []
    whole += [ListingRow.key == key] if _KEY.fullmatch(key := folded(query.text.strip())) else []
    exact = (select(ListingRow.id, literal(0.0).label("weight")).where(one, *named).limit(WEIGHED) for one in whole)
    parts = [_group(_EXACT, one) for one in exact]
    if name:
        named_so = select(ListingRow.id, length.label("weight")).where(begins, *named)
        parts.append(_group(_BEGINS, named_so.order_by(ListingRow.name).limit(WEIGHED)))
    if match.words:
        parts.append(_group(_HEAD, match.weighed(head=True, limit=WEIGHED + 1)))
        parts.append(_group(_TEXT, match.weighed(head=False, limit=WEIGHED + 1)))
    here: dict[int, tuple[int, float]] = {}
    many: Counter[int] = Counter()
    for group, id_, weight in await session.execute(union_all(*parts)) if parts else ():
        if id_ not in here or group < here[id_][0]:
            here[id_] = (group, weight)
        many[group] += 1
    found.cut |= max(many[_HEAD], many[_TEXT]) > WEIGHED
    if len(here) < _FEW and (alike := resembling(session, catalogue, query.text)) is not None:
        wanted = trigrams(query.text)
        near = {id_: -similarity(wanted, trigrams(one)) for id_, one in await session.execute(alike) if id_ not in here}
        near = {id_: weight for id_, weight in near.items() if weight <= -SIMILAR}
        if near and narrowed:
            kept = await session.scalars(select(ListingRow.id).where(ListingRow.id.in_(near), *narrowed))
            near = {id_: near[id_] for id_ in kept}
        here |= {id_: (_RESEMBLES, weight) for id_, weight in near.items()}
        found.similar |= bool(near)
    found.places |= here


def _group(group: int, some: Select[int, float]) -> Select[int, int, float]:
    inside = some.subquery()
    return select(literal(group).label("group"), inside.c.id, inside.c.weight)


async def _by_column(session: Session, catalogues: Sequence[CatalogueId], query: Query, place: Place | None) -> Page:
    asked = [(one, matches(session, one, query)) for one in catalogues]
    everything = all(match.everything for _, match in asked)
    rows: list[Listing] = []
    numbers = []
    for catalogue, match in asked:
        wanted = _LISTED.where(ListingRow.catalogue_id == catalogue)
        if not everything:
            numbers.append(await _number(session, match))
            wanted = wanted.where(_narrowing(match, query, numbers[-1]))
        wanted = _sorted(wanted, query.order, place).limit(query.limit + 1)
        rows += [_listing(row) for row in await session.execute(wanted)]
    rows.sort(key=lambda one: (_KEYS[query.order](one), one.id), reverse=query.order is not Sort.NAME)
    last = rows[query.limit - 1] if len(rows) > query.limit else None
    cursor = None if last is None else write_place(Place((_cursor_key(last, query.order),), last.id), query, catalogues)
    items = tuple(rows[: query.limit])
    if everything:
        counts = await _kept_counts(session, catalogues)
        total = counts.pop(("all", "all"), 0)
        return Page(items, cursor, total, False, _facets(counts) if query.facets else (), total)
    sample: list[int] = []
    if query.facets:
        for _, match in asked:
            sample += (await session.scalars(match.ids().limit(WEIGHED))).all()
    total = sum(numbers)
    facets = await _facets_of(session, sample[:WEIGHED])
    return Page(items, cursor, min(total, COUNTED_UP_TO), total > COUNTED_UP_TO, facets, len(sample[:WEIGHED]))


def _narrowing(match: Matches, query: Query, number: int) -> ColumnElement[bool]:
    """That a listing is among the matches, said in the way that costs least for so many."""
    if number <= _WALK:
        return ListingRow.id.in_(match.ids())
    labelled = [ListingRow.labels.contains(f"|{facet}:{value}|", autoescape=True) for facet, value in query.labels]
    return and_(*labelled, match.holds()) if match.words else and_(*labelled)


def _sorted(wanted: Select[_Columns], order: Sort, place: Place | None) -> Select[_Columns]:
    column = _COLUMNS[order]
    if place is not None:
        value = datetime.fromisoformat(str(place.key[0])) if order is Sort.UPDATED else place.key[0]
        here, there = tuple_(column, ListingRow.id), tuple_(literal(value, column.type), literal(place.id))
        wanted = wanted.where(here > there if order is Sort.NAME else here < there)
    if order is Sort.NAME:
        return wanted.order_by(column, ListingRow.id)
    return wanted.order_by(column.desc(), ListingRow.id.desc())


async def _number(session: Session, match: Matches) -> int:
    """How many there are, up to one more than are counted."""
    some = match.ids().limit(COUNTED_UP_TO + 1).subquery()
    return int((await session.execute(select(func.count()).select_from(some))).scalar_one())


async def _with_ids(session: Session, ids: Sequence[int]) -> tuple[Listing, ...]:
    if not ids:
        return ()
    return tuple(_listing(row) for row in await session.execute(_LISTED.where(ListingRow.id.in_(ids))))


async def _facets_of(session: Session, ids: Sequence[int]) -> tuple[Facet, ...]:
    if not ids:
        return ()
    query = select(ListingRow.labels).where(ListingRow.id.in_(some_ids(session)))
    rows = await session.scalars(query, {"ids": given_ids(session, ids)})
    # Cut apart all at once: there are ten labels on each of hundreds of listings.
    counts: Counter[tuple[str, str]] = Counter()
    for one, number in Counter("".join(rows).split("|")).items():
        facet, _, value = one.partition(":")
        if facet in _COUNTED:
            counts[facet, value] = number
    return _facets(counts)


async def _kept_counts(session: Session, catalogues: Sequence[CatalogueId]) -> Counter[tuple[str, str]]:
    """The counts over whole catalogues; of publishers the most frequent alone."""
    columns = select(ListingFacetRow.facet, ListingFacetRow.value, ListingFacetRow.count)
    parts = []
    for catalogue in catalogues:
        here = columns.where(ListingFacetRow.catalogue_id == catalogue, ListingFacetRow.count > 0)
        publishers = here.where(ListingFacetRow.facet == "publisher").order_by(ListingFacetRow.count.desc())
        # By name, so that the index by facet serves it: publishers are the many.
        others = here.where(ListingFacetRow.facet.in_(("all", *COUNTED[:-1])))
        parts += [select(one.subquery()) for one in (others, publishers.limit(_PUBLISHERS))]
    counts: Counter[tuple[str, str]] = Counter()
    for facet, value, number in await session.execute(union_all(*parts)):
        counts[facet, value] += number
    return counts


def _facets(counts: Counter[tuple[str, str]]) -> tuple[Facet, ...]:
    values: dict[str, list[tuple[str, int]]] = {name: [] for name in COUNTED}
    for (facet, value), number in counts.items():
        if facet in values:
            values[facet].append((value, number))
    for some in values.values():
        some.sort(key=lambda pair: (-pair[1], pair[0]))
    most = {"publisher": _PUBLISHERS}
    return tuple(Facet(name, tuple(some[: most.get(name, _FACET_VALUES)])) for name, some in values.items())


def _cursor_key(one: Listing, order: Sort) -> str | int | float:
    key = _KEYS[order](one)
    return key.isoformat() if isinstance(key, datetime) else key


def _average(one: Listing) -> float:
    return -1.0 if one.rating is None else one.rating


_Key = str | int | float | datetime
_Columns = tuple[Any, ...]
_COLUMNS: dict[Sort, InstrumentedAttribute[Any]] = {
    Sort.UPDATED: ListingRow.updated_at,
    Sort.RATING: ListingRow.average,
    Sort.INSTALLS: ListingRow.installs,
    Sort.NAME: ListingRow.name,
}
_KEYS: dict[Sort, Callable[[Listing], Any]] = {
    Sort.UPDATED: lambda one: one.updated_at,
    Sort.RATING: _average,
    Sort.INSTALLS: lambda one: one.installs,
    Sort.NAME: lambda one: one.name,
}
_PLAN_EACH = text("SET LOCAL plan_cache_mode = force_custom_plan")
_LISTED: Select[_Columns] = select(  # type: ignore[assignment]  # more columns than its types count
    ListingRow.id,
    ListingRow.catalogue_id,
    ListingRow.key,
    ListingRow.publisher,
    ListingRow.name,
    ListingRow.description,
    ListingRow.kind,
    ListingRow.verdict,
    ListingRow.latest,
    ListingRow.deprecated,
    ListingRow.average,
    ListingRow.ratings,
    ListingRow.installs,
    ListingRow.calls,
    ListingRow.updated_at,
    ListingRow.labels,
).where(ListingRow.listed.is_(True))


def _listing(row: Row[*_Columns]) -> Listing:
    return Listing(
        id=row.id,
        catalogue=CatalogueId(row.catalogue_id),
        key=row.key,
        publisher=row.publisher,
        name=row.name,
        description=row.description,
        kind=row.kind,
        verdict=row.verdict,
        version=row.latest,
        deprecated=row.deprecated,
        rating=None if row.ratings == 0 else row.average,
        ratings=row.ratings,
        installs=row.installs,
        calls=row.calls,
        updated_at=row.updated_at,
        labels=read_labels(row.labels),
    )
