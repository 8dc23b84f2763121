"""The outbox as it is kept. Everything happens in the caller's transaction.

An item is claimed by one process for a while; one that dies meanwhile loses its claim, and another sends the item again
under the same idempotency key. Items of one key go up one after the other, in the order they were made, so that what
arrives last is what was said last; a version goes before its yank.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import aliased

from skillyard.database import Session
from skillyard.errors import NotFoundError
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.conflicts.merge import Side, merge_skill
from skillyard.marketplace_sync.remotes.remote import RemoteId, RemoteMarket
from skillyard.marketplace_sync.upwards.backoff import LONGEST
from skillyard.marketplace_sync.upwards.rows import row_of, value_of
from skillyard.marketplace_sync.upwards.tables import UploadRow
from skillyard.marketplace_sync.upwards.values import DropReason, Upload, UploadDraft, UploadId, UploadKind, UploadState
from skillyard.runtime.tables import LeaseRow

_WHY: Final[Mapping[DropReason, str]] = {
    DropReason.SAME: "the remote says the same by now",
    DropReason.THEIRS: "the remote's side counts",
    DropReason.REPLACED: "a newer one took its place",
}
_AT_ONCE = 500
_OPEN = (UploadState.WAITING, UploadState.CONFLICT)
_MOST_ERROR = 500
_FARTHEST = 2 * LONGEST
"""No claim and no pause reaches further: what does is of a clock that was ahead, and nobody waits for it to come."""


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
                .values(_dropped(DropReason.REPLACED, at))
                .execution_options(synchronize_session=False)
            )
    session.add_all(row_of(remote, draft, at) for draft in drafts)
    await session.flush()


async def last_edit(session: Session, remote: RemoteId, key: str) -> Upload | None:
    """The last edit of a skill that waits, whether it was on its way or not."""
    return await _newest(session, remote, UploadKind.SKILL, key, UploadRow.state == UploadState.WAITING)


async def said_before(session: Session, upload: Upload) -> Upload | None:
    """What of the same key went up before, or may have: the answer to one that is dead was perhaps lost."""
    over = UploadRow.state.in_((UploadState.SENT, UploadState.DEAD))
    return await _newest(session, upload.remote, upload.kind, upload.key, UploadRow.id < upload.id, over)


async def last_of(session: Session, remote: RemoteId, kind: UploadKind, key: str) -> Upload | None:
    """The last item of a key that was not dropped, whatever became of it."""
    return (await last_of_many(session, remote, kind, (key,))).get(key)


async def last_of_many(
    session: Session, remote: RemoteId, kind: UploadKind, keys: Collection[str]
) -> Mapping[str, Upload]:
    """As ``last_of``, by key."""
    found: dict[str, Upload] = {}
    wanted = list(keys)
    for begin in range(0, len(wanted), _AT_ONCE):
        newest = (
            select(func.max(UploadRow.id))
            .where(UploadRow.remote_id == remote, UploadRow.kind == kind, UploadRow.state != UploadState.DROPPED)
            .where(UploadRow.key.in_(wanted[begin : begin + _AT_ONCE]))
            .group_by(UploadRow.key)
        )
        query = select(UploadRow).where(UploadRow.id.in_(newest.scalar_subquery()))
        rows = await session.scalars(query.execution_options(populate_existing=True))
        found |= {row.key: value_of(row) for row in rows}
    return found


async def documents_of(session: Session, remote: RemoteId, kind: UploadKind, key: str) -> tuple[str, ...]:
    """What items of a key said that were not dropped; what only takes back says nothing."""
    query = select(UploadRow.document).where(
        UploadRow.remote_id == remote,
        UploadRow.kind == kind,
        UploadRow.key == key,
        UploadRow.state != UploadState.DROPPED,
    )
    return tuple(text for text in await session.scalars(query) if text is not None)


async def touched_by(session: Session, remote: RemoteId, kind: UploadKind, keys: Iterable[str]) -> tuple[Upload, ...]:
    """Items of these keys that wait and never were on their way, or that wait for somebody to decide; by number.

    What was on its way may have arrived: of that the remote's answer tells, and nothing else does. So it is with what
    waits behind such a one: what comes from the remote may be our own.
    """
    older = aliased(UploadRow)
    behind = exists(
        select(older.id).where(*_same_key(older), older.id < UploadRow.id, older.state.in_(_OPEN), older.attempts > 0)
    )
    found: list[Upload] = []
    wanted = list(dict.fromkeys(keys))
    for begin in range(0, len(wanted), _AT_ONCE):
        query = select(UploadRow).where(
            UploadRow.remote_id == remote,
            UploadRow.kind == kind,
            UploadRow.key.in_(wanted[begin : begin + _AT_ONCE]),
            or_(and_(_never_sent(), ~behind), UploadRow.state == UploadState.CONFLICT),
        )
        rows = await session.scalars(query.order_by(UploadRow.id).execution_options(populate_existing=True))
        found += map(value_of, rows)
    return tuple(found)


async def claim(
    session: Session, remote: RemoteId, *, by: str, now: datetime, hold: timedelta, limit: int
) -> tuple[Upload, ...]:
    """Take what is due for one process until ``hold`` is over, the oldest first, one item of a key at most."""
    ids = select(UploadRow.id).where(UploadRow.remote_id == remote, due(now)).order_by(UploadRow.id).limit(limit)
    taken = await session.scalars(
        update(UploadRow)
        .where(UploadRow.id.in_(ids.scalar_subquery()))
        .values(claimed_by=by, claimed_until=now + hold, attempts=UploadRow.attempts + 1)
        .returning(UploadRow.id)
        .execution_options(synchronize_session=False)
    )
    query = select(UploadRow).where(UploadRow.id.in_(taken.all())).order_by(UploadRow.id)
    return tuple(value_of(row) for row in await session.scalars(query.execution_options(populate_existing=True)))


def due(now: datetime) -> ColumnElement[bool]:
    """What is to be sent now: it waits, its time has come, nobody is sending it, and nothing older has to go first."""
    older, version = aliased(UploadRow), aliased(UploadRow)
    same = exists(select(older.id).where(*_same_key(older), older.id < UploadRow.id, older.state.in_(_OPEN)))
    # A statement of its own, so that each of them is found by the whole index.
    unpublished = exists(
        select(version.id).where(
            version.remote_id == UploadRow.remote_id,
            version.kind == UploadKind.VERSION,
            version.key == UploadRow.key,
            version.id < UploadRow.id,
            version.state.in_(_OPEN),
        )
    )
    come = or_(UploadRow.next_at <= now, UploadRow.next_at > now + _FARTHEST)
    return and_(_free(now), come, ~same, or_(UploadRow.kind != UploadKind.YANK, ~unpublished))


async def renew(session: Session, ids: Collection[UploadId], *, by: str, until: datetime) -> None:
    """Keep what is still being sent."""
    await session.execute(
        update(UploadRow)
        .where(UploadRow.id.in_(ids), UploadRow.claimed_by == by, UploadRow.state == UploadState.WAITING)
        .values(claimed_until=until)
        .execution_options(synchronize_session=False)
    )


async def free_orphaned(session: Session) -> None:
    """Give up what processes were sending that have no lease any more: they ended, or were taken for dead."""
    orphaned = and_(UploadRow.claimed_by.is_not(None), UploadRow.claimed_by.not_in(select(LeaseRow.id)))
    await session.execute(
        update(UploadRow)
        .where(UploadRow.state == UploadState.WAITING, orphaned)
        .values(claimed_by=None, claimed_until=None)
        .execution_options(synchronize_session=False)
    )


async def arrived(session: Session, uploads: Mapping[UploadId, int | None], *, by: str, at: datetime) -> int:
    """The remote has these, each at the revision given; returns how many were this process's to say that of.

    A further edit of the same skill, made before this was known, goes on from what arrived: what it changed is changed
    there, and nothing else.
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
        if kind is UploadKind.SKILL and rev is not None and document is not None:
            await _go_on(session, RemoteId(remote), key, rev, document)
    return len(rows)


