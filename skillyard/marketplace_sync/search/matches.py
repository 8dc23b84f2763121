"""How each engine's full text is asked.

What people type arrives as values, never as syntax: on SQLite as quoted words of letters and digits alone, on
PostgreSQL through ``plainto_tsquery``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, Float, Select, Text, bindparam, func, literal, literal_column, select, table

from skillyard.database import Session
from skillyard.marketplace_sync.catalogue.entry import CatalogueId
from skillyard.marketplace_sync.search.query import Query
from skillyard.marketplace_sync.search.store import id_range
from skillyard.marketplace_sync.search.tables import ListingRow, ListingWordsRow
from skillyard.marketplace_sync.search.words import as_name, terms, token

SIMILAR = 0.3
"""How much of its trigrams a name must share with what was typed."""

_CANDIDATES = 100


@dataclass(frozen=True, slots=True)
class Matches:
    """What matches the words and labels of a query in one catalogue."""

    sqlite: bool
    words: tuple[str, ...]
    labels: tuple[str, ...]
    low: int
    high: int

    @property
    def everything(self) -> bool:
        return not self.words and not self.labels

    def ids(self, *, head: bool = False) -> Select[Any]:
        """Numbers of listings."""
        if self.sqlite:
            return select(_ROWID.label("id")).select_from(_TEXTS).where(*self._sqlite(head=head))
        return select(ListingWordsRow.listing_id.label("id")).where(*self._postgresql(head=head))

    def weighed(self, *, head: bool, limit: int) -> Select[int, float]:
        """Numbers and weights of so many, the least weight the best: on SQLite of the latest numbers, on PostgreSQL of
        any, for which order they come in is not asked."""
        if self.sqlite:
            found = (
                select(_ROWID.label("id"), _BM25.label("weight")).select_from(_TEXTS).where(*self._sqlite(head=head))
            )
            return found.order_by(_ROWID.desc()).limit(limit)
        column = ListingWordsRow.head if head else ListingWordsRow.body
        some = select(ListingWordsRow.listing_id.label("id"), column.label("vector"))
        first = some.where(*self._postgresql(head=head)).limit(limit).subquery()
        weight = -func.ts_rank(first.c.vector, self._query(), type_=Float)
        return select(first.c.id, weight.label("weight"))

    def holds(self) -> ColumnElement[bool]:
        """For one listing: whether it is among them."""
        if self.sqlite:
            return self.ids().where(ListingRow.id == _ROWID).correlate(ListingRow).exists()
        return self.ids().where(ListingWordsRow.listing_id == ListingRow.id).correlate(ListingRow).exists()

    def _sqlite(self, *, head: bool) -> tuple[ColumnElement[bool], ...]:
        parts = []
        if self.words:
            quoted = " AND ".join(f'"{one}"' for one in self.words)
            parts.append(f"({'{head}' if head else '{head body}'} : ({quoted}))")
        if self.labels:
            parts.append("(labels : (" + " AND ".join(f'"{one}"' for one in self.labels) + "))")
        match = literal_column("listing_texts").op("MATCH")(literal(" AND ".join(parts), Text))
        return match, _ROWID.between(self.low, self.high)

    def _postgresql(self, *, head: bool) -> tuple[ColumnElement[bool], ...]:
        between = ListingWordsRow.listing_id.between(self.low, self.high)
        inside = [ListingWordsRow.body.op("@@")(self._query(labels=True))]
        if head:
            inside.append(ListingWordsRow.head.op("@@")(self._query()))
        return (*inside, between)

    def _query(self, *, labels: bool = False) -> ColumnElement[Any]:
        asked = func.plainto_tsquery(literal_column("'english'"), literal(" ".join(self.words), Text))
        if not labels or not self.labels:
            return asked
        narrowed = func.to_tsquery(literal_column("'simple'"), literal(" & ".join(self.labels), Text))
        return asked.op("&&")(narrowed) if self.words else narrowed


def matches(session: Session, catalogue: CatalogueId, query: Query) -> Matches:
    low, high = id_range(catalogue)
    labels = tuple(token(facet, value) for facet, value in query.labels)
    return Matches(session.get_bind().dialect.name == "sqlite", terms(query.text), labels, low, high)


def resembling(session: Session, catalogue: CatalogueId, typed: str) -> Select[int, str] | None:
    """Numbers and names that may resemble what was typed; ``None`` where it is too short."""
    name = as_name(typed)[:64]
    if len(name) < 3:
        return None
    low, high = id_range(catalogue)
    if session.get_bind().dialect.name == "sqlite":
        match = literal_column("listing_names").op("MATCH")(literal(_alike(name), Text))
        found = select(_ROWID.label("id")).select_from(_NAMES).where(match, _ROWID.between(low, high))
        first = found.limit(_CANDIDATES).subquery()
        return select(ListingRow.id, ListingRow.name).where(ListingRow.id == first.c.id)
    typed_name = bindparam("typed", name, type_=Text)
    return (
        select(ListingWordsRow.listing_id, ListingWordsRow.name)
        .where(ListingWordsRow.name.op("%")(typed_name), ListingWordsRow.listing_id.between(low, high))
        .order_by(func.similarity(ListingWordsRow.name, typed_name).desc())
        .limit(_CANDIDATES)
    )


def _alike(name: str) -> str:
    """Names that a slip of the finger may have made this one of: it spoils one place, and the rest is as it was.

    Of three parts two are to be there, of two one; of what is shorter any three letters. Ranking what has any three
    letters in common would cost a hundred times as much.
    """
    length = len(name)
    number = 3 if length >= 9 else 2 if length >= 6 else 1
    cuts = [length * one // number for one in range(number + 1)]
    parts = [name[begin:end] for begin, end in pairwise(cuts)]
    runs = [[f'"{part[at : at + 3]}"' for at in range(len(part) - 2)] for part in parts]
    if number == 1:
        return " OR ".join(runs[0])
    wanted = [runs[0] + runs[1], runs[1] + runs[2], runs[0] + runs[2]] if number == 3 else runs
    return " OR ".join(f"({' AND '.join(some)})" for some in wanted)


_BM25: ColumnElement[float] = literal_column("bm25(listing_texts, 4.0, 1.0, 0.0)", Float)
_ROWID: ColumnElement[int] = literal_column("rowid")
_TEXTS = table("listing_texts")
_NAMES = table("listing_names")
