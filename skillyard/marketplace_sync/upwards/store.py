"""The outbox as it is kept. Everything happens in the caller's transaction.

An item is claimed by one process for a while; one that dies meanwhile loses its claim, and another sends the item again
under the same idempotency key. Items of one key go up one after the other, in the order they were made, so that what
arrives last is what was said last.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import aliased

from skillyard.database import Session
from skillyard.errors import ConflictError, NotFoundError
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.remotes.remote import RemoteId, RemoteMarket
from skillyard.marketplace_sync.upwards.tables import UploadRow
from skillyard.marketplace_sync.upwards.values import Upload, UploadDraft, UploadId, UploadKind, UploadState

REPLACED: Final = "a newer one took its place"
_AT_ONCE = 500
_OPEN = (UploadState.WAITING, UploadState.CONFLICT)
_MOST_ERROR = 500


async def enqueue(session: Session, remote: RemoteMarket, drafts: Sequence[UploadDraft], *, at: datetime) -> None:
    """Write items, in the transaction of what they tell of. Of a register, an item that was never on its way makes
    room for the newer one."""
    registers = [draft for draft in drafts if draft.kind.register]
    for kind in {draft.kind for draft in registers}:
        keys = [draft.key for draft in registers if draft.kind is kind]
        for begin in range(0, len(keys), _AT_ONCE):
            await session.execute(
                update(UploadRow)
                .where(
                    UploadRow.remote_id == remote.id,
                    UploadRow.kind == kind,
                    UploadRow.key.in_(keys[begin : begin + _AT_ONCE]),
                    _never_sent(),
                )
                .values(state=UploadState.DROPPED, ended_at=at, error=REPLACED)
                .execution_options(synchronize_session=False)
            )
    session.add_all(_row(remote, draft, at) for draft in drafts)
    await session.flush()


async def unsent(session: Session, remote: RemoteId, kind: UploadKind, key: str) -> Upload | None:
    """The item of a key that waits and was never on its way, if there is one."""
    query = select(UploadRow).where(
        UploadRow.remote_id == remote, UploadRow.kind == kind, UploadRow.key == key, _never_sent()
    )
    row = await session.scalar(query.execution_options(populate_existing=True))
    return None if row is None else _value(row)


async def last_of(session: Session, remote: RemoteId, kind: UploadKind, key: str) -> Upload | None:
    """The last item of a key that was not dropped, whatever became of it."""
    query = (
        select(UploadRow)
        .where(UploadRow.remote_id == remote, UploadRow.kind == kind, UploadRow.key == key)
        .where(UploadRow.state != UploadState.DROPPED)
        .order_by(UploadRow.id.desc())
        .limit(1)
    )
    row = await session.scalar(query.execution_options(populate_existing=True))
    return None if row is None else _value(row)


async def touched_by(session: Session, remote: RemoteId, kind: UploadKind, keys: Iterable[str]) -> tuple[Upload, ...]:
    """Items of these keys that wait and never were on their way, or that wait for somebody to decide; by number.

    What was on its way may have arrived: of that the remote's answer tells, and nothing else does.
    """
    found: list[Upload] = []
    wanted = list(dict.fromkeys(keys))
    for begin in range(0, len(wanted), _AT_ONCE):
        query = select(UploadRow).where(
            UploadRow.remote_id == remote,
            UploadRow.kind == kind,
            UploadRow.key.in_(wanted[begin : begin + _AT_ONCE]),
            or_(_never_sent(), UploadRow.state == UploadState.CONFLICT),
        )
        rows = await session.scalars(query.order_by(UploadRow.id).execution_options(populate_existing=True))
        found += map(_value, rows)
    return tuple(found)


async def claim(
    session: Session, remote: RemoteId, *, by: str, now: datetime, hold: timedelta, limit: int
) -> tuple[Upload, ...]:
    """Take what is due for one process until ``hold`` is over, the oldest first, one item of a key at most."""
    older = aliased(UploadRow)
    before = exists(
        select(older.id).where(
            older.remote_id == UploadRow.remote_id,
            older.kind == UploadRow.kind,
            older.key == UploadRow.key,
            older.id < UploadRow.id,
            older.state.in_(_OPEN),
        )
    )
    due = (
        select(UploadRow.id)
        .where(UploadRow.remote_id == remote, _free(now), UploadRow.next_at <= now, ~before)
        .order_by(UploadRow.id)
        .limit(limit)
    )
    taken = await session.scalars(
        update(UploadRow)
        .where(UploadRow.id.in_(due.scalar_subquery()))
        .values(claimed_by=by, claimed_until=now + hold, attempts=UploadRow.attempts + 1)
        .returning(UploadRow.id)
        .execution_options(synchronize_session=False)
    )
    ids = taken.all()
    query = select(UploadRow).where(UploadRow.id.in_(ids)).order_by(UploadRow.id)
    return tuple(_value(row) for row in await session.scalars(query.execution_options(populate_existing=True)))


async def renew(session: Session, ids: Collection[UploadId], *, by: str, until: datetime) -> None:
    """Keep what is still being sent."""
    await session.execute(
        update(UploadRow)
        .where(UploadRow.id.in_(ids), UploadRow.claimed_by == by, UploadRow.state == UploadState.WAITING)
        .values(claimed_until=until)
        .execution_options(synchronize_session=False)
    )


async def arrived(session: Session, uploads: Mapping[UploadId, int | None], *, by: str, at: datetime) -> int:
    """The remote has these, each at the revision given; returns how many were this process's to say that of.

    A further edit of the same skill, made before this was known, goes on from what arrived.
    """
    settled = await session.execute(
        update(UploadRow)
        .where(UploadRow.id.in_(list(uploads)), UploadRow.claimed_by == by, UploadRow.state == UploadState.WAITING)
        .values(state=UploadState.SENT, ended_at=at, error=None, claimed_by=None, claimed_until=None)
        .returning(UploadRow.id, UploadRow.remote_id, UploadRow.kind, UploadRow.key, UploadRow.document)
        .execution_options(synchronize_session=False)
    )
    rows = settled.all()
    for id_, remote, kind, key, document in rows:
        rev = uploads[UploadId(id_)]
        if kind is UploadKind.SKILL and rev is not None:
            await session.execute(
                update(UploadRow)
                .where(UploadRow.remote_id == remote, UploadRow.kind == kind, UploadRow.key == key, _never_sent())
                .values(base_rev=rev, base_json=document)
                .execution_options(synchronize_session=False)
            )
    return len(rows)


async def again(session: Session, upload: UploadId, *, by: str, next_at: datetime, error: str) -> None:
    """It did not go; try it later."""
    await _settle(session, upload, by, {"next_at": next_at, "error": error[:_MOST_ERROR]})


async def die(session: Session, upload: UploadId, *, by: str, at: datetime, error: str) -> None:
    """Try it no more until an operator wants it."""
    await _settle(session, upload, by, {"state": UploadState.DEAD, "ended_at": at, "error": error[:_MOST_ERROR]})


async def holds(session: Session, upload: UploadId, *, by: str) -> bool:
    """Whether an item is still this process's to settle."""
    query = select(UploadRow.id).where(
        UploadRow.id == upload, UploadRow.claimed_by == by, UploadRow.state == UploadState.WAITING
    )
    return (await session.scalar(query)) is not None


