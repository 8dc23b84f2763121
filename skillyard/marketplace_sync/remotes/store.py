"""Remotes as they are kept. Every act of a person is recorded, in the caller's transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

import httpx
from sqlalchemy import delete, func, select, update

from skillyard.database import Session
from skillyard.errors import ConflictError, NotFoundError
from skillyard.governance import audit
from skillyard.governance.administrators import Administrator, require_admin
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.tables import WorkspaceRow
from skillyard.ids import WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.marketplace_sync.catalogue import store as catalogue_store
from skillyard.marketplace_sync.catalogue.entry import CatalogueId
from skillyard.marketplace_sync.catalogue.store import Projection
from skillyard.marketplace_sync.catalogue.tables import CatalogueRow
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.remotes.remote import (
    Filters,
    Head,
    RemoteId,
    RemoteKind,
    RemoteMarket,
    RemoteState,
    stop_source,
)
from skillyard.marketplace_sync.remotes.tables import RemoteRow
from skillyard.runtime import bundle_stops

MOST_REMOTES: Final = 50
"""Of one workspace: each keeps a mirror, a schedule and perhaps a connection."""

_MOST_ERROR = 500


async def add(
    session: Session,
    *,
    by: Administrator,
    at: datetime,
    name: str,
    url: str,
    token: str | None,
    kind: RemoteKind,
    filters: Filters,
    strategy: Strategy,
    live: bool,
    public_key: str | None,
) -> RemoteMarket:
    """A remote and its empty mirror. Raises ``ConflictError``."""
    await require_admin(session, by)
    # Two at once must not both be the last that fits. This lock lets rows that refer to the workspace be written.
    await session.execute(
        select(WorkspaceRow.id).where(WorkspaceRow.id == by.workspace).with_for_update(key_share=True)
    )
    names = (await session.scalars(select(RemoteRow.name).where(RemoteRow.workspace_id == by.workspace))).all()
    if name in names:
        raise ConflictError(f"there is a remote {name} already")
    if len(names) >= MOST_REMOTES:
        raise ConflictError(f"a workspace has {MOST_REMOTES} remotes at most; remove one first")
    mirror = await catalogue_store.create(session, by.workspace, at=at)
    row = RemoteRow(
        workspace_id=by.workspace,
        catalogue_id=mirror.id,
        name=name,
        kind=kind,
        url=url,
        token=token,
        filters_json=filters.text,
        strategy=strategy,
        state=RemoteState.ENABLED,
        live_wanted=live,
        public_key=public_key,
        resync=False,
        failures=0,
        created_by_id=by.person,
        created_at=at,
    )
    session.add(row)
    await session.flush()
    facts: dict[str, JsonValue] = {"url": url, "kind": kind, "strategy": strategy.value, "live": live}
    await _note(session, by, at=at, action=Action.REMOTE_ADDED, name=name, facts=facts)
    return _value(row)


async def list_remotes(session: Session, workspace: WorkspaceId | None) -> tuple[RemoteMarket, ...]:
    """Those of a workspace by name; with ``None`` those of all, by number."""
    query = select(RemoteRow).execution_options(populate_existing=True)
    if workspace is None:
        query = query.order_by(RemoteRow.id)
    else:
        query = query.where(RemoteRow.workspace_id == workspace).order_by(RemoteRow.name)
    return tuple(_value(row) for row in await session.scalars(query))


async def get(session: Session, workspace: WorkspaceId, name: str) -> RemoteMarket:
    """One of a workspace. Another workspace's is not found."""
    return _value(await _row(session, workspace, name))


async def find(session: Session, remote: RemoteId) -> RemoteMarket:
    """One by its number, as it stands in this transaction. Raises ``NotFoundError``."""
    row = await session.get(RemoteRow, remote, populate_existing=True)
    if row is None:
        raise NotFoundError("the remote was removed")
    return _value(row)


async def change(
    session: Session,
    workspace: WorkspaceId,
    name: str,
    *,
    by: Administrator,
    at: datetime,
    url: str | None,
    filters: Filters | None,
    strategy: Strategy | None,
    live: bool | None,
) -> RemoteMarket:
    await require_admin(session, by)
    row = await _row(session, workspace, name)
    facts: dict[str, JsonValue] = {}
    if url is not None and url != row.url:
        if _origin(url) != _origin(row.url):
            # It was given for the server before, and is nobody else's business.
            row.token = None
            facts["token_forgotten"] = True
        row.url, row.resync = url, True
        facts["url"] = url
    if filters is not None and filters.text != row.filters_json:
        row.filters_json, row.resync = filters.text, True
        facts["filters"] = row.filters_json
    if strategy is not None and strategy is not row.strategy:
        row.strategy = strategy
        facts["strategy"] = strategy.value
    if live is not None and live is not row.live_wanted:
        row.live_wanted = live
        facts["live"] = live
    if facts:
        await session.flush()
        await _note(session, by, at=at, action=Action.REMOTE_CHANGED, name=name, facts=facts)
    return _value(row)


async def remove(
    session: Session, workspace: WorkspaceId, name: str, *, by: Administrator, at: datetime, projection: Projection
) -> None:
    """The remote, its mirror, and what hangs on it, the stops among it: nobody could take them back. Versions that they
    stopped stay so until somebody looks at them. Raises ``NotFoundError``."""
    await require_admin(session, by)
    row = await _row(session, workspace, name)
    mirror = await catalogue_store.find(session, CatalogueId(row.catalogue_id))
    await session.execute(delete(RemoteRow).where(RemoteRow.id == row.id))
    await catalogue_store.clear(session, mirror, projection=projection)
    await session.execute(delete(CatalogueRow).where(CatalogueRow.id == mirror.id))
    stops = await bundle_stops.forget_source(session, workspace, source=stop_source(RemoteId(row.id)))
    await _note(session, by, at=at, action=Action.REMOTE_REMOVED, name=name, facts={"stops": stops})


