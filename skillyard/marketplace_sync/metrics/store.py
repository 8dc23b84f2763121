"""How every remote stands, counted in the database in the moment somebody asks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import InstrumentedAttribute

from skillyard.database import Session
from skillyard.governance.identity import WorkspaceState
from skillyard.governance.tables import WorkspaceRow
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.catalogue.entry import EntryKind
from skillyard.marketplace_sync.catalogue.tables import CatalogueRow, EntryRow
from skillyard.marketplace_sync.conflicts.tables import ConflictRow
from skillyard.marketplace_sync.conflicts.values import ConflictState
from skillyard.marketplace_sync.follower.tables import MirrorRow
from skillyard.marketplace_sync.jobs.tables import JobRow, RunRow
from skillyard.marketplace_sync.jobs.values import Job, RunState
from skillyard.marketplace_sync.metrics.values import Footing, Standing
from skillyard.marketplace_sync.remotes.remote import RemoteId
from skillyard.marketplace_sync.remotes.tables import RemoteRow, SetAsideRow
from skillyard.marketplace_sync.upwards.tables import UploadRow
from skillyard.marketplace_sync.upwards.values import UploadKind, UploadState


async def footings(session: Session) -> tuple[Footing, ...]:
    """The remotes of all active workspaces by name. Reads little: anybody may ask for the health of a server."""
    query = (
        select(RemoteRow, WorkspaceRow.name, JobRow.paused, JobRow.seconds)
        .join(WorkspaceRow, WorkspaceRow.id == RemoteRow.workspace_id)
        .outerjoin(JobRow, _follows_it())
        .where(*_wanted(None))
        .order_by(WorkspaceRow.name, RemoteRow.name)
    )
    rows = (await session.execute(query)).all()
    dead = await _dead(session, [row.id for row, *_ in rows])
    aside = await _count(session, SetAsideRow.remote_id)
    return tuple(
        Footing(
            id=RemoteId(row.id),
            workspace=WorkspaceId(row.workspace_id),
            workspace_name=name,
            name=row.name,
            kind=row.kind,
            state=row.state,
            live_wanted=row.live_wanted,
            created_at=row.created_at,
            succeeded_at=row.succeeded_at,
            failures=row.failures,
            error=row.error,
            paused=bool(paused),
            seconds=seconds,
            dead=dead.get(row.id, 0),
            set_aside=aside.get(row.id, 0),
        )
        for row, name, paused, seconds in rows
    )


async def standings(session: Session, workspace: WorkspaceId | None) -> tuple[Standing, ...]:
    """The remotes of a workspace by name; with ``None`` those of all active workspaces."""
    query = (
        select(RemoteRow, WorkspaceRow.name, CatalogueRow.seq, MirrorRow.seq, JobRow.paused, JobRow.seconds)
        .join(WorkspaceRow, WorkspaceRow.id == RemoteRow.workspace_id)
        .join(CatalogueRow, CatalogueRow.id == RemoteRow.catalogue_id)
        .outerjoin(MirrorRow, MirrorRow.remote_id == RemoteRow.id)
        .outerjoin(JobRow, _follows_it())
        .where(*_wanted(workspace))
        .order_by(WorkspaceRow.name, RemoteRow.name)
    )
    mine = _mine(workspace)
    rows = (await session.execute(query)).all()
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
            succeeded_at=row.succeeded_at,
            failures=row.failures,
            error=row.error,
            paused=bool(paused),
            seconds=seconds,
            dead=uploads.get(row.id, {}).get(UploadState.DEAD, 0),
            seq=seq,
            head_seq=head_seq,
            skills=entries.get((row.catalogue_id, EntryKind.SKILL), 0),
            categories=entries.get((row.catalogue_id, EntryKind.CATEGORY), 0),
            tried_at=row.tried_at,
            set_aside=aside.get(row.id, 0),
            uploads=uploads.get(row.id, {}),
            sent_at=sent.get(row.id),
            conflicts=conflicts.get(row.id, 0),
        )
        for row, name, seq, head_seq, paused, seconds in rows
    )


def _wanted(workspace: WorkspaceId | None) -> tuple[ColumnElement[bool], ...]:
    """Of the whole instance only what is followed at all: nothing is done for a workspace that is suspended."""
    return _mine(workspace) or (WorkspaceRow.state == WorkspaceState.ACTIVE,)


def _mine(workspace: WorkspaceId | None) -> tuple[ColumnElement[bool], ...]:
    return () if workspace is None else (RemoteRow.workspace_id == workspace,)


def _follows_it() -> ColumnElement[bool]:
    return and_(JobRow.remote_id == RemoteRow.id, JobRow.job == Job.CATALOGUE)


async def _dead(session: Session, remotes: list[int]) -> Mapping[int, int]:
    query = (
        select(UploadRow.remote_id, func.count())
        .where(UploadRow.remote_id.in_(remotes), UploadRow.state == UploadState.DEAD)
        .group_by(UploadRow.remote_id)
    )
    return {RemoteId(remote): count for remote, count in (await session.execute(query)).all()}


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