async def _go_on(session: Session, remote: RemoteId, key: str, rev: int, document: str) -> None:
    """Let further edits be made from what arrived. Of one that does not fit the remote's answer makes a conflict."""
    query = select(UploadRow).where(UploadRow.remote_id == remote, UploadRow.kind == UploadKind.SKILL)
    further = await session.scalars(
        query.where(UploadRow.key == key, _never_sent()).execution_options(populate_existing=True)
    )
    for row in further.all():
        merged = merge_skill(row.base_json, row.document or "", document, prefer=Side.LOCAL).document
        if merged is not None:
            values = {"base_rev": rev, "base_json": document, "document": merged}
            await session.execute(
                update(UploadRow)
                .where(UploadRow.id == row.id)
                .values(values)
                .execution_options(synchronize_session=False)
            )


async def again(
    session: Session, upload: UploadId, *, by: str, next_at: datetime, not_before: datetime | None, error: str
) -> None:
    """It did not go; try it later. Where the remote asked for time nobody takes it ``not_before`` that is over."""
    values = {"next_at": next_at, "claimed_until": not_before, "error": error[:_MOST_ERROR]}
    await _settle(session, upload, by, values)


async def hasten(session: Session, remote: RemoteId, *, at: datetime) -> None:
    """Let what was put off go now, except where the remote asked for time."""
    await session.execute(
        update(UploadRow)
        .where(UploadRow.remote_id == remote, _free(at), UploadRow.next_at > at)
        .values(next_at=at)
        .execution_options(synchronize_session=False)
    )


async def die(session: Session, upload: UploadId, *, by: str, at: datetime, error: str) -> bool:
    """Try it no more until an operator wants it. False where it was settled before."""
    return await _settle(session, upload, by, {"state": UploadState.DEAD, "ended_at": at, "error": error[:_MOST_ERROR]})


async def holds(session: Session, upload: UploadId, *, by: str) -> bool:
    """Whether an item is still this process's to settle."""
    query = select(UploadRow.id).where(
        UploadRow.id == upload, UploadRow.claimed_by == by, UploadRow.state == UploadState.WAITING
    )
    return (await session.scalar(query)) is not None


