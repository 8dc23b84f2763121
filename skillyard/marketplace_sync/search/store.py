"""Writing the index, many rows at a time, for a first sync brings a hundred thousand skills. In the caller's
transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from skillyard.database import Session
from skillyard.marketplace_sync.catalogue.documents import Document, read_document
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, EntryKind
from skillyard.marketplace_sync.catalogue.tables import EntryRow
from skillyard.marketplace_sync.search.listings import (
    Draft,
    Labels,
    Tally,
    label_words,
    read_labels,
    write_labels,
)
from skillyard.marketplace_sync.search.tables import ListingFacetRow, ListingRow, ListingWordsRow

D = TypeVar("D", bound=Document)

_FIRST_BITS = 40
_MANY = 200
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
class Made:
    """A listing to be kept. ``words`` is whether what is looked for in it is to be written anew."""

    id: int
    draft: Draft
    tally: Tally
    words: bool


def first_id(catalogue: CatalogueId) -> int:
    """Ids of a catalogue's listings lie between its own and the next catalogue's, so that each engine's full text finds
    those of one catalogue by a range."""
    return int(catalogue) << _FIRST_BITS


def id_range(catalogue: CatalogueId) -> tuple[int, int]:
    """The least and the greatest number that a listing of the catalogue can have."""
    first = first_id(catalogue)
    return first, first + (1 << _FIRST_BITS) - 1


def some_ids(session: Session) -> Any:
    """A query for the numbers in the parameter ``ids``, as ``given_ids`` gives them: one value, however many."""
    if _is_sqlite(session):
        return select(func.json_each(bindparam("ids", type_=Text)).table_valued("value").c.value)
    return select(func.unnest(bindparam("ids", type_=ARRAY(BigInteger)), type_=BigInteger).column_valued("value"))


def given_ids(session: Session, ids: Sequence[int]) -> object:
    return _json(ids) if _is_sqlite(session) else list(ids)


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
    ).where(ListingRow.catalogue_id == catalogue, ListingRow.key.in_(_given(session)))
    rows = await session.execute(query, _keys(session, keys))
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
        EntryRow.catalogue_id == catalogue, EntryRow.kind == entries, EntryRow.key.in_(_given(session)), *_READABLE
    )
    rows = await session.execute(query, _keys(session, keys))
    return {key: read_document(kind, document) for key, document in rows if document is not None}


async def summed(
    session: Session, catalogue: CatalogueId, entries: EntryKind, fields: tuple[str, str], keys: Collection[str]
) -> dict[str, tuple[int, int, int]]:
    """Of all live entries ``KEY#…`` of a kind: the sums of two fields, and how many entries there are.

    Summed anew, whatever came in which order, so that it can never drift from the entries.
    """
    if not keys:
        return {}
    given = _given(session).subquery()
    value = given.c[0]
    sums = (*(func.sum(_number(session, one)) for one in fields), func.count())
    about = (
        EntryRow.catalogue_id == catalogue,
        EntryRow.kind == entries,
        # Everything that begins with the key and '#': '$' is the character behind it.
        EntryRow.key >= value.concat("#"),
        EntryRow.key < value.concat("$"),
        *_READABLE,
    )
    query: Select[Any]
    if _is_sqlite(session):
        query = select(value, *sums).select_from(given).join(EntryRow, and_(*about)).group_by(value)
    else:
        # Summed key by key: joined, PostgreSQL without statistics compares all keys with all entries.
        each = select(*sums).where(*about).correlate(given).lateral()
        query = select(value, *each.c).select_from(given).join(each, true()).where(each.c[2] > 0)
    rows = await session.execute(query, _keys(session, keys))
    return {key: (int(one or 0), int(other or 0), number) for key, one, other, number in rows}


async def next_id(session: Session, catalogue: CatalogueId) -> int:
    """For the next listing of a catalogue."""
    first = first_id(catalogue)
    last = await session.scalar(
        select(func.max(ListingRow.id)).where(ListingRow.id >= first, ListingRow.id < first + (1 << _FIRST_BITS))
    )
    return first + 1 if last is None else int(last) + 1


async def put(
    session: Session, catalogue: CatalogueId, made: Sequence[Made], before: Mapping[str, Held], gone: Iterable[Held]
) -> None:
    """Keep listings, and forget those that are gone, with everything that is counted and looked for."""
    gone = tuple(gone)
    added = [_row(catalogue, one) for one in made if one.draft.key not in before]
    changed = [_row(catalogue, one) for one in made if one.draft.key in before]
    rewritten = [one for one in made if one.words]
    old = [was.id for one in rewritten if (was := before.get(one.draft.key)) is not None and was.listed]
    await _forget_words(session, [*old, *(one.id for one in gone if one.listed)])
    if gone:
        await session.execute(delete(ListingRow).where(ListingRow.id.in_([one.id for one in gone])))
    if added:
        await session.execute(insert(ListingRow), added)
    if changed:
        await session.execute(update(ListingRow), changed)
    await _write_words(session, [one for one in rewritten if one.draft.listed])
    await _count(session, catalogue, made, before, gone)


async def put_tallies(session: Session, tallies: Mapping[int, Tally]) -> None:
    """Keep sums of listings in which nothing else changed."""
    if tallies:
        rows = [{"id": id_, **_sums(tally)} for id_, tally in tallies.items()]
        await session.execute(update(ListingRow), rows)


async def clear(session: Session, catalogue: CatalogueId) -> None:
    first = first_id(catalogue)
    ids = select(ListingRow.id).where(ListingRow.catalogue_id == catalogue, ListingRow.listed.is_(True))
    while found := (await session.scalars(ids.where(ListingRow.id >= first).order_by(ListingRow.id).limit(1000))).all():
        await _forget_words(session, found)
        first = found[-1] + 1
    await session.execute(delete(ListingRow).where(ListingRow.catalogue_id == catalogue))
    await session.execute(delete(ListingFacetRow).where(ListingFacetRow.catalogue_id == catalogue))


async def _forget_words(session: Session, ids: Sequence[int]) -> None:
    if not ids:
        return
    if _is_sqlite(session):
        # An index over another table's rows is told what it forgets, before that is gone.
        given = {"given": _json(ids)}
        await session.execute(_FORGET_TEXTS, given)
        await session.execute(_FORGET_NAMES, given)
    await session.execute(delete(ListingWordsRow).where(ListingWordsRow.listing_id.in_(ids)))


async def _write_words(session: Session, made: Sequence[Made]) -> None:
    if not made:
        return
    rows = [
        {
            "listing_id": one.id,
            "name": one.draft.name,
            "head": one.draft.head,
            "body": one.draft.text,
            "labels": label_words(one.draft.labels),
        }
        for one in made
    ]
    if not _is_sqlite(session):
        # What is new waits in a list that every search reads through, until it is long: that is worth it for many at
        # once, which go into the index together, and never for a few.
        await session.execute(_LONG_LIST if len(rows) >= _MANY else _SHORT_LIST)
        await session.execute(_WRITE_VECTORS, rows)
        return
    await session.execute(insert(ListingWordsRow), rows)
    given = {"given": _json([one.id for one in made])}
    await session.execute(_WRITE_TEXTS, given)
    await session.execute(_WRITE_NAMES, given)


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
    rows = [
        {"catalogue_id": catalogue, "facet": facet, "value": value, "count": number}
        for (facet, value), number in sorted(more.items())
        if number
    ]
    if rows:
        adding = insert_sqlite if _is_sqlite(session) else insert_postgresql
        wanted = adding(ListingFacetRow)
        await session.execute(
            wanted.on_conflict_do_update(
                index_elements=["catalogue_id", "facet", "value"],
                set_={"count": ListingFacetRow.count + wanted.excluded["count"]},
            ),
            rows,
        )


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
        "updated_at": draft.updated_at,
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


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def _given(session: Session) -> Any:
    """A query for the texts in the parameter ``given``: one value, however many there are."""
    if _is_sqlite(session):
        return select(func.json_each(bindparam("given", type_=Text)).table_valued("value").c.value)
    array = bindparam("given", type_=ARRAY(String))
    return select(func.unnest(array, type_=String).column_valued("value"))


def _keys(session: Session, keys: Collection[str]) -> dict[str, object]:
    return {"given": _json(list(keys)) if _is_sqlite(session) else list(keys)}


def _json(values: Sequence[str] | Sequence[int]) -> str:
    return orjson.dumps(list(values)).decode()


def _number(session: Session, field: str) -> ColumnElement[int]:
    if _is_sqlite(session):
        return func.json_extract(EntryRow.document, f"$.{field}", type_=Integer)
    return cast(cast(EntryRow.document, JSONB)[field].astext, Integer)


_READABLE = (EntryRow.deleted.is_(False), EntryRow.document.is_not(None))
_LONG_LIST = text("SET LOCAL gin_pending_list_limit = 1024")
_SHORT_LIST = text("SET LOCAL gin_pending_list_limit = 64")
_WRITE_TEXTS = text(
    "INSERT INTO listing_texts (rowid, head, body, labels) SELECT listing_id, head, body, labels FROM listing_words "
    "WHERE listing_id IN (SELECT value FROM json_each(:given))"
)
_WRITE_NAMES = text(
    "INSERT INTO listing_names (rowid, name) SELECT listing_id, name FROM listing_words "
    "WHERE listing_id IN (SELECT value FROM json_each(:given))"
)
_FORGET_TEXTS = text(
    "INSERT INTO listing_texts (listing_texts, rowid, head, body, labels) "
    "SELECT 'delete', listing_id, head, body, labels FROM listing_words "
    "WHERE listing_id IN (SELECT value FROM json_each(:given))"
)
_FORGET_NAMES = text(
    "INSERT INTO listing_names (listing_names, rowid, name) SELECT 'delete', listing_id, name FROM listing_words "
    "WHERE listing_id IN (SELECT value FROM json_each(:given))"
)
_WRITE_VECTORS = text(
    "INSERT INTO listing_words (listing_id, name, head, body, labels) VALUES (:listing_id, :name, "
    "to_tsvector('english', :head), to_tsvector('english', :head || ' ' || :body) || to_tsvector('simple', :labels), "
    ":labels)"
).bindparams(*(bindparam(one, type_=Text) for one in ("name", "head", "body", "labels")))
