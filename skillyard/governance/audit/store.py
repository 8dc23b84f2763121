"""Chains in the database: appending, and reading page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.database import is_machine_error
from skillyard.errors import NotFoundError
from skillyard.governance.audit.check import UnreadableRecordError
from skillyard.governance.audit.record import EMPTY, AuditRecord, Entry, Head, seal
from skillyard.governance.tables import AuditHeadRow, AuditRecordRow, WorkspaceRow
from skillyard.ids import WorkspaceId

PAGE = 5000
"""Records that are read at once."""

_MOST_LOST = 1_000_000
"""Up to how many records that are gone a moved one is looked for among."""


async def append(session: AsyncSession, record: AuditRecord) -> Head:
    """Adds a record in the caller's transaction and returns the new head.

    The head row is locked first, so that two transactions cannot continue from one record. Raises ``NotFoundError``
    for a workspace without a head: ``open_chain`` makes it together with the workspace.
    """
    query = select(AuditHeadRow.seq, AuditHeadRow.hash).where(AuditHeadRow.workspace_id == record.workspace)
    row = (await session.execute(query.with_for_update())).one_or_none()
    if row is None:
        raise NotFoundError(f"workspace {record.workspace} does not exist")
    entry = seal(record, Head(row.seq, row.hash))
    await session.execute(insert(AuditRecordRow).values(asdict(entry)))
    head = Head(entry.seq, entry.hash)
    await session.execute(
        update(AuditHeadRow).where(AuditHeadRow.workspace_id == record.workspace).values(asdict(head))
    )
    return head


async def open_chain(session: AsyncSession, record: AuditRecord) -> Head:
    """Starts a new workspace's chain with its creation, so that an empty chain is always a cut one."""
    await session.execute(insert(AuditHeadRow).values(workspace_id=record.workspace, **asdict(EMPTY)))
    return await append(session, record)


async def workspace_named(session: AsyncSession, workspace: WorkspaceId) -> str:
    """A workspace's name. Raises ``NotFoundError``."""
    name: str | None = await session.scalar(select(WorkspaceRow.name).where(WorkspaceRow.id == workspace))
    if name is None:
        raise NotFoundError(f"workspace {workspace} does not exist")
    return name


async def kept_head(session: AsyncSession, workspace: WorkspaceId) -> Head | None:
    """Where the chain ends, as far as ``audit_heads`` says; ``None`` where it says nothing."""
    query = select(AuditHeadRow.seq, AuditHeadRow.hash).where(AuditHeadRow.workspace_id == workspace)
    row = (await session.execute(query)).one_or_none()
    return None if row is None else Head(row.seq, row.hash)


_COLUMNS = tuple(getattr(AuditRecordRow, name) for name in Entry.__slots__)


async def pages(
    session: AsyncSession, workspace: WorkspaceId, *, after: int | None = None, until: int | None = None
) -> AsyncIterator[list[Entry]]:
    """The records behind ``after``, up to and including ``until``, oldest first."""
    while page := await _readable_page(session, workspace, after, until):
        yield page
        after = page[-1].seq


async def _readable_page(
    session: AsyncSession, workspace: WorkspaceId, after: int | None, until: int | None
) -> list[Entry]:
    """The next page; a single record where one further on has bytes that are no text, so that it can be named."""
    try:
        return await _page(session, workspace, after, until, PAGE)
    except UnreadableRecordError:
        return await _page(session, workspace, after, until, 1)


async def _page(
    session: AsyncSession, workspace: WorkspaceId, after: int | None, until: int | None, limit: int
) -> list[Entry]:
    query = select(*_COLUMNS).where(AuditRecordRow.workspace_id == workspace)
    if after is not None:
        query = query.where(AuditRecordRow.seq > after)
    if until is not None:
        query = query.where(AuditRecordRow.seq <= until)
    try:
        rows = (await session.execute(query.order_by(AuditRecordRow.seq).limit(limit))).all()
    except OperationalError as error:
        if is_machine_error(error):
            raise
        raise UnreadableRecordError((after or 0) + 1) from error
    return [Entry(*row) for row in rows]


async def is_known(session: AsyncSession, workspace: WorkspaceId, digest: str) -> bool:
    """Whether any record of the chain has this hash."""
    query = select(AuditRecordRow.seq).where(AuditRecordRow.workspace_id == workspace, AuditRecordRow.hash == digest)
    return (await session.execute(query.limit(1))).first() is not None


async def longest(session: AsyncSession, workspace: WorkspaceId) -> int:
    """An upper bound for the places in the chain: the kept head may be gone, the rows may be fewer than it says.

    What it says is not believed without limit: whoever edits records may have edited it.
    """
    rows = select(func.count(), func.min(AuditRecordRow.seq)).where(AuditRecordRow.workspace_id == workspace)
    count, first = (await session.execute(rows)).one()
    kept = await kept_head(session, workspace)
    there = int(count) + max(0, min(first or 1, _MOST_LOST) - 1)
    return max(there, min(kept.seq if kept else 0, there + _MOST_LOST))