async def drop(session: Session, upload: UploadId, reason: DropReason, *, at: datetime) -> None:
    """It is not to go up."""
    await _set(session, upload, _dropped(reason, at))


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
    next_at: datetime,
    counted_from: datetime | None,
    key: str | None = None,
    manifest_json: str | None = None,
) -> None:
    """Send this instead, made from another base: something else than before, so under another idempotency key. Without
    ``counted_from`` it is as old as it was: only a person makes it young again."""
    values: dict[str, object] = {
        "item": uuid.uuid4().hex,
        "document": document,
        "base_rev": base_rev,
        "base_json": base_json,
        "state": UploadState.WAITING,
        "attempts": 0,
        "next_at": next_at,
        "error": None,
        "ended_at": None,
    }
    if counted_from is not None:
        values["counted_from"] = counted_from
    if key is not None:
        values |= {"key": key, "manifest_json": manifest_json}
    await _set(session, upload, values)


async def send_again(session: Session, uploads: Collection[UploadId], *, at: datetime) -> None:
    """Let words that were sent wait again, under new idempotency keys: the remote took them, and has lost them."""
    for upload in uploads:
        values = {"item": uuid.uuid4().hex, "state": UploadState.WAITING, "attempts": 0, "next_at": at}
        await _set(session, upload, {**values, "counted_from": at, "ended_at": None, "error": None})


async def revive(session: Session, upload: UploadId, *, at: datetime) -> None:
    """Let a dead one wait again, as old as if it was made now. It was on its way before, and may have arrived."""
    values = {"state": UploadState.WAITING, "attempts": 1, "counted_from": at, "next_at": at, "ended_at": None}
    await _set(session, upload, values)


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
    return value_of(row)


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
    return tuple(value_of(row) for row in await session.scalars(query.order_by(UploadRow.id).limit(limit)))


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
    return tuple(value_of(row) for row in await session.scalars(query.order_by(UploadRow.id).limit(limit)))


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
    """Delete items that ended before a moment, sent or dropped, up to ``limit``; returns how many. What was said last
    of each key stays: what is said next is later than that, and what is dead must not come back over it."""
    newer = aliased(UploadRow)
    newest = ~exists(
        select(newer.id).where(*_same_key(newer), newer.id > UploadRow.id, newer.state != UploadState.DROPPED)
    )
    kept = and_(UploadRow.kind != UploadKind.VERSION, UploadRow.state == UploadState.SENT, newest)
    old = (
        select(UploadRow.id)
        .where(UploadRow.state.in_((UploadState.SENT, UploadState.DROPPED)), UploadRow.ended_at < ended_before, ~kept)
        .limit(limit)
    )
    gone = await session.scalars(
        delete(UploadRow).where(UploadRow.id.in_(old.scalar_subquery())).returning(UploadRow.id)
    )
    return len(gone.all())


async def _newest(
    session: Session, remote: RemoteId, kind: UploadKind, key: str, *where: ColumnElement[bool]
) -> Upload | None:
    query = select(UploadRow).where(UploadRow.remote_id == remote, UploadRow.kind == kind, UploadRow.key == key, *where)
    query = query.order_by(UploadRow.id.desc()).limit(1).execution_options(populate_existing=True)
    row = await session.scalar(query)
    return None if row is None else value_of(row)


def _same_key(other: type[UploadRow]) -> tuple[ColumnElement[bool], ...]:
    """Another item that is about the same."""
    return (other.remote_id == UploadRow.remote_id, other.kind == UploadRow.kind, other.key == UploadRow.key)


async def _settle(session: Session, upload: UploadId, by: str, values: Mapping[str, object]) -> bool:
    """Only by whoever holds the claim: what somebody else found since counts."""
    found = await session.scalar(
        update(UploadRow)
        .where(UploadRow.id == upload, UploadRow.claimed_by == by, UploadRow.state == UploadState.WAITING)
        .values({"claimed_by": None, "claimed_until": None, **values})
        .returning(UploadRow.id)
        .execution_options(synchronize_session=False)
    )
    return found is not None


async def _set(session: Session, upload: UploadId, values: Mapping[str, object]) -> None:
    await session.execute(
        update(UploadRow)
        .where(UploadRow.id == upload)
        .values({"claimed_by": None, "claimed_until": None, **values})
        .execution_options(synchronize_session=False)
    )


def _dropped(reason: DropReason, at: datetime) -> dict[str, object]:
    return {"state": UploadState.DROPPED, "ended_at": at, "dropped": reason, "error": _WHY[reason]}


def _never_sent() -> ColumnElement[bool]:
    return and_(UploadRow.state == UploadState.WAITING, UploadRow.attempts == 0)


def _free(now: datetime) -> ColumnElement[bool]:
    claimed = UploadRow.claimed_until
    unclaimed = or_(claimed.is_(None), claimed < now, claimed > now + _FARTHEST)
    return and_(UploadRow.state == UploadState.WAITING, unclaimed)
