"""What every test of the index uses: a shelf, and settings as if very much were on it."""

from __future__ import annotations

import pytest
from skillyard.database import Database
from skillyard.governance.identity import Person
from skillyard.marketplace_sync.search import bits, lookup, rows, settling
from tests.marketplace_sync.search.shelves import Shelf, new_shelf


@pytest.fixture
async def shelf(database: Database, admin: Person) -> Shelf:
    return await new_shelf(database, admin)


@pytest.fixture
def much(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if what is on a shelf were very much: settled at once, over many blocks, walked along columns and counted by
    sets."""
    for module, name, value in (
        (settling, "FEW", 3),
        (bits, "BLOCK", 16),
        (bits, "_BYTES", 2),
        (bits, "_PLACES", 0),
        (lookup, "_SORTED", 2),
        (lookup, "_READ", 2),
        (rows, "_STEP", 2),
    ):
        monkeypatch.setattr(module, name, value)
