"""Sets that a process keeps in memory are never older than what it searches."""

from __future__ import annotations

import pytest
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry, EntryKind
from skillyard.marketplace_sync.search import kept_sets
from skillyard.marketplace_sync.search.index import SearchIndex
from skillyard.marketplace_sync.search.kept_sets import NOTHING, KeptSets, unsettled
from skillyard.marketplace_sync.search.query import Query, Sort
from sqlalchemy import text as sql
from tests.marketplace_sync.search.shelves import Shelf

QUERIES = (Query(text="common"), Query(text="common", category="web"), Query(category="web", sort=Sort.NAME))


def some(shelf: Shelf, begin: int, number: int) -> list[Entry]:
    keys = [f"acme/s{one:02d}" for one in range(begin, begin + number)]
    return [each for key in keys for each in shelf.both(key, "Common.", categories=("web",))]


@pytest.mark.usefixtures("much")
async def test_what_another_process_settled_is_found_and_counted(shelf: Shelf) -> None:
    other, catalogues = SearchIndex(shelf.database), [shelf.catalogue.id]
    for at, number in enumerate((8, 2, 9, 1, 5)):
        await shelf.put(*some(shelf, 20 * at, number))
        for query in QUERIES:
            fresh = await SearchIndex(shelf.database).search(catalogues, query)
            assert await other.search(catalogues, query) == fresh
            # From its memory, this time.
            assert await other.search(catalogues, query) == fresh
    await shelf.clear()
    assert (await other.search(catalogues, QUERIES[0])).total == 0
    await shelf.put(*some(shelf, 0, 7))
    found = await other.search(catalogues, QUERIES[0])
    assert found.total == 7
    assert {one.name: dict(one.values) for one in found.facets}["category"] == {"web": 7}


@pytest.mark.usefixtures("much")
async def test_a_second_search_reads_no_set_of_what_all_have_again(shelf: Shelf) -> None:
    await shelf.put(*some(shelf, 0, 30))
    catalogues = [shelf.catalogue.id]
    before = await shelf.index.search(catalogues, QUERIES[0])
    async with shelf.database.transaction() as session:
        # A lie that nobody hears who kept what was there, and the mark is as it was.
        await session.execute(sql("DELETE FROM listing_postings WHERE term IN ('*', 'category:web')"))
    assert await shelf.index.search(catalogues, QUERIES[0]) == before
    assert (await SearchIndex(shelf.database).search(catalogues, QUERIES[0])).total < before.total


async def test_what_waits_is_read_once_and_again_when_more_does(shelf: Shelf) -> None:
    catalogues = [shelf.catalogue.id]
    await shelf.put(*some(shelf, 0, 3))
    before = await shelf.index.search(catalogues, QUERIES[0])
    async with shelf.database.transaction() as session:
        await session.execute(sql("UPDATE listing_terms SET terms = ' * '"))
    assert await shelf.index.search(catalogues, QUERIES[0]) == before
    assert (await SearchIndex(shelf.database).search(catalogues, QUERIES[0])).total == 0
    await shelf.put(*some(shelf, 3, 1))
    assert (await shelf.index.search(catalogues, QUERIES[0])).total == 1


async def test_what_another_process_changed_and_took_away_is_seen(shelf: Shelf) -> None:
    other, catalogues = SearchIndex(shelf.database), [shelf.catalogue.id]
    await shelf.put(*some(shelf, 0, 3))
    assert (await other.search(catalogues, QUERIES[0])).total == 3
    await shelf.put(*shelf.both("acme/s01", "Something else.", categories=("web",)))
    assert (await other.search(catalogues, QUERIES[0])).total == 2
    await shelf.put(shelf.entry(EntryKind.SKILL, "acme/s00", None))
    assert (await other.search(catalogues, QUERIES[0])).total == 1
    await shelf.clear()
    assert (await other.search(catalogues, QUERIES[0])).total == 0


def test_what_waits_is_kept_where_it_is_little_and_has_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_sets, "_UNSETTLED", 1)
    monkeypatch.setattr(kept_sets, "_CATALOGUES", 2)
    memory, catalogue = KeptSets(), CatalogueId(1)
    memory.wait(catalogue, unsettled(b"first", {1: " * kind:python "}))
    assert memory.waiting(catalogue).labels == {1: ("kind:python",)}
    memory.wait(catalogue, unsettled(b"second", {1: " * ", 2: " * "}))
    assert memory.waiting(catalogue) is NOTHING
    memory.wait(catalogue, unsettled(None, {1: " * "}))
    assert memory.waiting(catalogue) is NOTHING
    for one in (1, 2, 3):
        memory.wait(CatalogueId(one), unsettled(b"mark", {}))
    assert [memory.waiting(CatalogueId(one)) is NOTHING for one in (1, 2, 3)] == [True, False, False]


def test_what_is_kept_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_sets, "_CATALOGUES", 2)
    memory = KeptSets()
    for one in (1, 2, 1, 3):
        memory.under(CatalogueId(one), b"mark").put({"term": one})
    assert [memory.last(CatalogueId(one)).sets for one in (1, 2, 3)] == [{"term": 1}, {}, {"term": 3}]
    assert memory.under(CatalogueId(1), b"another").sets == {}
    assert memory.under(CatalogueId(1), None).mark is None
