"""Chains to tamper with."""

from __future__ import annotations

import pytest
from skillyard.database import Database, Kind
from skillyard.governance import audit
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.identity import Person
from skillyard.ids import WorkspaceId
from skillyard.times import utcnow
from tests.tampering import Tamperer


@pytest.fixture
def tamper(database: Database, request: pytest.FixtureRequest) -> Tamperer:
    cluster = request.getfixturevalue("postgres") if database.kind is Kind.POSTGRESQL else None
    return Tamperer(database, cluster)


@pytest.fixture
async def workspace(database: Database, admin: Person) -> WorkspaceId:
    """A workspace whose chain has five records beyond the three of the first start."""
    for number in range(5):
        record = AuditRecord(
            admin.workspace, utcnow(), admin.actor, Action.PACKAGE_BANNED, f"pypi/p{number}", {"n": number}
        )
        async with database.transaction() as session:
            await audit.append(session, record)
    return admin.workspace
