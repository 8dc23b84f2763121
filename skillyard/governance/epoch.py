"""The rules epoch: one number that every change of rules, approvals, maturity, skill state or advisories raises.

It is raised in the transaction that makes the change. An admission checks it in the transaction that admits, so no
call is admitted on a decision from before a change that is already committed.
"""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.database import tell
from skillyard.governance.errors import GovernanceError
from skillyard.governance.tables import RulesEpochRow
from skillyard.ids import Epoch


async def bump(session: AsyncSession) -> Epoch:
    """Raises the epoch in the caller's transaction and returns the new value. Every process hears of the commit."""
    await tell(session)
    raised = update(RulesEpochRow).values(epoch=RulesEpochRow.epoch + 1).returning(RulesEpochRow.epoch)
    return _only((await session.execute(raised)).scalar_one_or_none())


async def current(session: AsyncSession) -> Epoch:
    """The epoch as of the caller's transaction."""
    return _only((await session.execute(select(RulesEpochRow.epoch))).scalar_one_or_none())


def _only(epoch: int | None) -> Epoch:
    if epoch is None:
        raise GovernanceError("the rules epoch is gone from the database; no call can be admitted without it")
    return Epoch(epoch)