async def drop(session: Session, upload: UploadId, *, at: datetime, error: str) -> None:
    """It is not to go up: the remote's side counts."""
    await _set(session, upload, {"state": UploadState.DROPPED, "ended_at": at, "error": error[:_MOST_ERROR]})


async def hold(session: Session, upload: UploadId, *, error: str) -> None:
    """It waits for somebody to decide."""
    await _set(session, upload, {"state": UploadState.CONFLICT, "error": error[:_MOST_ERROR]})


async def rebase(
    session: Session,
    upload: UploadId,
    *,
    document: str,
    base_rev: int | None,
    base_json: str | None,
    at: datetime,
    key: str | None = None,
    manifest_json: str | None = None,
) -> None:
    """Send this instead, made from another base: something else than before, so under another idempotency key."""
    values: dict[str, object] = {
        "item": uuid.uuid4().hex,
        "document": document,
        "base_rev": base_rev,
        "base_json": base_json,
        "state": UploadState.WAITING,
        "attempts": 0,
        "next_at": at,
        "counted_from": at,
        "error": None,
        "ended_at": None,
    }
    if key is not None:
        values |= {"key": key, "manifest_json": manifest_json}
    await _set(session, upload, values)


async def retry(session: Session, workspace: WorkspaceId, upload: UploadId, *, at: datetime) -> Upload:
    """Let a dead item be tried again, as if it were new. Raises ``ConflictError`` for any other, and for one that a
    newer item of the same key has overtaken."""
    found = await get(session, workspace, upload)
    if found.state is not UploadState.DEAD:
        raise ConflictError(f"upload {upload} is {found.state}; only a dead one can be retried")
    if found.kind.register:
        newest = await last_of(session, found.remote, found.kind, found.key)
        if newest is not None and newest.id != upload:
            raise ConflictError(f"upload {upload} was overtaken by upload {newest.id}, which says what counts")
    values = {"state": UploadState.WAITING, "attempts": 0, "counted_from": at, "next_at": at, "ended_at": None}
    await _set(session, upload, values)
    return await get(session, workspace, upload)


