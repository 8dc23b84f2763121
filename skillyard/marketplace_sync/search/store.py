"""Writing the index, many rows at a time, for a first sync brings a hundred thousand skills. In the caller's
transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    String,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from skillyard.database import Base, Session, Snapshot, copy_rows
from skillyard.marketplace_sync.catalogue.documents import Document, read_document
from skillyard.marketplace_sync.catalogue.entry import MAX_INTEGER, CatalogueId, EntryKind
from skillyard.marketplace_sync.catalogue.tables import EntryRow
from skillyard.marketplace_sync.search import marks
from skillyard.marketplace_sync.search.listings import (
    Draft,
    Labels,
    Tally,
    found_by,
    read_labels,
    write_labels,
)
from skillyard.marketplace_sync.search.tables import (
    ListingFacetRow,
    ListingRow,
    PostingRow,
    TermsRow,
    UnsettledRow,
)
from skillyard.threads import beside
from skillyard.times import in_utc

D = TypeVar("D", bound=Document)

_FIRST_BITS = 40
_ALL = ("all", "all")
"""The facet that every listing has, by which all are counted."""


@dataclass(frozen=True, slots=True)
class Held:
    """A listing as it was before a change."""

    id: int
    key: str
    listed: bool
    labels: Labels
    tally: Tally

    @property
    def facets(self) -> Counter[tuple[str, str]]:
        return facets(self.labels) if self.listed else Counter()


@dataclass(frozen=True, slots=True)
class Bare:
    """A listing of which nothing is known but where it is."""

    id: int
    catalogue: CatalogueId
    key: str


@dataclass(frozen=True, slots=True)
class Made:
    """A listing to be kept. ``words`` is whether what it is found by is to be written anew."""

    id: int
    draft: Draft
    tally: Tally
    words: bool


def first_id(catalogue: CatalogueId) -> int:
    """Ids of a catalogue's listings lie between its own and the next catalogue's; what is added is their number."""
    return int(catalogue) << _FIRST_BITS


def id_range(catalogue: CatalogueId) -> tuple[int, int]:
    """The least and the greatest number that a listing of the catalogue can have."""
    first = first_id(catalogue)
    return first, first + (1 << _FIRST_BITS) - 1


def some_ids(*, sqlite: bool) -> Any:
    """A query for the numbers in the parameter ``ids``, as ``given_ids`` gives them: one value, however many."""
    if sqlite:
        return select(func.json_each(bindparam("ids", type_=Text)).table_valued("value").c.value)
    return select(func.unnest(bindparam("ids", type_=ARRAY(BigInteger)), type_=BigInteger).column_valued("value"))


def given_ids(session: Session | Snapshot, ids: Sequence[int]) -> object:
    return _json(ids) if is_sqlite(session) else list(ids)


def facets(labels: Labels) -> Counter[tuple[str, str]]:
    return Counter({_ALL, *(one for one in labels if one[0] != "topic")})


async def held(session: Session, catalogue: CatalogueId, keys: Collection[str]) -> dict[str, Held]:
    """Those listings that are there."""
    query = select(
        ListingRow.id,
        ListingRow.key,
        ListingRow.listed,
        ListingRow.labels,
        ListingRow.stars,
        ListingRow.ratings,
        ListingRow.installs,
        ListingRow.calls,
    ).where(ListingRow.catalogue_id == catalogue, ListingRow.key.in_(some_texts(session)))
    rows = await session.execute(query, given_texts(session, keys))
    return {key: Held(id_, key, listed, read_labels(labels), Tally(*sums)) for id_, key, listed, labels, *sums in rows}


async def of_publishers(session: Session, catalogue: CatalogueId, publishers: Collection[str]) -> tuple[str, ...]:
    """Keys of all their listings."""
    found: list[str] = []
    for one in publishers:
        query = select(ListingRow.key).where(
            ListingRow.catalogue_id == catalogue, ListingRow.key >= f"{one}/", ListingRow.key < f"{one}0"
        )
        found += (await session.scalars(query)).all()
    return tuple(found)


async def documents(
    session: Session, catalogue: CatalogueId, entries: EntryKind, kind: type[D], keys: Collection[str]
) -> dict[str, D]:
    """Documents of live entries of one kind, by key."""
    if not keys:
        return {}
    query = select(EntryRow.key, EntryRow.document).where(
        EntryRow.catalogue_id == catalogue, EntryRow.kind == entries, EntryRow.key.in_(some_texts(session)), *_READABLE
    )
    rows = await session.execute(query, given_texts(session, keys))
    return {key: read_document(kind, document) for key, document in rows if document is not None}


async def summed(
    session: Session, catalogue: CatalogueId, entries: EntryKind, fields: tuple[str, str], keys: Collection[str]
) -> dict[str, tuple[int, int, int]]:
    """Of all live entries ``KEY#…`` of a kind: the sums of two fields, and how many entries there are.

    Summed anew, whatever came in which order, so that it can never drift from the entries; ``MAX_INTEGER`` at most.
    """
    if not keys:
        return {}
    given = some_texts(session).subquery()
    value = given.c[0]
    sums = (*(_sum(session, one) for one in fields), func.count())
    about = (
        EntryRow.catalogue_id == catalogue,
        EntryRow.kind == entries,
        # Everything that begins with the key and '#': '$' is the character behind it.
        EntryRow.key >= value.concat("#"),
        EntryRow.key < value.concat("$"),
        *_READABLE,
    )
    query: Select[Any]
    if is_sqlite(session):
        query = select(value, *sums).select_from(given).join(EntryRow, and_(*about)).group_by(value)
    else:
        # Summed key by key: joined, PostgreSQL without statistics compares all keys with all entries.
        each = select(*sums).where(*about).correlate(given).lateral()
        query = select(value, *each.c).select_from(given).join(each, true()).where(each.c[2] > 0)
    rows = await session.execute(query, given_texts(session, keys))
    return {key: (_told(one), _told(other), number) for key, one, other, number in rows}


async def without_terms(session: Session, *, after: int, most: int) -> tuple[Bare, ...]:
    """Listings that search shows and does not find."""
    query = (
        select(ListingRow.id, ListingRow.catalogue_id, ListingRow.key)
        .outerjoin(TermsRow, TermsRow.listing_id == ListingRow.id)
        .where(ListingRow.id > after, ListingRow.listed.is_(True), TermsRow.listing_id.is_(None))
    )
    rows = await session.execute(query.order_by(ListingRow.id).limit(most))
    return tuple(Bare(id_, CatalogueId(catalogue), key) for id_, catalogue, key in rows)


async def with_terms(session: Session, ids: Sequence[int]) -> frozenset[int]:
    """Those of the listings that search finds."""
    query = select(TermsRow.listing_id).where(TermsRow.listing_id.in_(some_ids(sqlite=is_sqlite(session))))
    return frozenset(await session.scalars(query, {"ids": given_ids(session, ids)}))


async def next_id(session: Session, catalogue: CatalogueId) -> int:
    """For the next listing of a catalogue: no number of one that is gone, while postings still have it."""
    first, last = id_range(catalogue)
    greatest = first
    for column in (ListingRow.id, UnsettledRow.listing_id):
        found = await session.scalar(select(func.max(column)).where(column.between(first, last)))
        greatest = max(greatest, found or 0)
    return greatest + 1


async def put(
    session: Session, catalogue: CatalogueId, made: Sequence[Made], before: Mapping[str, Held], gone: Iterable[Held]
) -> None:
    """Keep listings, and forget those that are gone, with everything that is counted and looked for."""
    gone = tuple(gone)
    added = [_row(catalogue, one) for one in made if one.draft.key not in before]
    changed = [_row(catalogue, one) for one in made if one.draft.key in before]
    rewritten = [one for one in made if one.words]
    old = [was.id for one in rewritten if (was := before.get(one.draft.key)) is not None and was.listed]
    forgotten = [*old, *(one.id for one in gone if one.listed)]
    # Long for many, while others are served by this process and the database does its part.
    async with beside(partial(_found_by, [one for one in rewritten if one.draft.listed])) as found:
        await _forget_terms(session, catalogue, forgotten)
        if gone:
            await session.execute(delete(ListingRow).where(ListingRow.id.in_([one.id for one in gone])))
        if added and is_sqlite(session):
            await (await session.connection()).execute(insert(_LISTINGS), added)
        elif added:
            await copy_rows(session, ListingRow.__tablename__, list(added[0]), (tuple(row.values()) for row in added))
        if changed:
            await session.execute(update(ListingRow), changed)
        await _count(session, catalogue, made, before, gone)
        await put_terms(session, catalogue, terms := await found)
    if forgotten or terms:
        await marks.leave(session, catalogue, marks.CHANGED)


def _found_by(made: Sequence[Made]) -> dict[int, str]:
    return {one.id: found_by(one.draft.key, one.draft.labels, one.draft.text) for one in made}


async def put_tallies(session: Session, tallies: Mapping[int, Tally]) -> None:
    """Keep sums of listings in which nothing else changed."""
    if tallies:
        rows = [{"id": id_, **_sums(tally)} for id_, tally in tallies.items()]
        await session.execute(update(ListingRow), rows)


async def put_terms(session: Session, catalogue: CatalogueId, terms: Mapping[int, str]) -> None:
    """Keep what listings are found by that had no terms, or have been forgotten. The caller leaves a mark of it."""
    if not terms:
        return
    connection = await session.connection()
    if is_sqlite(session):
        # By the driver's own parameters: SQLAlchemy's would take longer than SQLite does.
        await connection.exec_driver_sql(
            "INSERT INTO listing_terms (listing_id, terms) VALUES (?, ?)", [*terms.items()]
        )
        await connection.exec_driver_sql(_NEW_SQLITE, [(id_, catalogue) for id_ in terms])
    else:
        await copy_rows(session, TermsRow.__tablename__, ("listing_id", "terms"), terms.items())
        await connection.execute(_NEW_POSTGRESQL, {"ids": list(terms), "catalogue": catalogue})


async def clear(session: Session, catalogue: CatalogueId) -> None:
    """Forget all listings of a catalogue."""
    for table in (ListingRow, ListingFacetRow, UnsettledRow, PostingRow):
        await session.execute(delete(table).where(table.catalogue_id == catalogue))


async def _forget_terms(session: Session, catalogue: CatalogueId, ids: Sequence[int]) -> None:
    """Take terms away; what postings say until they are settled is remembered."""
    if not ids:
        return
    some = some_ids(sqlite=is_sqlite(session))
    posted = select(TermsRow.listing_id, literal(int(catalogue), BigInteger), TermsRow.terms).where(
        TermsRow.listing_id.in_(some)
    )
    adding = insert_sqlite if is_sqlite(session) else insert_postgresql
    unsettled = adding(_UNSETTLED).from_select(["listing_id", "catalogue_id", "posted"], posted)
    given = {"ids": given_ids(session, ids)}
    await session.execute(unsettled.on_conflict_do_nothing(index_elements=["listing_id"]), given)
    await session.execute(delete(TermsRow).where(TermsRow.listing_id.in_(some)), given)


async def _count(
    session: Session, catalogue: CatalogueId, made: Sequence[Made], before: Mapping[str, Held], gone: Iterable[Held]
) -> None:
    more: Counter[tuple[str, str]] = Counter()
    for one in made:
        if one.draft.listed:
            more.update(facets(one.draft.labels))
        if (was := before.get(one.draft.key)) is not None:
            more.subtract(was.facets)
    for was in gone:
        more.subtract(was.facets)
    changes = [(facet, value, number) for (facet, value), number in sorted(more.items()) if number]
    if not changes:
        return
    connection = await session.connection()
    if is_sqlite(session):
        await connection.exec_driver_sql(_COUNT_SQLITE, [(catalogue, *one) for one in changes])
    else:
        # One statement however many: each of its own would be planned and written down alone.
        facet, value, number = map(list, zip(*changes, strict=True))
        given = {"catalogue": catalogue, "facets": facet, "values": value, "numbers": number}
        await connection.execute(_COUNT_POSTGRESQL, given)


def _row(catalogue: CatalogueId, made: Made) -> dict[str, object]:
    draft = made.draft
    return {
        "id": made.id,
        "catalogue_id": catalogue,
        "key": draft.key,
        "publisher": draft.publisher,
        "name": draft.name,
        # PostgreSQL has no place for a zero byte, and nobody can see one.
        "description": draft.description.replace("\0", "\ufffd"),
        "listed": draft.listed,
        "labels": write_labels(draft.labels),
        "kind": draft.kind,
        "verdict": draft.verdict,
        "latest": draft.latest,
        "deprecated": draft.deprecated,
        "updated_at": in_utc(draft.updated_at),
        **_sums(made.tally),
    }


def _sums(tally: Tally) -> dict[str, object]:
    return {
        "stars": tally.stars,
        "ratings": tally.ratings,
        "average": -1.0 if tally.rating is None else tally.rating,
        "installs": tally.installs,
        "calls": tally.calls,
    }


def is_sqlite(where: Session | Snapshot) -> bool:
    dialect = where.dialect if isinstance(where, Snapshot) else where.get_bind().dialect
    return dialect.name == "sqlite"


def some_texts(session: Session) -> Any:
    """The texts in the parameter ``given``, as ``given_texts`` gives them, for ``in_``: one value, however many."""
    if is_sqlite(session):
        return select(func.json_each(bindparam("given", type_=Text)).table_valued("value").c.value)
    array = bindparam("given", type_=ARRAY(String))
    return select(func.unnest(array, type_=String).column_valued("value"))


def given_texts(session: Session | Snapshot, texts: Collection[str]) -> dict[str, object]:
    return {"given": _json(list(texts)) if is_sqlite(session) else list(texts)}


def _json(values: Sequence[str] | Sequence[int]) -> str:
    return orjson.dumps(list(values)).decode()


def _sum(session: Session, field: str) -> ColumnElement[int]:
    """Of any number of values up to ``MAX_INTEGER``: neither engine's narrower numbers may end a page."""
    if is_sqlite(session):
        return func.total(func.json_extract(EntryRow.document, f"$.{field}"))
    return func.sum(cast(cast(EntryRow.document, JSONB)[field].astext, BigInteger))


