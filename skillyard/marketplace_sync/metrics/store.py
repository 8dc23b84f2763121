"""How every remote stands, counted in the database in the moment somebody asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute

from skillyard.database import Session
from skillyard.governance.tables import WorkspaceRow
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.catalogue.entry import EntryKind
from skillyard.marketplace_sync.catalogue.tables import CatalogueRow, EntryRow
from skillyard.marketplace_sync.conflicts.tables import ConflictRow
from skillyard.marketplace_sync.conflicts.values import ConflictState
from skillyard.marketplace_sync.follower.tables import MirrorRow
from skillyard.marketplace_sync.jobs.tables import JobRow, RunRow
from skillyard.marketplace_sync.jobs.values import Job, RunState
from skillyard.marketplace_sync.remotes.remote import RemoteId, RemoteKind, RemoteState
from skillyard.marketplace_sync.remotes.tables import RemoteRow, SetAsideRow
from skillyard.marketplace_sync.upwards.tables import UploadRow
from skillyard.marketplace_sync.upwards.values import UploadKind, UploadState


@dataclass(frozen=True, slots=True)
class Standing:
    """A remote as the database tells it. ``head_seq`` is of the last head that was believed; skills and categories are
    those that the mirror has with their documents."""

    id: RemoteId
    workspace: WorkspaceId
    workspace_name: str
    name: str
    kind: RemoteKind
    state: RemoteState
    live_wanted: bool
    created_at: datetime
    seq: int
    head_seq: int | None
    skills: int
    categories: int
    tried_at: datetime | None
    succeeded_at: datetime | None
    failures: int
    error: str | None
    set_aside: int
    uploads: Mapping[UploadState, int]
    sent_at: datetime | None
    """When what was due was last sent in full."""
    conflicts: int

    @property
    def label(self) -> str:
        """As metrics name it."""
        return f"{self.workspace_name}/{self.name}"

    @property
    def channel_wanted(self) -> bool:
        return self.live_wanted and self.state is RemoteState.ENABLED and self.kind is RemoteKind.SKILLYARD

    @property
    def lag(self) -> int | None:
        """Changes of the remote that the mirror is known not to have."""
        return None if self.head_seq is None else max(0, self.head_seq - self.seq)


async def standings(session: Session, workspace: WorkspaceId | None) -> tuple[Standing, ...]:
    """The remotes of a workspace by name; with ``None`` those of all workspaces."""
    query = (
        select(RemoteRow, WorkspaceRow.name, CatalogueRow.seq, MirrorRow.seq)
        .join(WorkspaceRow, WorkspaceRow.id == RemoteRow.workspace_id)
        .join(CatalogueRow, CatalogueRow.id == RemoteRow.catalogue_id)
        .outerjoin(MirrorRow, MirrorRow.remote_id == RemoteRow.id)
        .order_by(WorkspaceRow.name, RemoteRow.name)
    )
    mine = _mine(workspace)
    rows = (await session.execute(query.where(*mine))).all()
    entries = await _entries(session, [row.catalogue_id for row, *_ in rows])
    aside = await _count(session, SetAsideRow.remote_id, *mine)
    conflicts = await _count(session, ConflictRow.remote_id, ConflictRow.state == ConflictState.OPEN, *mine)
    uploads = await _uploads(session, mine)
    sent = await _sent(session, mine)
    return tuple(
        Standing(
            id=RemoteId(row.id),
            workspace=WorkspaceId(row.workspace_id),
            workspace_name=name,
            name=row.name,
            kind=row.kind,
            state=row.state,
            live_wanted=row.live_wanted,
            created_at=row.created_at,
            seq=seq,
            head_seq=head_seq,
            skills=entries.get((row.catalogue_id, EntryKind.SKILL), 0),
            categories=entries.get((row.catalogue_id, EntryKind.CATEGORY), 0),
            tried_at=row.tried_at,
            succeeded_at=row.succeeded_at,
            failures=row.failures,
            error=row.error,
            set_aside=aside.get(row.id, 0),
            uploads=uploads.get(row.id, {}),
            sent_at=sent.get(row.id),
            conflicts=conflicts.get(row.id, 0),
        )
        for row, name, seq, head_seq in rows
    )


def _mine(workspace: WorkspaceId | None) -> tuple[ColumnElement[bool], ...]:
    return () if workspace is None else (RemoteRow.workspace_id == workspace,)


async def _entries(session: Session, catalogues: list[int]) -> Mapping[tuple[int, EntryKind], int]:
    query = (
        select(EntryRow.catalogue_id, EntryRow.kind, func.count())
        .where(EntryRow.catalogue_id.in_(catalogues), EntryRow.kind.in_((EntryKind.SKILL, EntryKind.CATEGORY)))
        .where(EntryRow.deleted.is_(False), EntryRow.document.is_not(None))
        .group_by(EntryRow.catalogue_id, EntryRow.kind)
    )
    return {(catalogue, kind): count for catalogue, kind, count in (await session.execute(query)).all()}


async def _count(
    session: Session,
    of: InstrumentedAttribute[int],
    *where: ColumnElement[bool],
) -> Mapping[int, int]:
    query = select(of, func.count()).join(RemoteRow, of == RemoteRow.id).where(*where).group_by(of)
    return {RemoteId(remote): count for remote, count in (await session.execute(query)).all()}


async def _uploads(session: Session, mine: tuple[ColumnElement[bool], ...]) -> Mapping[int, Mapping[UploadState, int]]:
    """Those that are open: what was sent or dropped is history."""
    query = (
        select(UploadRow.remote_id, UploadRow.state, func.count())
        .join(RemoteRow, UploadRow.remote_id == RemoteRow.id)
        .where(UploadRow.state.in_((UploadState.WAITING, UploadState.CONFLICT, UploadState.DEAD)), *mine)
        .group_by(UploadRow.remote_id, UploadRow.state)
    )
    found: dict[int, dict[UploadState, int]] = {}
    for remote, state, count in (await session.execute(query)).all():
        found.setdefault(remote, {})[state] = count
    return found


async def of_kind(
    session: Session, workspace: WorkspaceId, kind: UploadKind
) -> Mapping[tuple[RemoteId, UploadState], int]:
    """How many items of a kind each remote of a workspace has, by their state; what has none is left out."""
    query = (
        select(UploadRow.remote_id, UploadRow.state, func.count())
        .where(UploadRow.workspace_id == workspace, UploadRow.kind == kind)
        .group_by(UploadRow.remote_id, UploadRow.state)
    )
    rows = (await session.execute(query)).all()
    return {(RemoteId(remote), state): count for remote, state, count in rows}


async def _sent(session: Session, mine: tuple[ColumnElement[bool], ...]) -> Mapping[int, datetime]:
    query = (
        select(JobRow.remote_id, func.max(RunRow.ended_at))
        .join(RunRow, RunRow.job_id == JobRow.id)
        .join(RemoteRow, RemoteRow.id == JobRow.remote_id)
        .where(JobRow.job == Job.UPLOADS, RunRow.state == RunState.SUCCEEDED, *mine)
        .group_by(JobRow.remote_id)
    )
    rows = (await session.execute(query)).all()
    return {remote: at for remote, at in rows if remote is not None and at is not None}
