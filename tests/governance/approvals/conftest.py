"""The yard of every test here."""

from __future__ import annotations

import pytest
from skillyard.database import Database
from tests.governance.approvals.yard import Yard, make_yard


@pytest.fixture
async def yard(database: Database) -> Yard:
    return await make_yard(database)


@pytest.fixture
def url(migrated_url: str) -> str:
    """The yard's database, for who opens it a second time."""
    return migrated_url