async def dead(
    session: Session, workspace: WorkspaceId, remote: RemoteId | None, *, limit: int
) -> tuple[UploadId, ...]:
    """Dead items, the oldest first."""
    query = select(UploadRow.id).where(UploadRow.workspace_id == workspace, UploadRow.state == UploadState.DEAD)
    if remote is not None:
        query = query.where(UploadRow.remote_id == remote)
    return tuple(UploadId(id_) for id_ in await session.scalars(query.order_by(UploadRow.id).limit(limit)))


async def get(session: Session, workspace: WorkspaceId, upload: UploadId) -> Upload:
    query = select(UploadRow).where(UploadRow.workspace_id == workspace, UploadRow.id == upload)
    row = await session.scalar(query.execution_options(populate_existing=True))
    if row is None:
        raise NotFoundError(f"there is no upload {upload}")
    return _value(row)


async def list_uploads(
    session: Session,
    workspace: WorkspaceId,
    *,
    remote: RemoteId | None = None,
    kind: UploadKind | None = None,
    state: UploadState | None = None,
    after: int = 0,
    limit: int = 100,
) -> tuple[Upload, ...]:
    """Items in the order they were made, beginning behind ``after``."""
    query = select(UploadRow).where(UploadRow.workspace_id == workspace, UploadRow.id > after)
    if remote is not None:
        query = query.where(UploadRow.remote_id == remote)
    if kind is not None:
        query = query.where(UploadRow.kind == kind)
    if state is not None:
        query = query.where(UploadRow.state == state)
    return tuple(_value(row) for row in await session.scalars(query.order_by(UploadRow.id).limit(limit)))


async def last_words(
    session: Session, remote: RemoteId, kind: UploadKind, *, after: int, limit: int
) -> tuple[Upload, ...]:
    """Of each key the last item that was not dropped, by number, beginning behind ``after``."""
    newest = (
        select(func.max(UploadRow.id))
        .where(UploadRow.remote_id == remote, UploadRow.kind == kind, UploadRow.state != UploadState.DROPPED)
        .group_by(UploadRow.key)
    )
    query = select(UploadRow).where(UploadRow.id.in_(newest.scalar_subquery()), UploadRow.id > after)
    return tuple(_value(row) for row in await session.scalars(query.order_by(UploadRow.id).limit(limit)))


