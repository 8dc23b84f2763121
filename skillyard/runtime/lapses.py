"""What time does to approvals, written down and told: requests nobody answered, approvals that run out soon."""

from __future__ import annotations

from skillyard.database import Database
from skillyard.governance import approval_lapses
from skillyard.governance.approval_terms import ApprovalTerms
from skillyard.times import utcnow

LOOK_SECONDS = 60.0
"""How often it is looked for. The clock alone decides what counts, so that nothing hangs on this being soon."""


class Lapses:
    """Every server process on the database may look at once: each finds what no other has in hand."""

    def __init__(self, *, database: Database, terms: ApprovalTerms) -> None:
        self._database = database
        self._terms = terms

    async def look(self) -> None:
        """Some of it at a time, until there is no more."""
        while await self._some():
            pass

    async def _some(self) -> int:
        async with self._database.transaction() as session:
            now = utcnow()
            expired = await approval_lapses.expire(session, open_for=self._terms.open_for, at=now)
            announced = await approval_lapses.announce_expiring(session, notice=self._terms.notice, at=now)
        return expired + announced
