"""Searching: exact names first, then names that begin so, then by words; or by a column.

A page costs by how long the sets of its terms are (see ``bits``), and hardly by how many match: they are counted, met
and put in order as sets, and the rows of one page are read. A page of the whole catalogue needs no sets: its counts are
kept as it changes.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

from skillyard.database import Snapshot
from skillyard.marketplace_sync.catalogue.entry import CatalogueId
from skillyard.marketplace_sync.search import bits, rows
from skillyard.marketplace_sync.search.kept_sets import KeptSets
from skillyard.marketplace_sync.search.listings import LISTED, SIZES, alike_term
from skillyard.marketplace_sync.search.matches import NAMES, Holders, asked, holders
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
from skillyard.marketplace_sync.search.ranking import BEGINS, EXACT, RESEMBLES, Found, Ranked, ranked
from skillyard.marketplace_sync.search.words import as_name, folded, similarity, trigrams

SIMILAR: Final = 0.3
"""How much of its trigrams a name must share with what was typed."""

_FEW: Final = 3
"""With fewer matches, and none whose name is the text, names that resemble it are added."""
_CANDIDATES: Final = 100
_LONGEST: Final = 64
_LEAST_TRIGRAMS: Final = 3
_SORTED: Final = 500
"""So many matches are looked up and sorted; with more, the column's index is walked until a page is full."""
_READ: Final = 200
"""Of so many matches facets are counted by their rows, of more by the sets of the labels."""
_FACET_VALUES: Final = 50

_KEY: Final = re.compile(r"[a-z0-9-]{1,64}/[a-z0-9-]{1,64}")


def search(snapshot: Snapshot, catalogues: Sequence[CatalogueId], query: Query, *, memory: KeptSets) -> Page:
    """Raises ``CursorError``."""
    place = read_place(query, catalogues)
    if query.order is Sort.RELEVANCE:
        return _by_relevance(snapshot, catalogues, query, place, memory)
    return _by_column(snapshot, catalogues, query, place, memory)


def _by_relevance(
    snapshot: Snapshot, catalogues: Sequence[CatalogueId], query: Query, place: Place | None, memory: KeptSets
) -> Page:
    matches = [_find(snapshot, catalogue, query, memory) for catalogue in catalogues]
    found = [here for _, here in matches]
    behind = None if place is None else Ranked(int(place.key[0]), float(place.key[1]), place.id)
    page = ranked(found, behind=behind, limit=query.limit + 1)
    last = page[query.limit - 1] if len(page) > query.limit else None
    ids = [one.id for one in page[: query.limit]]
    items = rows.of_ids(snapshot, ids)
    sets = [(held, here.numbers) for held, here in matches]
    return Page(
        items=tuple(items[id_] for id_ in ids),
        next_cursor=None if last is None else write_place(Place((last.group, last.weight), last.id), query, catalogues),
        total=_total(sets),
        facets=_counted(snapshot, sets, shown=tuple(items.values())) if query.facets else (),
        cut=any(len(held.names) > NAMES for held, _ in matches),
        similar=any(here.alike for here in found),
    )


def _find(snapshot: Snapshot, catalogue: CatalogueId, query: Query, memory: KeptSets) -> tuple[Holders, Found]:
    """The matches of one catalogue."""
    said, name, key = asked(query), as_name(query.text), folded(query.text.strip())
    wanted = (*said.terms, *said.heads, *SIZES)
    held = holders(snapshot, catalogue, wanted, memory=memory, name=name, key=key if _KEY.fullmatch(key) else "")
    allowed = said.narrowed(held)
    named: dict[tuple[int, float], int] = {}
    if held.keyed is not None:
        named[EXACT, 0.0] = 1 << held.keyed & allowed
    for one in held.names[:NAMES]:
        # Shorter ones first.
        where = (EXACT, 0.0) if one.name == name else (BEGINS, float(len(one.name)))
        named[where] = named.get(where, 0) | (1 << one.number & allowed)
    found = Found(held.first, [held.of(one) for one in SIZES], named)
    if said.words:
        found.text = said.matching(held)
        found.head = found.text & held.of_all(said.heads)
        for head in said.heads:
            found.some |= found.text & held.of(head)
    exact = any(group == EXACT and some for (group, _), some in named.items())
    if not exact and found.numbers.bit_count() < _FEW:
        found.alike = _resembling(snapshot, held, query.text, allowed & ~found.numbers)
    return held, found


