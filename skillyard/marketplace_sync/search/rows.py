"""Reading the rows of listings, and what is counted over whole catalogues.

Each statement is made once and kept with the values left open: making one takes as long as running it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, Row, Select, String, bindparam, func, select, text, tuple_

from skillyard.database import Base, Snapshot
from skillyard.marketplace_sync.catalogue.entry import CatalogueId
from skillyard.marketplace_sync.search.listings import read_labels
from skillyard.marketplace_sync.search.query import COUNTED, Listing, Place, Query, Sort
from skillyard.marketplace_sync.search.store import given_ids, is_sqlite, some_ids
from skillyard.marketplace_sync.search.tables import ListingRow

PUBLISHERS: Final = 20
"""So many publishers are counted over a whole catalogue, those with the most skills."""

_STEP: Final = 200

Key = str | int | float | datetime


def one(snapshot: Snapshot, catalogue: CatalogueId, key: str) -> Listing | None:
    """One that search shows."""
    found = _SHOWN.where(_LISTING.catalogue_id == catalogue, _LISTING.key == key, _LISTING.listed.is_(True))
    row = snapshot.execute(found).first()
    return None if row is None else _listing(row)


def by_key(snapshot: Snapshot, catalogue: CatalogueId, *, after: str, limit: int) -> tuple[Listing, ...]:
    found = _SHOWN.where(_LISTING.catalogue_id == catalogue, _LISTING.key > after, _LISTING.listed.is_(True))
    return tuple(_listing(row) for row in snapshot.execute(found.order_by(_LISTING.key).limit(limit)))


def of_ids(snapshot: Snapshot, ids: Sequence[int]) -> dict[int, Listing]:
    """Listings by id."""
    if not ids:
        return {}
    rows = _fetched(snapshot, _of_ids(is_sqlite(snapshot)), {"ids": given_ids(snapshot, ids)})
    return {row[0]: _listing(row) for row in rows}


def names(snapshot: Snapshot, ids: Sequence[int]) -> list[tuple[int, str]]:
    """Ids and names."""
    if not ids:
        return []
    rows = _fetched(snapshot, _names(is_sqlite(snapshot)), {"ids": given_ids(snapshot, ids)})
    return [(id_, name) for id_, name in rows]


def sorted_ids(snapshot: Snapshot, ids: Sequence[int], query: Query, place: Place | None) -> list[Listing]:
    """The first of these behind a place, in the order of a column."""
    given = {"ids": given_ids(snapshot, ids), "most": query.limit + 1, "skipped": 0, **_place(query, place)}
    rows = _fetched(snapshot, _sorted_ids(is_sqlite(snapshot), query.order, placed=place is not None), given)
    return [_listing(row) for row in rows]


def sorted_all(snapshot: Snapshot, catalogue: CatalogueId, query: Query, place: Place | None) -> list[Listing]:
    """The first of a catalogue behind a place, in the order of a column."""
    given = {"catalogue": catalogue, "most": query.limit + 1, "skipped": 0, **_place(query, place)}
    return [_listing(row) for row in _fetched(snapshot, _walk(query.order, place is not None, whole=True), given)]


def walked(
    snapshot: Snapshot,
    catalogue: CatalogueId,
    query: Query,
    place: Place | None,
    *,
    holds: Callable[[int], bool],
    share: float,
) -> list[int]:
    """Ids of the first that are wanted, found by walking along the column's index; ``share`` of them should be."""
    # As many as there should have to be, and half of them again.
    found, walked, step = list[int](), 0, max(_STEP, int(1.5 * (query.limit + 1) / share))
    statement = _walk(query.order, place is not None, whole=False)
    while len(found) <= query.limit:
        given = {"catalogue": catalogue, "most": step, "skipped": walked, **_place(query, place)}
        rows = _fetched(snapshot, statement, given)
        found += [row[0] for row in rows if holds(row[0])]
        if len(rows) < step:
            break
        walked += step
        step *= 2
    return found[: query.limit + 1]


def labels(snapshot: Snapshot, ids: Sequence[int]) -> Counter[tuple[str, str]]:
    """How many of these listings have each label that is counted."""
    counts: Counter[tuple[str, str]] = Counter()
    if not ids:
        return counts
    rows = _fetched(snapshot, _labels(is_sqlite(snapshot)), {"ids": given_ids(snapshot, ids)})
    # Cut apart all at once: there are ten labels on each of hundreds of listings.
    for said, number in Counter("".join([row[0] for row in rows]).split("|")).items():
        facet, _, value = said.partition(":")
        if facet in COUNTED:
            counts[facet, value] = number
    return counts


def kept_counts(snapshot: Snapshot, catalogues: Sequence[CatalogueId]) -> Counter[tuple[str, str]]:
    """The counts over whole catalogues."""
    counts: Counter[tuple[str, str]] = Counter()
    for catalogue in catalogues:
        for facet, value, number in _fetched(snapshot, _COUNTS, {"catalogue": catalogue, "most": PUBLISHERS}):
            counts[facet, value] += number
    return counts


