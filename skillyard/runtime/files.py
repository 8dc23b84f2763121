"""Files that calls left, read back: what there was, and where it is while it is kept.

Rows are written with a call's end (``runtime.journal``); what is over is removed by ``runtime.retention``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from sqlalchemy import select

from skillyard.database import Session
from skillyard.errors import NotFoundError, SkillyardError
from skillyard.ids import InvocationId, WorkspaceId
from skillyard.runtime.tables import InvocationFileRow
from skillyard.times import utcnow


class ArtefactExpiredError(SkillyardError):
    """The file was kept for its time and is gone."""

    code = "artefact_expired"


class ArtefactDamagedError(SkillyardError):
    """The file is not what was recorded when the call left it."""

    code = "artefact_damaged"


@dataclass(frozen=True, slots=True)
class CallFile:
    """A file as it was recorded. ``key`` orders a call's files; times are UTC."""

    key: int
    path: str
    sha256: str
    size: int
    media_type: str
    expires_at: datetime
    removed_at: datetime | None

    def gone(self, now: datetime) -> bool:
        return self.removed_at is not None or self.expires_at <= now


async def call_files(
    session: Session, workspace: WorkspaceId, invocation: InvocationId, *, limit: int, after: int = 0
) -> Sequence[CallFile]:
    """A page of a call's files, in the order of their keys; also those that are gone."""
    query = (
        select(InvocationFileRow)
        .where(
            InvocationFileRow.workspace_id == workspace,
            InvocationFileRow.invocation_id == invocation,
            InvocationFileRow.id > after,
        )
        .order_by(InvocationFileRow.id)
        .limit(limit)
    )
    return tuple(_file(row) for row in await session.scalars(query))


async def call_file(session: Session, workspace: WorkspaceId, invocation: InvocationId, path: str) -> CallFile:
    """One file; raises ``NotFoundError`` where the call left none under this path, and ``ArtefactExpiredError``."""
    found = select(InvocationFileRow).where(
        InvocationFileRow.workspace_id == workspace,
        InvocationFileRow.invocation_id == invocation,
        InvocationFileRow.path == path,
    )
    # No file is called so, and PostgreSQL refuses to be asked.
    row = None if "\0" in path else await session.scalar(found)
    if row is None:
        raise NotFoundError(f"invocation {invocation} left no file {path[:200]!r}")
    file = _file(row)
    if file.gone(utcnow()):
        raise ArtefactExpiredError(f"{path!r} was kept until {file.expires_at.isoformat(timespec='seconds')}")
    return file


async def location_of(file: CallFile, folder: Path) -> Path:
    """Where a file is, in the folder of its call. Raises ``ArtefactDamagedError`` where it is not as recorded."""
    found = await asyncio.to_thread(_file_below, folder, file.path)
    if found is None or (await asyncio.to_thread(found.stat)).st_size != file.size:
        raise ArtefactDamagedError(f"{folder / file.path} is not the recorded file of {file.size} bytes")
    return found


def _file_below(folder: Path, path: str) -> Path | None:
    """A regular file that lies in a folder, reached through no link; ``None`` where there is none under this path."""
    found = folder / PurePosixPath(path)
    try:
        inside = found.resolve(strict=True) == folder.resolve(strict=True) / PurePosixPath(path)
        return found if inside and found.is_file() and folder in found.parents else None
    except (OSError, ValueError, RuntimeError):
        # What no file can be called (a zero byte, too long a name) or what leads in a circle is no file of this call.
        return None


def _file(row: InvocationFileRow) -> CallFile:
    return CallFile(
        key=row.id,
        path=row.path,
        sha256=row.sha256,
        size=row.size,
        media_type=row.media_type,
        expires_at=row.expires_at,
        removed_at=row.removed_at,
    )
