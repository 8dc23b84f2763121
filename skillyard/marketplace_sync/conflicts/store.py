"""Conflicts as they are kept. Everything happens in the caller's transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Select, func, select, update

from skillyard.database import Session
from skillyard.errors import NotFoundError
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.conflicts.detect import Difference
from skillyard.marketplace_sync.conflicts.tables import ConflictRow
from skillyard.marketplace_sync.conflicts.values import Conflict, ConflictId, ConflictState, Strategy
from skillyard.marketplace_sync.remotes.remote import RemoteId, RemoteMarket
from skillyard.marketplace_sync.remotes.tables import RemoteRow
from skillyard.marketplace_sync.upwards.values import UploadId


def fingerprint(remote: RemoteId, key: str, base: str | None, local: str, rev: int) -> str:
    """What a conflict is known by: our side and its base against one state of the remote's entry."""
    text = "\0".join((str(remote), key, "" if base is None else base, local, str(rev)))
    return hashlib.sha256(text.encode()).hexdigest()


async def known(session: Session, mark: str) -> ConflictId | None:
    """The conflict of a fingerprint, if it was found before."""
    found = await session.scalar(select(ConflictRow.id).where(ConflictRow.fingerprint == mark))
    return None if found is None else ConflictId(found)


async def add(
    session: Session,
    remote: RemoteMarket,
    upload: UploadId,
    difference: Difference,
    *,
    key: str,
    mark: str,
    base: str | None,
    local: str,
    theirs: str,
    rev: int,
    at: datetime,
) -> ConflictId:
    """A new conflict, open."""
    row = ConflictRow(
        workspace_id=remote.workspace,
        remote_id=remote.id,
        upload_id=upload,
        kind=difference.kind,
        severity=difference.severity,
        state=ConflictState.OPEN,
        key=key,
        fingerprint=mark,
        base_json=base,
        local_json=local,
        remote_json=theirs,
        remote_rev=rev,
        detected_at=at,
    )
    session.add(row)
    await session.flush()
    return ConflictId(row.id)


async def renew(
    session: Session, conflict: ConflictId, difference: Difference, *, mark: str, theirs: str, rev: int, at: datetime
) -> None:
    """The remote's side has moved on: the same conflict, about what it says now."""
    await _set(
        session,
        conflict,
        {
            "kind": difference.kind,
            "severity": difference.severity,
            "fingerprint": mark,
            "remote_json": theirs,
            "remote_rev": rev,
            "detected_at": at,
        },
    )


async def settle(
    session: Session, conflict: ConflictId, *, strategy: Strategy, result: str, by: str, at: datetime
) -> None:
    await _set(
        session,
        conflict,
        {
            "state": ConflictState.RESOLVED,
            "strategy": strategy,
            "result_json": result,
            "resolved_by": by,
            "resolved_at": at,
        },
    )


async def reopen(session: Session, conflict: ConflictId, upload: UploadId) -> None:
    """What was settled did not settle it: it waits for somebody, with this upload."""
    nothing = {"strategy": None, "result_json": None, "resolved_by": None, "resolved_at": None}
    await _set(session, conflict, {"state": ConflictState.OPEN, "upload_id": upload, **nothing})


async def settled_by(session: Session, upload: UploadId, by: str) -> int:
    """How many conflicts about an upload were settled by somebody."""
    query = select(func.count()).select_from(ConflictRow)
    found = await session.scalar(query.where(ConflictRow.upload_id == upload, ConflictRow.resolved_by == by))
    return found or 0


async def open_of(session: Session, upload: UploadId) -> Conflict | None:
    """The open conflict that holds an upload."""
    query = _of_remotes().where(ConflictRow.upload_id == upload, ConflictRow.state == ConflictState.OPEN)
    found = await _values(session, query)
    return found[0] if found else None


async def get_many(session: Session, workspace: WorkspaceId, ids: Collection[ConflictId]) -> tuple[Conflict, ...]:
    """These, by number. Raises ``NotFoundError`` where one of them is none of the workspace's."""
    query = _of_remotes().where(ConflictRow.workspace_id == workspace, ConflictRow.id.in_(ids))
    found = await _values(session, query.order_by(ConflictRow.id))
    missing = set(ids) - {one.id for one in found}
    if missing:
        raise NotFoundError(f"there is no conflict {min(missing)}")
    return found


async def list_conflicts(
    session: Session,
    workspace: WorkspaceId,
    *,
    state: ConflictState | None = None,
    remote: RemoteId | None = None,
    after: int = 0,
    limit: int = 100,
) -> tuple[Conflict, ...]:
    """In the order they were found, beginning behind ``after``."""
    query = _of_remotes().where(ConflictRow.workspace_id == workspace, ConflictRow.id > after)
    if state is not None:
        query = query.where(ConflictRow.state == state)
    if remote is not None:
        query = query.where(ConflictRow.remote_id == remote)
    return await _values(session, query.order_by(ConflictRow.id).limit(limit))


async def _set(session: Session, conflict: ConflictId, values: Mapping[str, object]) -> None:
    await session.execute(
        update(ConflictRow)
        .where(ConflictRow.id == conflict)
        .values(values)
        .execution_options(synchronize_session=False)
    )


def _of_remotes() -> Select[ConflictRow, str]:
    return select(ConflictRow, RemoteRow.name).join(RemoteRow, RemoteRow.id == ConflictRow.remote_id)


async def _values(session: Session, query: Select[ConflictRow, str]) -> tuple[Conflict, ...]:
    rows: Sequence[tuple[ConflictRow, str]] = [
        (row, name) for row, name in await session.execute(query.execution_options(populate_existing=True))
    ]
    return tuple(_value(row, name) for row, name in rows)


def _value(row: ConflictRow, remote_name: str) -> Conflict:
    return Conflict(
        id=ConflictId(row.id),
        workspace=WorkspaceId(row.workspace_id),
        remote=row.remote_id,
        remote_name=remote_name,
        upload=row.upload_id,
        kind=row.kind,
        severity=row.severity,
        state=row.state,
        key=row.key,
        base=row.base_json,
        local=row.local_json,
        theirs=row.remote_json,
        remote_rev=row.remote_rev,
        result=row.result_json,
        strategy=row.strategy,
        resolved_by=row.resolved_by,
        detected_at=row.detected_at,
        resolved_at=row.resolved_at,
    )
