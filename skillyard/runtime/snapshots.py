"""States of the advisory data as the database knows them: which is in force, and who matches against it now.

The data itself is a file of a home, and servers over one database may have homes of their own. The newest row is the
state that everybody's versions are matched against; a server whose own file is another state leaves that to others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NewType

import orjson
from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.governance.rematch import DataState
from skillyard.runtime.tables import AdvisorySnapshotRow
from skillyard.skills.skill import Ecosystem

SnapshotId = NewType("SnapshotId", int)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A registered state of the data; a higher id is in force over a lower one."""

    id: SnapshotId
    data: DataState
    home: str
    """The home whose index it is."""


async def current(session: AsyncSession) -> Snapshot | None:
    """The one in force; ``None`` before the first."""
    row = await session.scalar(select(AdvisorySnapshotRow).order_by(AdvisorySnapshotRow.id.desc()).limit(1))
    return None if row is None else _value(row)


async def snapshots(session: AsyncSession, wanted: Collection[SnapshotId]) -> Mapping[SnapshotId, Snapshot]:
    rows = await session.scalars(select(AdvisorySnapshotRow).where(AdvisorySnapshotRow.id.in_(wanted)))
    return {SnapshotId(row.id): _value(row) for row in rows}


async def is_registered(session: AsyncSession, fingerprint: str) -> bool:
    """Whether this state is, or was once, in force."""
    row = AdvisorySnapshotRow
    return await session.scalar(select(row.id).where(row.fingerprint == fingerprint).limit(1)) is not None


async def register(session: AsyncSession, data: DataState, *, home: str, at: datetime) -> Snapshot:
    """Puts a state in force. Where it is already, nothing is written."""
    now = await current(session)
    if now is not None and now.data == data:
        return now
    row = AdvisorySnapshotRow(
        fingerprint=data.fingerprint, data_dates=_dates_to_json(data.dates), home_id=home, registered_at=at
    )
    session.add(row)
    await session.flush()
    return _value(row)


async def claim(session: AsyncSession, snapshot: SnapshotId, *, by: str, at: datetime, hold: timedelta) -> bool:
    """Takes the matching for one process, or keeps it, until ``hold`` is over; false while another has it."""
    row = AdvisorySnapshotRow
    free = or_(row.claimed_by.is_(None), row.claimed_by == by, row.claimed_until < at)
    taken = await session.execute(
        update(row)
        .where(row.id == snapshot, free)
        .values(claimed_by=by, claimed_until=at + hold)
        .returning(row.id)
        .execution_options(synchronize_session=False)
    )
    return taken.first() is not None


async def release(session: AsyncSession, snapshot: SnapshotId, *, by: str) -> None:
    row = AdvisorySnapshotRow
    mine = update(row).where(row.id == snapshot, row.claimed_by == by)
    await session.execute(mine.values(claimed_by=None, claimed_until=None).execution_options(synchronize_session=False))


def _value(row: AdvisorySnapshotRow) -> Snapshot:
    dates = {Ecosystem(name): datetime.fromisoformat(text) for name, text in orjson.loads(row.data_dates).items()}
    return Snapshot(SnapshotId(row.id), DataState(row.fingerprint, dates), row.home_id)


def _dates_to_json(dates: Mapping[Ecosystem, datetime]) -> str:
    return orjson.dumps({one.value: dates[one].isoformat() for one in sorted(dates)}).decode()
