"""Finished recordings: from the file that was written during the call into the database, where every process finds
them, and out of it again when their time is over.

The call is not kept waiting for this: its recording is durable as a file when its caller is answered. A process that
is killed in between leaves the file, which the next look of any process over this home moves.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import orjson
from sqlalchemy import delete, select, update

from skillyard.database import Database, Session
from skillyard.ids import InvocationId, WorkspaceId
from skillyard.runtime.open_calls import OpenCalls
from skillyard.runtime.recording_file import DONE, LIVE, written_in
from skillyard.runtime.states import InvocationState, RecordingState
from skillyard.runtime.tables import InvocationRow, RecordingPartRow, RecordingRow
from skillyard.times import utcnow

_PART_BYTES = 256 * 1024
_MOST_AT_ONCE = 100
_LAST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class KeptRecording:
    """What the database has of a recording. ``removed_at`` is set once its content is not kept any more."""

    invocation: InvocationId
    state: RecordingState
    size: int
    parts: int
    expires_at: datetime
    removed_at: datetime | None


class Recordings:
    """Keeps and forgets recordings of this home's calls; its chores recur."""

    def __init__(self, *, database: Database, folder: Path, calls: OpenCalls, keep: timedelta) -> None:
        """``calls`` are those of this process, whose files are left alone while they run."""
        self._database = database
        self._folder = folder
        self._calls = calls
        self._keep = keep

    def file_of(self, invocation: InvocationId) -> Path | None:
        """Where the recording is while it is not in the database; ``None`` where no file of this home is it."""
        for suffix in (LIVE, DONE):
            path = self._folder / f"{invocation}{suffix}"
            if path.exists():
                return path
        return None

    async def keep_finished(self) -> None:
        """Move finished recordings into the database, each in a transaction of its own."""
        for path in await asyncio.to_thread(self._waiting):
            invocation = InvocationId(path.stem)
            if self._calls.get(invocation) is None:
                await self._keep_one(invocation, path)

    async def expire(self) -> None:
        """Remove the content of recordings whose time is over; that they were there can still be told."""
        now = utcnow()
        async with self._database.reading() as session:
            over = select(RecordingRow.invocation_id).where(
                RecordingRow.removed_at.is_(None), RecordingRow.expires_at <= now
            )
            expired = list(await session.scalars(over.limit(_MOST_AT_ONCE)))
        for invocation in expired:
            async with self._database.transaction() as session:
                await session.execute(delete(RecordingPartRow).where(RecordingPartRow.invocation_id == invocation))
                gone = update(RecordingRow).where(RecordingRow.invocation_id == invocation)
                await session.execute(gone.values(removed_at=now))

    def _waiting(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return sorted(path for path in self._folder.iterdir() if path.suffix in {LIVE, DONE})[:_MOST_AT_ONCE]

    async def _keep_one(self, invocation: InvocationId, path: Path) -> None:
        async with self._database.reading() as session:
            call = await session.get(InvocationRow, invocation)
            if call is not None and call.state is InvocationState.ACCEPTED:
                return  # It runs in another process over this home, or its end is still to be recorded.
        data = await asyncio.to_thread(_read, path)
        if data is None:
            return
        if call is not None:
            packed = await asyncio.to_thread(_packed, data)
            async with self._database.transaction() as session:
                await self._store(session, call, data, packed)
        await asyncio.to_thread(path.unlink, missing_ok=True)

    async def _store(self, session: Session, call: InvocationRow, data: bytes, packed: list[bytes]) -> None:
        if await session.get(RecordingRow, call.id) is not None:
            return
        session.add(
            RecordingRow(
                invocation_id=call.id,
                workspace_id=call.workspace_id,
                state=_state_of(data),
                size=len(data),
                parts=len(packed),
                expires_at=utcnow() + self._keep,
            )
        )
        await session.flush()
        session.add_all(
            RecordingPartRow(invocation_id=call.id, number=number, workspace_id=call.workspace_id, data=part)
            for number, part in enumerate(packed)
        )


async def recordings_of(
    session: Session, workspace: WorkspaceId, wanted: list[InvocationId]
) -> dict[InvocationId, KeptRecording]:
    """Those of these calls that the database has."""
    rows = await session.scalars(
        select(RecordingRow).where(RecordingRow.workspace_id == workspace, RecordingRow.invocation_id.in_(wanted))
    )
    return {
        InvocationId(row.invocation_id): KeptRecording(
            invocation=InvocationId(row.invocation_id),
            state=row.state,
            size=row.size,
            parts=row.parts,
            expires_at=row.expires_at,
            removed_at=row.removed_at,
        )
        for row in rows
    }


async def kept_pieces(database: Database, workspace: WorkspaceId, recording: KeptRecording) -> AsyncIterator[bytes]:
    """The content, piece by piece: no more than one is in memory, and no transaction waits for who reads them."""
    part = RecordingPartRow
    for number in range(recording.parts):
        async with database.reading() as session:
            query = select(part.data).where(
                part.workspace_id == workspace, part.invocation_id == recording.invocation, part.number == number
            )
            packed = await session.scalar(query)
        if packed is None:
            return  # Its time ended meanwhile.
        yield await asyncio.to_thread(zlib.decompress, packed)


def _read(path: Path) -> bytes | None:
    try:
        return written_in(path.read_bytes())
    except FileNotFoundError:
        return None  # Another process over this home was first.


def _packed(data: bytes) -> list[bytes]:
    return [zlib.compress(data[begin : begin + _PART_BYTES]) for begin in range(0, len(data), _PART_BYTES)]


def _state_of(data: bytes) -> RecordingState:
    last = data[-_LAST_BYTES:].splitlines()[-1:] or [b"{}"]
    try:
        ended = orjson.loads(last[0])
    except orjson.JSONDecodeError:
        return RecordingState.CUT
    if ended.get("event") != "ended":
        return RecordingState.CUT
    return RecordingState.TRUNCATED if ended.get("truncated") else RecordingState.COMPLETE