async def depths(session: Session, remote: RemoteId | None = None) -> Mapping[tuple[RemoteId, UploadState], int]:
    """How many items of each remote are waiting, in conflict, or dead."""
    query = (
        select(UploadRow.remote_id, UploadRow.state, func.count())
        .where(UploadRow.state.in_((*_OPEN, UploadState.DEAD)))
        .group_by(UploadRow.remote_id, UploadRow.state)
    )
    if remote is not None:
        query = query.where(UploadRow.remote_id == remote)
    return {(RemoteId(id_), state): count for id_, state, count in await session.execute(query)}


async def bundles_needed(session: Session) -> frozenset[str]:
    """The manifests of versions that may still go up."""
    query = select(UploadRow.manifest_json).where(
        UploadRow.kind == UploadKind.VERSION, UploadRow.state.in_((*_OPEN, UploadState.DEAD))
    )
    return frozenset(text for text in await session.scalars(query) if text is not None)


async def forget(session: Session, *, ended_before: datetime, limit: int = 1000) -> int:
    """Delete items that ended before a moment, sent or dropped. The last rating of each key stays: it is what a person
    said, and what their next one is later than."""
    newer = aliased(UploadRow)
    newest = ~exists(
        select(newer.id).where(
            newer.remote_id == UploadRow.remote_id,
            newer.kind == UploadRow.kind,
            newer.key == UploadRow.key,
            newer.id > UploadRow.id,
            newer.state != UploadState.DROPPED,
        )
    )
    kept = and_(UploadRow.kind == UploadKind.RATING, UploadRow.state == UploadState.SENT, newest)
    old = (
        select(UploadRow.id)
        .where(UploadRow.state.in_((UploadState.SENT, UploadState.DROPPED)), UploadRow.ended_at < ended_before, ~kept)
        .limit(limit)
    )
    gone = await session.scalars(
        delete(UploadRow).where(UploadRow.id.in_(old.scalar_subquery())).returning(UploadRow.id)
    )
    return len(gone.all())


async def _settle(session: Session, upload: UploadId, by: str, values: Mapping[str, object]) -> None:
    """Only by whoever holds the claim: what somebody else found since counts."""
    await session.execute(
        update(UploadRow)
        .where(UploadRow.id == upload, UploadRow.claimed_by == by, UploadRow.state == UploadState.WAITING)
        .values({"claimed_by": None, "claimed_until": None, **values})
        .execution_options(synchronize_session=False)
    )


async def _set(session: Session, upload: UploadId, values: Mapping[str, object]) -> None:
    await session.execute(
        update(UploadRow)
        .where(UploadRow.id == upload)
        .values({"claimed_by": None, "claimed_until": None, **values})
        .execution_options(synchronize_session=False)
    )


def _never_sent() -> ColumnElement[bool]:
    return and_(UploadRow.state == UploadState.WAITING, UploadRow.attempts == 0)


def _free(now: datetime) -> ColumnElement[bool]:
    unclaimed = or_(UploadRow.claimed_until.is_(None), UploadRow.claimed_until < now)
    return and_(UploadRow.state == UploadState.WAITING, unclaimed)


def _row(remote: RemoteMarket, draft: UploadDraft, at: datetime) -> UploadRow:
    return UploadRow(
        workspace_id=remote.workspace,
        remote_id=remote.id,
        item=uuid.uuid4().hex,
        kind=draft.kind,
        key=draft.key,
        base_rev=draft.base_rev,
        base_json=draft.base_json,
        document=draft.document,
        manifest_json=draft.manifest_json,
        state=UploadState.WAITING,
        attempts=0,
        next_at=at,
        counted_from=at,
        created_by=draft.created_by,
        created_at=at,
    )


def _value(row: UploadRow) -> Upload:
    return Upload(
        id=UploadId(row.id),
        workspace=WorkspaceId(row.workspace_id),
        remote=RemoteId(row.remote_id),
        item=row.item,
        kind=row.kind,
        key=row.key,
        base_rev=row.base_rev,
        base_json=row.base_json,
        document=row.document,
        manifest_json=row.manifest_json,
        state=row.state,
        attempts=row.attempts,
        next_at=row.next_at,
        counted_from=row.counted_from,
        error=row.error,
        created_by=row.created_by,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )
