"""Pages hold every match once, narrowed by what was asked for, and each catalogue's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from skillyard.database import Database
from skillyard.governance.identity import Person
from skillyard.marketplace_sync.catalogue.documents import ModerationState
from skillyard.marketplace_sync.catalogue.entry import CatalogueId
from skillyard.marketplace_sync.errors import CursorError
from skillyard.marketplace_sync.search.query import Listing, Place, Query, Sort, write_place
from tests.marketplace_sync.search.shelves import NOON, Shelf, new_shelf


async def filled(shelf: Shelf, number: int = 23) -> None:
    for one in range(number):
        key = f"acme/report-{one:02d}"
        at = NOON + timedelta(minutes=one % 5)
        more = [shelf.rating(key, "x", one % 5 + 1)] if one % 3 else []
        await shelf.put(
            *shelf.both(key, "A report.", updated_at=at, categories=("data" if one % 2 else "web",)),
            *more,
            shelf.counts(key, one % 4),
        )


async def pages(shelf: Shelf, query: Query) -> list[Listing]:
    found: list[Listing] = []
    while True:
        page = await shelf.index.search([shelf.catalogue.id], query)
        found += page.items
        if page.next_cursor is None:
            return found
        query = replace(query, cursor=page.next_cursor)


@pytest.mark.usefixtures("much")
@pytest.mark.parametrize("sort", list(Sort))
@pytest.mark.parametrize("text", ["", "report"])
async def test_pages_hold_every_match_once_in_order(shelf: Shelf, sort: Sort, text: str) -> None:
    await filled(shelf)
    whole = await shelf.search(text, sort=sort, limit=100)
    query = Query(text=text, sort=sort, limit=4)
    found = await pages(shelf, query)
    assert found == list(whole.items)
    assert len({one.key for one in found}) == whole.total == 23
    keys = {
        Sort.UPDATED: [(one.updated_at, one.id) for one in found],
        Sort.RATING: [(-1.0 if one.rating is None else one.rating, one.id) for one in found],
        Sort.INSTALLS: [(one.installs, one.id) for one in found],
    }
    if sort in keys:
        assert keys[sort] == sorted(keys[sort], reverse=True)
    if sort is Sort.NAME:
        assert [one.name for one in found] == sorted(one.name for one in found)


async def test_a_page_goes_on_where_it_was_although_others_came_before_it(shelf: Shelf) -> None:
    await filled(shelf)
    query = Query(sort=Sort.NAME, limit=5)
    first = await shelf.index.search([shelf.catalogue.id], query)
    await shelf.put(*shelf.both("acme/aaa"), shelf.word("acme/report-04", ModerationState.YANKED))
    rest = await pages(shelf, replace(query, cursor=first.next_cursor))
    assert [one.name for one in rest] == [f"report-{one:02d}" for one in range(5, 23)]


@pytest.mark.parametrize("moment", ["2026-01-01T00:00:00", "0001-01-01T00:00:00+23:00", "soon"])
async def test_a_cursor_of_no_moment_is_refused(shelf: Shelf, moment: str) -> None:
    query = Query(sort=Sort.UPDATED)
    made = write_place(Place((moment,), 1), query, [shelf.catalogue.id])
    with pytest.raises(CursorError):
        await shelf.search(sort=Sort.UPDATED, cursor=made)


async def test_a_cursor_of_another_search_is_refused(shelf: Shelf) -> None:
    await filled(shelf, 9)
    cursor = (await shelf.search("report", limit=2)).next_cursor
    assert cursor is not None
    broken = [cursor[:-2], "x", "e30", "é", "a" * 2000, cursor.swapcase()]
    others: Iterable[tuple[str, dict[str, object]]] = [
        ("reports", {}),
        ("report", {"sort": Sort.NAME}),
        ("report", {"category": "data"}),
        *(("report", {"cursor": one}) for one in broken),
    ]
    for text, narrowed in others:
        with pytest.raises(CursorError):
            await shelf.search(text, **{"cursor": cursor, "limit": 2, **narrowed})


@pytest.mark.usefixtures("much")
async def test_filters_narrow_what_is_found_and_counted(shelf: Shelf) -> None:
    await filled(shelf)
    page = await shelf.search("report", category="web", limit=100)
    assert page.total == len(page.items) == 12
    assert {facet.name: dict(facet.values) for facet in page.facets}["category"] == {"web": 12}
    assert await shelf.found("", category="web", sort=Sort.NAME, limit=100) == sorted(one.key for one in page.items)
    assert await shelf.found("report-03", category="web", sort=Sort.NAME) == []
    assert await shelf.found(publisher="nobody") == []


@pytest.mark.usefixtures("much")
async def test_catalogues_do_not_mix_and_one_that_is_cleared_leaves_the_other(
    database: Database, admin: Person
) -> None:
    ours, theirs = await new_shelf(database, admin), await new_shelf(database, admin)
    await ours.put(*ours.both("acme/a", "Common."))
    await theirs.put(*theirs.both("acme/b", "Common."))
    assert (await ours.found("common"), await theirs.found("common")) == (["acme/a"], ["acme/b"])
    both: Sequence[CatalogueId] = [ours.catalogue.id, theirs.catalogue.id]
    for sort in Sort:
        page = await ours.index.search(both, Query(text="common", sort=sort))
        assert {one.key for one in page.items} == {"acme/a", "acme/b"}
    await ours.clear()
    assert (await ours.found("common"), await theirs.found("common")) == ([], ["acme/b"])
    assert (await ours.search()).total == 0
    await ours.put(*ours.both("acme/a", "Common."))
    assert await ours.found("common") == ["acme/a"]
