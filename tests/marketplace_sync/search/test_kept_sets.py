"""Sets that a process keeps in memory are never older than what it searches."""

from __future__ import annotations

import pytest
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry
from skillyard.marketplace_sync.search import kept_sets
from skillyard.marketplace_sync.search.index import SearchIndex
from skillyard.marketplace_sync.search.kept_sets import KeptSets
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


def test_what_is_kept_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_sets, "_CATALOGUES", 2)
    memory = KeptSets()
    for one in (1, 2, 1, 3):
        memory.under(CatalogueId(one), b"mark").put({"term": one})
    assert [memory.last(CatalogueId(one)).sets for one in (1, 2, 3)] == [{"term": 1}, {}, {"term": 3}]
    assert memory.under(CatalogueId(1), b"another").sets == {}
    assert memory.under(CatalogueId(1), None).mark is None
