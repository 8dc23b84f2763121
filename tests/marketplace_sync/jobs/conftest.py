"""What every test of the recurring work uses: an administrator and a remote."""

from __future__ import annotations

import pytest
from skillyard.database import Database
from skillyard.governance.administrators import Administrator
from skillyard.governance.identity import Person
from skillyard.marketplace_sync.remotes.remote import RemoteMarket
from tests.marketplace_sync.jobs.houses import added


@pytest.fixture
def by(admin: Person) -> Administrator:
    return Administrator(admin.workspace, admin.id, admin.actor)


@pytest.fixture
async def remote(database: Database, by: Administrator) -> RemoteMarket:
    return await added(database, by, "hub")
