"""Keys, signed heads and closed segments in the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import ConflictError
from skillyard.governance.audit.record import Head
from skillyard.governance.audit.signed import Checkpoint, RegisteredKey, Segment
from skillyard.governance.tables import (
    AuditCheckpointRow,
    AuditHeadRow,
    AuditKeyRow,
    AuditRecordRow,
    AuditSegmentRow,
)
from skillyard.ids import WorkspaceId

_PAGE = 2000

_CHECKPOINT = tuple(getattr(AuditCheckpointRow, name) for name in Checkpoint.__slots__)
_KEY = tuple(getattr(AuditKeyRow, name) for name in RegisteredKey.__slots__)
_SEGMENT = tuple(getattr(AuditSegmentRow, name) for name in Segment.__slots__)


async def keys(session: AsyncSession) -> tuple[RegisteredKey, ...]:
    """Every key that ever signed for this instance, the oldest first."""
    rows = await session.execute(select(*_KEY).order_by(AuditKeyRow.added_at, AuditKeyRow.id))
    return tuple(RegisteredKey(*row) for row in rows)


async def key(session: AsyncSession, key_id: str) -> RegisteredKey | None:
    row = (await session.execute(select(*_KEY).where(AuditKeyRow.id == key_id))).one_or_none()
    return None if row is None else RegisteredKey(*row)


async def add_key(session: AsyncSession, new: RegisteredKey) -> None:
    """Register a key; where it takes over from another, that one is retired."""
    await session.execute(insert(AuditKeyRow).values(asdict(new)))
    if new.previous_id is not None:
        retired = (
            update(AuditKeyRow)
            .where(AuditKeyRow.id == new.previous_id, AuditKeyRow.retired_at.is_(None))
            .values(retired_at=new.added_at)
            .returning(AuditKeyRow.id)
        )
        if (await session.execute(retired)).one_or_none() is None:
            raise ConflictError(f"key {new.previous_id} was retired before")


async def lock_head(session: AsyncSession, workspace: WorkspaceId) -> Head | None:
    """Where the chain ends; nothing is appended until this transaction is over."""
    query = select(AuditHeadRow.seq, AuditHeadRow.hash).where(AuditHeadRow.workspace_id == workspace)
    row = (await session.execute(query.with_for_update())).one_or_none()
    return None if row is None else Head(row.seq, row.hash)


async def heads(session: AsyncSession, *, after: int = 0, limit: int = _PAGE) -> Sequence[tuple[WorkspaceId, Head]]:
    """Where the chains of all workspaces end, by workspace, beginning behind ``after``."""
    query = select(AuditHeadRow.workspace_id, AuditHeadRow.seq, AuditHeadRow.hash)
    rows = await session.execute(
        query.where(AuditHeadRow.workspace_id > after).order_by(AuditHeadRow.workspace_id).limit(limit)
    )
    return [(WorkspaceId(workspace), Head(seq, digest)) for workspace, seq, digest in rows]


async def unsigned(session: AsyncSession, key_id: str) -> tuple[WorkspaceId, ...]:
    """The workspaces whose chain does not end at a head that a key signed."""
    signed = exists().where(
        AuditCheckpointRow.workspace_id == AuditHeadRow.workspace_id,
        AuditCheckpointRow.seq == AuditHeadRow.seq,
        AuditCheckpointRow.key_id == key_id,
    )
    rows = await session.scalars(select(AuditHeadRow.workspace_id).where(~signed).order_by(AuditHeadRow.workspace_id))
    return tuple(WorkspaceId(one) for one in rows)


async def last_checkpoint(session: AsyncSession, workspace: WorkspaceId) -> Checkpoint | None:
    """The signed head that is furthest on, whoever signed it."""
    query = select(*_CHECKPOINT).where(AuditCheckpointRow.workspace_id == workspace)
    row = (
        await session.execute(query.order_by(AuditCheckpointRow.seq.desc(), AuditCheckpointRow.at.desc()).limit(1))
    ).first()
    return None if row is None else Checkpoint(*row)


async def own_checkpoint(session: AsyncSession, workspace: WorkspaceId, seq: int, key_id: str) -> Checkpoint | None:
    query = select(*_CHECKPOINT).where(
        AuditCheckpointRow.workspace_id == workspace,
        AuditCheckpointRow.seq == seq,
        AuditCheckpointRow.key_id == key_id,
    )
    row = (await session.execute(query)).one_or_none()
    return None if row is None else Checkpoint(*row)


async def add_checkpoint(session: AsyncSession, checkpoint: Checkpoint) -> None:
    await session.execute(insert(AuditCheckpointRow).values(asdict(checkpoint)))


async def checkpoints(
    session: AsyncSession, workspace: WorkspaceId, *, after: int, until: int | None = None, limit: int | None = None
) -> tuple[Checkpoint, ...]:
    """Signed heads behind record ``after``, up to and including ``until``, in the order of their records."""
    query = select(*_CHECKPOINT).where(AuditCheckpointRow.workspace_id == workspace, AuditCheckpointRow.seq > after)
    if until is not None:
        query = query.where(AuditCheckpointRow.seq <= until)
    rows = await session.execute(query.order_by(AuditCheckpointRow.seq, AuditCheckpointRow.at).limit(limit))
    return tuple(Checkpoint(*row) for row in rows)


async def hash_of(session: AsyncSession, workspace: WorkspaceId, seq: int) -> str | None:
    """The hash that a record in the database has; ``None`` where it is not there."""
    query = select(AuditRecordRow.hash).where(AuditRecordRow.workspace_id == workspace, AuditRecordRow.seq == seq)
    found: str | None = await session.scalar(query)
    return found


async def segments(session: AsyncSession, workspace: WorkspaceId) -> tuple[Segment, ...]:
    """The parts of a chain that were archived, the oldest first."""
    query = select(*_SEGMENT).where(AuditSegmentRow.workspace_id == workspace).order_by(AuditSegmentRow.first_seq)
    return tuple(Segment(*row) for row in await session.execute(query))


async def archived_through(session: AsyncSession, workspace: WorkspaceId) -> Head | None:
    """The last record that was archived; ``None`` where none was."""
    query = select(AuditSegmentRow.last_seq, AuditSegmentRow.last_hash).where(AuditSegmentRow.workspace_id == workspace)
    row = (await session.execute(query.order_by(AuditSegmentRow.first_seq.desc()).limit(1))).first()
    return None if row is None else Head(row.last_seq, row.last_hash)


async def add_segment(session: AsyncSession, segment: Segment) -> None:
    await session.execute(insert(AuditSegmentRow).values(asdict(segment)))


async def last_before(session: AsyncSession, workspace: WorkspaceId, moment: str, *, after: int) -> int:
    """The last record behind ``after`` with only older ones than ``moment`` up to it; ``after`` where there is none."""
    records = AuditRecordRow.workspace_id == workspace, AuditRecordRow.seq > after
    ordered = select(AuditRecordRow.seq).where(*records, AuditRecordRow.at >= moment).order_by(AuditRecordRow.seq)
    young = await session.scalar(ordered.limit(1))
    if young is not None:
        return int(young) - 1
    last = await session.scalar(select(func.max(AuditRecordRow.seq)).where(*records))
    return after if last is None else int(last)


async def delete_through(session: AsyncSession, workspace: WorkspaceId, seq: int, *, limit: int) -> bool:
    """Delete ``limit`` of the records up to ``seq``, and once none is left the signed heads; whether to go on."""
    records = AuditRecordRow.workspace_id == workspace, AuditRecordRow.seq <= seq
    first = await session.scalar(select(func.min(AuditRecordRow.seq)).where(*records))
    if first is not None:
        await session.execute(delete(AuditRecordRow).where(*records, AuditRecordRow.seq < first + limit))
        return True
    signed = AuditCheckpointRow.workspace_id == workspace, AuditCheckpointRow.seq <= seq
    await session.execute(delete(AuditCheckpointRow).where(*signed))
    return False