def sort_key(one: Listing, order: Sort) -> Key:
    """By what it is sorted, as the index has it."""
    match order:
        case Sort.RATING:
            return -1.0 if one.rating is None else one.rating
        case Sort.INSTALLS:
            return one.installs
        case Sort.NAME:
            return one.name
        case Sort.UPDATED | Sort.RELEVANCE:
            return one.updated_at


def _fetched(snapshot: Snapshot, statement: Any, given: dict[str, object]) -> Sequence[Row[*tuple[Any, ...]]]:
    return snapshot.execute(statement, given).all()


def _place(query: Query, place: Place | None) -> dict[str, object]:
    if place is None:
        return {}
    value = place.key[0]
    return {"value": datetime.fromisoformat(str(value)) if query.order is Sort.UPDATED else value, "id": place.id}


@cache
def _of_ids(sqlite: bool) -> Select[*tuple[Any, ...]]:
    return _SHOWN.where(_given(sqlite))


@cache
def _names(sqlite: bool) -> Select[int, str]:
    return select(_LISTING.id, _LISTING.name).where(_given(sqlite))


@cache
def _labels(sqlite: bool) -> Select[str]:
    return select(_LISTING.labels).where(_given(sqlite))


@cache
def _sorted_ids(sqlite: bool, order: Sort, *, placed: bool) -> Select[*tuple[Any, ...]]:
    # Nothing but the ids, so that neither engine walks along an index instead.
    return _ordered(_SHOWN.where(_given(sqlite)), order, placed)


@cache
def _walk(order: Sort, placed: bool, *, whole: bool) -> Select[*tuple[Any, ...]]:
    columns: Select[*tuple[Any, ...]] = _SHOWN if whole else select(_LISTING.id)
    here = columns.where(_LISTING.catalogue_id == bindparam("catalogue", type_=BigInteger), _LISTING.listed.is_(True))
    return _ordered(here, order, placed)


def _ordered(wanted: Select[*tuple[Any, ...]], order: Sort, placed: bool) -> Select[*tuple[Any, ...]]:
    column = _COLUMNS[order]
    if placed:
        here = tuple_(column, _LISTING.id)
        there = tuple_(bindparam("value", type_=column.type), bindparam("id", type_=BigInteger))
        wanted = wanted.where(here > there if order is Sort.NAME else here < there)
    by = (column, _LISTING.id) if order is Sort.NAME else (column.desc(), _LISTING.id.desc())
    most, skipped = bindparam("most", type_=BigInteger), bindparam("skipped", type_=BigInteger)
    return wanted.order_by(*by).limit(most).offset(skipped)


def _given(sqlite: bool) -> Any:
    if sqlite:
        return _LISTING.id.in_(some_ids(sqlite=True))
    return _LISTING.id == func.any(bindparam("ids", type_=ARRAY(BigInteger)))


def _listing(row: Row[*tuple[Any, ...]]) -> Listing:
    (id_, catalogue, key, publisher, name, description, kind, verdict, latest, deprecated) = row[:10]
    average, ratings, installs, calls, updated_at, said = row[10:]
    return Listing(
        id=id_,
        catalogue=CatalogueId(catalogue),
        key=key,
        publisher=publisher,
        name=name,
        description=description,
        kind=kind,
        verdict=verdict,
        version=latest,
        deprecated=deprecated,
        rating=None if ratings == 0 else average,
        ratings=ratings,
        installs=installs,
        calls=calls,
        updated_at=updated_at,
        labels=read_labels(said),
    )


_LISTING: Final = Base.metadata.tables[ListingRow.__tablename__].c
_COLUMNS: Final = {
    Sort.RELEVANCE: _LISTING.updated_at,
    Sort.UPDATED: _LISTING.updated_at,
    Sort.RATING: _LISTING.average,
    Sort.INSTALLS: _LISTING.installs,
    Sort.NAME: _LISTING.name,
}
_SHOWN: Final[Select[*tuple[Any, ...]]] = select(
    _LISTING.id,
    _LISTING.catalogue_id,
    _LISTING.key,
    _LISTING.publisher,
    _LISTING.name,
    _LISTING.description,
    _LISTING.kind,
    _LISTING.verdict,
    _LISTING.latest,
    _LISTING.deprecated,
    _LISTING.average,
    _LISTING.ratings,
    _LISTING.installs,
    _LISTING.calls,
    _LISTING.updated_at,
    _LISTING.labels,
)
_COUNTS: Final = text(
    "SELECT facet, value, count FROM listing_facets WHERE catalogue_id = :catalogue AND count > 0 "
    "AND facet IN ('all', 'category', 'kind', 'ecosystem', 'verdict', 'stars') "
    "UNION ALL SELECT facet, value, count FROM (SELECT facet, value, count FROM listing_facets "
    "WHERE catalogue_id = :catalogue AND facet = 'publisher' AND count > 0 ORDER BY count DESC LIMIT :most) AS first"
).columns(facet=String, value=String, count=BigInteger)