def _resembling(snapshot: Snapshot, held: Holders, typed: str, allowed: int) -> dict[tuple[int, float], int]:
    """Names that share enough of their trigrams with what was typed, the most first."""
    wanted = trigrams(as_name(typed)[:_LONGEST])
    if len(wanted) < _LEAST_TRIGRAMS:
        return {}
    alike = sorted(map(alike_term, wanted))
    held.more(alike)
    ids: list[int] = []
    least = math.ceil(SIMILAR * len(wanted))
    for _, numbers in bits.in_many([held.of(one) for one in alike], least=least):
        ids += (held.first + one for one in islice(bits.highest(numbers & allowed), _CANDIDATES - len(ids)))
        if len(ids) == _CANDIDATES:
            break
    found: dict[tuple[int, float], int] = {}
    for id_, name in rows.names(snapshot, ids):
        like = similarity(wanted, trigrams(name))
        if like >= SIMILAR:
            found[RESEMBLES, -like] = found.get((RESEMBLES, -like), 0) | 1 << (id_ - held.first)
    return found


def _by_column(
    snapshot: Snapshot, catalogues: Sequence[CatalogueId], query: Query, place: Place | None, memory: KeptSets
) -> Page:
    said = asked(query)
    sets: list[tuple[Holders, int]] = []
    found: list[Listing] = []
    for catalogue in catalogues:
        if said.everything:
            found += rows.sorted_all(snapshot, catalogue, query, place)
            continue
        held = holders(snapshot, catalogue, said.terms, memory=memory)
        sets.append((held, said.matching(held)))
        found += _first(snapshot, *sets[-1], query, place)
    found.sort(key=lambda one: (rows.sort_key(one, query.order), one.id), reverse=query.order is not Sort.NAME)
    last = found[query.limit - 1] if len(found) > query.limit else None
    cursor = None if last is None else write_place(Place((_cursor_key(last, query.order),), last.id), query, catalogues)
    items = tuple(found[: query.limit])
    if said.everything:
        counts = rows.kept_counts(snapshot, catalogues)
        return Page(items, cursor, counts["all", "all"], _facets(counts) if query.facets else ())
    return Page(items, cursor, _total(sets), _counted(snapshot, sets, shown=items) if query.facets else ())


def _first(snapshot: Snapshot, held: Holders, numbers: int, query: Query, place: Place | None) -> list[Listing]:
    """The matches that a page is made of."""
    count = numbers.bit_count()
    if count <= _SORTED:
        ids = [held.first + one for one in bits.numbers(numbers)]
        return rows.sorted_ids(snapshot, ids, query, place) if ids else []
    data, first = bits.raw(numbers), held.first
    share = count / max(held.of(LISTED).bit_count(), count)
    ids = rows.walked(
        snapshot, held.catalogue, query, place, holds=lambda id_: bits.holds(data, id_ - first), share=share
    )
    return list(rows.of_ids(snapshot, ids).values())


def _total(sets: Sequence[tuple[Holders, int]]) -> int:
    return sum(numbers.bit_count() for _, numbers in sets)


def _counted(
    snapshot: Snapshot, sets: Sequence[tuple[Holders, int]], *, shown: Collection[Listing]
) -> tuple[Facet, ...]:
    """Facets over all matches, of which some are shown."""
    total = _total(sets)
    if total == len(shown):
        return _facets(Counter(label for one in shown for label in one.labels))
    if total <= _READ:
        return _facets(rows.labels(snapshot, [held.first + one for held, some in sets for one in bits.numbers(some)]))
    counts: Counter[tuple[str, str]] = Counter()
    for held, numbers in sets:
        counts += held.labels(numbers)
    return _facets(counts)


def _facets(counts: Counter[tuple[str, str]]) -> tuple[Facet, ...]:
    values: dict[str, list[tuple[str, int]]] = {name: [] for name in COUNTED}
    for (facet, value), number in counts.items():
        if facet in values and number:
            values[facet].append((value, number))
    for some in values.values():
        some.sort(key=lambda pair: (-pair[1], pair[0]))
    most = {"publisher": rows.PUBLISHERS}
    return tuple(Facet(name, tuple(some[: most.get(name, _FACET_VALUES)])) for name, some in values.items())


def _cursor_key(one: Listing, order: Sort) -> str | int | float:
    key = rows.sort_key(one, order)
    return key.isoformat() if isinstance(key, datetime) else key