async def set_state(
    session: Session, workspace: WorkspaceId, name: str, state: RemoteState, *, by: Administrator, at: datetime
) -> RemoteMarket:
    await require_admin(session, by)
    row = await _row(session, workspace, name)
    if row.state is not state:
        before, row.state = row.state, state
        if before is RemoteState.DISTRUSTED:
            # Whoever enables it has seen why: what it says now is what counts, from the beginning.
            row.resync, row.head_json, row.error = True, None, None
        await session.flush()
        facts: dict[str, JsonValue] = {"from": before.value, "to": state.value}
        await _note(session, by, at=at, action=Action.REMOTE_CHANGED, name=name, facts=facts)
    return _value(row)


async def accept_key(
    session: Session, workspace: WorkspaceId, name: str, key: str, *, by: Administrator, at: datetime
) -> RemoteMarket:
    await require_admin(session, by)
    row = await _row(session, workspace, name)
    if row.public_key != key:
        before, row.public_key = row.public_key, key
        row.offered_key, row.resync, row.head_json = None, True, None
        if row.state is RemoteState.DISTRUSTED:
            row.state, row.error = RemoteState.ENABLED, None
        await session.flush()
        await _note(
            session, by, at=at, action=Action.REMOTE_KEY_ACCEPTED, name=name, facts={"key": key, "before": before}
        )
    return _value(row)


async def set_token(
    session: Session, remote: RemoteMarket, token: str | None, *, by: Administrator, at: datetime
) -> RemoteMarket:
    """Raises ``ConflictError`` where it leads elsewhere by now than where the token was tried."""
    await require_admin(session, by)
    row = await _row(session, remote.workspace, remote.name)
    if (row.id, row.url) != (remote.id, remote.url):
        raise ConflictError(f"remote {remote.name} was changed meanwhile; try again")
    row.token = token
    await session.flush()
    await _note(
        session, by, at=at, action=Action.REMOTE_TOKEN_ROTATED, name=remote.name, facts={"token": token is not None}
    )
    return _value(row)


def with_token(remote: RemoteMarket, token: str | None) -> RemoteMarket:
    return replace(remote, token=token)


# What a run does, in its own transaction


async def trust(session: Session, remote: RemoteId, head: Head | None, *, resync: bool = False) -> None:
    """Keep the head that was applied, and pin its key where none is pinned. ``resync``: begin with a snapshot next."""
    values: dict[str, object] = {"resync": resync}
    if head is not None:
        values |= {
            "head_json": head.envelope,
            "public_key": func.coalesce(RemoteRow.public_key, head.public_key),
            "offered_key": None,
        }
    await session.execute(
        update(RemoteRow).where(RemoteRow.id == remote).values(values).execution_options(synchronize_session=False)
    )


async def distrust(session: Session, remote: RemoteId, reason: str, *, offered_key: str | None) -> None:
    """Apply nothing more of it until an operator has looked. One that somebody disabled stays disabled."""
    await session.execute(
        update(RemoteRow)
        .where(RemoteRow.id == remote, RemoteRow.state == RemoteState.ENABLED)
        .values(state=RemoteState.DISTRUSTED, offered_key=offered_key, error=reason[:_MOST_ERROR])
        .execution_options(synchronize_session=False)
    )


async def record(session: Session, remote: RemoteId, *, error: str | None, at: datetime) -> None:
    """How a run ended; ``error`` is ``None`` for one that got to the head."""
    values: dict[str, object] = {"tried_at": at}
    if error is None:
        values |= {"succeeded_at": at, "failures": 0, "error": None}
    else:
        values |= {"failures": RemoteRow.failures + 1, "error": error[:_MOST_ERROR]}
    await session.execute(
        update(RemoteRow).where(RemoteRow.id == remote).values(values).execution_options(synchronize_session=False)
    )


async def _row(session: Session, workspace: WorkspaceId, name: str) -> RemoteRow:
    row = await session.scalar(
        select(RemoteRow)
        .where(RemoteRow.workspace_id == workspace, RemoteRow.name == name)
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise NotFoundError(f"there is no remote {name[:80]!r}")
    return row


async def _note(
    session: Session, by: Administrator, *, at: datetime, action: Action, name: str, facts: dict[str, JsonValue]
) -> None:
    record_ = AuditRecord(by.workspace, at, by.actor, action, f"remote/{name}", {**facts, **by.facts})
    await audit.append(session, record_)


def _origin(url: str) -> tuple[str, str, int | None]:
    parsed = httpx.URL(url)
    return parsed.scheme, parsed.host, parsed.port


def _value(row: RemoteRow) -> RemoteMarket:
    return RemoteMarket(
        id=RemoteId(row.id),
        workspace=WorkspaceId(row.workspace_id),
        catalogue=CatalogueId(row.catalogue_id),
        name=row.name,
        kind=row.kind,
        url=row.url,
        token=row.token,
        filters=Filters.parse(row.filters_json),
        strategy=row.strategy,
        state=row.state,
        live_wanted=row.live_wanted,
        public_key=row.public_key,
        offered_key=row.offered_key,
        head=row.head_json,
        resync=row.resync,
        tried_at=row.tried_at,
        succeeded_at=row.succeeded_at,
        failures=row.failures,
        error=row.error,
        created_at=row.created_at,
    )
