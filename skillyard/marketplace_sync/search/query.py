"""What is asked of the index, and what it answers."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import orjson

from skillyard.errors import InputError
from skillyard.marketplace_sync.catalogue.entry import CatalogueId
from skillyard.marketplace_sync.errors import CursorError
from skillyard.times import in_utc

MAX_TEXT = 200
MAX_LIMIT = 100
COUNTED = ("category", "kind", "ecosystem", "verdict", "stars", "publisher")
"""Facets that are counted. ``stars`` counts listings of that average or better."""

_MAX_CURSOR = 1024


class Sort(StrEnum):
    """``relevance`` without a text is ``updated``. All but ``name`` begin with the greatest."""

    RELEVANCE = "relevance"
    UPDATED = "updated"
    RATING = "rating"
    INSTALLS = "installs"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Query:
    """A search. What is ``None`` does not narrow it; ``stars`` is the least average rating, 1 to 5."""

    text: str = ""
    category: str | None = None
    topic: str | None = None
    kind: str | None = None
    ecosystem: str | None = None
    verdict: str | None = None
    publisher: str | None = None
    stars: int | None = None
    sort: Sort = Sort.RELEVANCE
    cursor: str | None = None
    limit: int = 20
    facets: bool = True

    def __post_init__(self) -> None:
        if len(self.text) > MAX_TEXT:
            raise InputError(f"longer than {MAX_TEXT} characters", field="q")
        if not 1 <= self.limit <= MAX_LIMIT:
            raise InputError(f"between 1 and {MAX_LIMIT}", field="limit")
        if self.stars is not None and not 1 <= self.stars <= 5:
            raise InputError("between 1 and 5", field="stars")

    @property
    def order(self) -> Sort:
        """The order that counts."""
        return Sort.UPDATED if self.sort is Sort.RELEVANCE and not self.text.strip() else self.sort

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """What narrows it, as labels of listings."""
        given = {
            "category": self.category,
            "topic": self.topic,
            "kind": self.kind,
            "ecosystem": self.ecosystem,
            "verdict": self.verdict,
            "publisher": self.publisher,
            "stars": None if self.stars is None else str(self.stars),
        }
        return tuple((facet, value) for facet, value in given.items() if value is not None)


@dataclass(frozen=True, slots=True)
class Listing:
    """A skill as search shows it. ``rating`` is ``None`` where nobody rated it; ``version`` is that of ``latest``."""

    id: int
    catalogue: CatalogueId
    key: str
    publisher: str
    name: str
    description: str
    kind: str | None
    verdict: str | None
    version: str | None
    deprecated: bool
    rating: float | None
    ratings: int
    installs: int
    calls: int
    updated_at: datetime
    labels: tuple[tuple[str, str], ...]

    def labelled(self, facet: str) -> tuple[str, ...]:
        return tuple(value for name, value in self.labels if name == facet)


@dataclass(frozen=True, slots=True)
class Facet:
    """How many matches have each value of a facet, the most frequent first."""

    name: str
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of matches.

    ``total`` is how many there are, over which facets are counted too. ``cut`` says that more names begin with the
    text than were looked at (``lookup.NAMES``). ``similar`` says that names that only resemble the text are among
    them.
    """

    items: tuple[Listing, ...]
    next_cursor: str | None
    total: int
    facets: tuple[Facet, ...]
    cut: bool = False
    similar: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the sort key of its last item, and its number."""

    key: tuple[str | int | float, ...]
    id: int


def write_place(place: Place, query: Query, catalogues: Sequence[CatalogueId]) -> str:
    """An opaque cursor that is good for this search alone."""
    raw = orjson.dumps([_mark(query, catalogues), list(place.key), place.id])
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read_place(query: Query, catalogues: Sequence[CatalogueId]) -> Place | None:
    """Where to go on. Raises ``CursorError`` for a cursor that this search did not give."""
    if query.cursor is None:
        return None
    place = _parsed(query.cursor, query.order, _mark(query, catalogues)) if len(query.cursor) <= _MAX_CURSOR else None
    if place is None:
        raise CursorError("not a cursor of this search", field="cursor")
    return place


def _parsed(cursor: str, order: Sort, mark: str) -> Place | None:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found, key, id_ = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if order is Sort.UPDATED:
            in_utc(datetime.fromisoformat(key[0]))
    except (ValueError, TypeError, LookupError, OverflowError, binascii.Error):
        return None
    fits = found == mark and type(id_) is int and 0 <= id_ < 2**63 and isinstance(key, list)
    if not fits or [type(one) for one in key] != _KEYS[order]:
        return None
    if any(isinstance(one, int) and abs(one) >= 2**63 for one in key):
        return None
    return Place(tuple(key), id_)


_KEYS: dict[Sort, list[type]] = {
    Sort.RELEVANCE: [int, float],
    Sort.UPDATED: [str],
    Sort.RATING: [float],
    Sort.INSTALLS: [int],
    Sort.NAME: [str],
}


def _mark(query: Query, catalogues: Sequence[CatalogueId]) -> str:
    """Which search it is: everything but the page."""
    parts = [query.text, query.order.value, [list(one) for one in query.labels], sorted(catalogues)]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:16]
