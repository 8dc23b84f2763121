"""Webhooks as they are kept. Every change is recorded, in the caller's transaction."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection
from datetime import datetime
from typing import Final

import orjson
from sqlalchemy import Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import ConflictError, InputError, NotFoundError
from skillyard.governance import audit
from skillyard.governance.administrators import Administrator, require_admin
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.tables import WebhookDeliveryRow, WebhookRow, WorkspaceRow
from skillyard.governance.webhook import SUBSCRIBABLE, DeliveryState, Webhook, WebhookEvent, WebhookId
from skillyard.ids import PersonId, WorkspaceId
from skillyard.json_value import JsonValue

MOST_WEBHOOKS: Final = 20
"""Of one workspace: each event costs a row and an outside request for each of them."""

_SECRET_BYTES = 32


async def add(
    session: AsyncSession,
    workspace: WorkspaceId,
    url: str,
    events: Collection[WebhookEvent],
    *,
    origin: str,
    by: Administrator,
    at: datetime,
) -> tuple[Webhook, str]:
    """A webhook, and the secret its messages are signed with, which is not shown again.

    ``origin`` is the address without its path, which may hold a token of the receiver: what the record says.
    """
    await require_admin(session, by)
    named = tuple(sorted(set(events), key=SUBSCRIBABLE.index)) if set(events) <= set(SUBSCRIBABLE) else ()
    if not named:
        raise InputError(f"one or more of: {', '.join(SUBSCRIBABLE)}", field="events")
    # Two at once must not both be the twentieth. This lock lets rows that refer to the workspace be written meanwhile.
    await session.execute(select(WorkspaceRow.id).where(WorkspaceRow.id == workspace).with_for_update(key_share=True))
    count = await session.scalar(select(func.count()).select_from(_live(workspace).subquery()))
    if (count or 0) >= MOST_WEBHOOKS:
        raise ConflictError(f"a workspace has {MOST_WEBHOOKS} webhooks at most; remove one first")
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    row = WebhookRow(
        workspace_id=workspace,
        url=url,
        secret=secret,
        events=orjson.dumps([event.value for event in named]).decode(),
        created_by_id=by.person,
        created_at=at,
    )
    session.add(row)
    await session.flush()
    payload: dict[str, JsonValue] = {"origin": origin, "events": [event.value for event in named]}
    await audit.append(
        session, AuditRecord(workspace, at, by.actor, Action.WEBHOOK_ADDED, f"webhook/{row.id}", payload)
    )
    return _value(row), secret


async def remove(
    session: AsyncSession, workspace: WorkspaceId, webhook: WebhookId, *, by: Administrator, at: datetime
) -> None:
    """Ends a webhook: nothing more is sent, and its secret is forgotten. Raises ``NotFoundError``."""
    await require_admin(session, by)
    gone = await session.scalar(
        update(WebhookRow)
        .where(WebhookRow.workspace_id == workspace, WebhookRow.id == webhook, WebhookRow.removed_at.is_(None))
        .values(removed_at=at, secret="")
        .returning(WebhookRow.id)
        .execution_options(synchronize_session=False)
    )
    if gone is None:
        raise NotFoundError(f"there is no webhook {webhook}")
    await session.execute(
        update(WebhookDeliveryRow)
        .where(WebhookDeliveryRow.workspace_id == workspace, WebhookDeliveryRow.webhook_id == webhook)
        .where(WebhookDeliveryRow.state == DeliveryState.WAITING)
        .values(state=DeliveryState.DEAD, ended_at=at, error="the webhook was removed")
        .execution_options(synchronize_session=False)
    )
    await audit.append(session, AuditRecord(workspace, at, by.actor, Action.WEBHOOK_REMOVED, f"webhook/{webhook}", {}))


async def get(session: AsyncSession, workspace: WorkspaceId, webhook: WebhookId) -> Webhook:
    """One webhook. A removed one, and another workspace's, is not found."""
    row = await session.scalar(_live(workspace).where(WebhookRow.id == webhook))
    if row is None:
        raise NotFoundError(f"there is no webhook {webhook}")
    return _value(row)


async def list_webhooks(
    session: AsyncSession, workspace: WorkspaceId, *, after: int = 0, limit: int = 100
) -> tuple[Webhook, ...]:
    rows = await session.scalars(_live(workspace).where(WebhookRow.id > after).limit(limit))
    return tuple(_value(row) for row in rows)


def _live(workspace: WorkspaceId) -> Select[WebhookRow]:
    query = select(WebhookRow).where(WebhookRow.workspace_id == workspace, WebhookRow.removed_at.is_(None))
    return query.order_by(WebhookRow.id)


def _value(row: WebhookRow) -> Webhook:
    return Webhook(
        id=WebhookId(row.id),
        workspace=WorkspaceId(row.workspace_id),
        url=row.url,
        events=tuple(WebhookEvent(event) for event in orjson.loads(row.events)),
        created_by=PersonId(row.created_by_id),
        created_at=row.created_at,
    )