def _told(total: float | None) -> int:
    """A sum as it is kept: at most the largest number that is said of one."""
    return min(int(total or 0), MAX_INTEGER)


_LISTINGS = Base.metadata.tables[ListingRow.__tablename__]
_UNSETTLED = Base.metadata.tables[UnsettledRow.__tablename__]
_READABLE = (EntryRow.deleted.is_(False), EntryRow.document.is_not(None))
_NEW_SQLITE = (
    "INSERT INTO listing_unsettled (listing_id, catalogue_id, posted) VALUES (?, ?, '') "
    "ON CONFLICT (listing_id) DO NOTHING"
)
_NEW_POSTGRESQL = text(
    "INSERT INTO listing_unsettled (listing_id, catalogue_id, posted) SELECT id, :catalogue, '' FROM unnest(:ids) "
    "AS given (id) ON CONFLICT (listing_id) DO NOTHING"
).bindparams(bindparam("ids", type_=ARRAY(BigInteger)), bindparam("catalogue", type_=BigInteger))
_COUNT_ADDS = "ON CONFLICT (catalogue_id, facet, value) DO UPDATE SET count = listing_facets.count + excluded.count"
_COUNT_SQLITE = f"INSERT INTO listing_facets (catalogue_id, facet, value, count) VALUES (?, ?, ?, ?) {_COUNT_ADDS}"  # noqa: S608 - constants
_COUNT_POSTGRESQL = text(
    "INSERT INTO listing_facets (catalogue_id, facet, value, count) SELECT :catalogue, * "  # noqa: S608 - constants
    f"FROM unnest(:facets, :values, :numbers) {_COUNT_ADDS}"
).bindparams(
    bindparam("catalogue", type_=BigInteger),
    bindparam("facets", type_=ARRAY(String)),
    bindparam("values", type_=ARRAY(String)),
    bindparam("numbers", type_=ARRAY(BigInteger)),
)
