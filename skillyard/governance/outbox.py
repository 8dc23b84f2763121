"""The outbox of webhooks: messages written in the transaction of what they tell of, and who sends which.

A message is claimed by one process at a time, for a while: a process that dies meanwhile loses its claim, and another
sends the message again under the same id. So each is delivered at least once, and a receiver goes by the id.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import orjson
from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import ConflictError, NotFoundError
from skillyard.governance.decision import PackageRule
from skillyard.governance.tables import WebhookDeliveryRow, WebhookRow
from skillyard.governance.webhook import Claimed, Delivery, DeliveryId, DeliveryState, WebhookEvent, WebhookId
from skillyard.ids import WorkspaceId
from skillyard.json_value import JsonValue

NAMED: Final = 50
"""Packages that a message names; of more it says how many there are."""


async def announce(
    session: AsyncSession, workspace: WorkspaceId, event: WebhookEvent, data: Mapping[str, JsonValue], *, at: datetime
) -> int:
    """Writes one message for each webhook of the workspace that listens to this; returns how many.

    In the caller's transaction: what is rolled back is never told, what is committed always is.
    """
    rows = await session.execute(
        select(WebhookRow.id, WebhookRow.events).where(
            WebhookRow.workspace_id == workspace, WebhookRow.removed_at.is_(None)
        )
    )
    listening = [WebhookId(id_) for id_, events in rows if event.value in orjson.loads(events)]
    await _write(session, workspace, listening, event=event, data=data, at=at)
    return len(listening)


async def announce_bans(
    session: AsyncSession, workspace: WorkspaceId, bans: Sequence[PackageRule], *, at: datetime
) -> int:
    """As ``announce``: the bans of one change, the first of them by name."""
    named: list[JsonValue] = [
        {
            "ecosystem": rule.ecosystem.value,
            "name": rule.name,
            "specifier": rule.specifier,
            "reason": rule.reason,
            "scope": rule.scope.value,
        }
        for rule in bans[:NAMED]
    ]
    data: dict[str, JsonValue] = {"workspace": workspace, "bans": named, "bans_in_all": len(bans)}
    return await announce(session, workspace, WebhookEvent.PACKAGE_BANNED, data, at=at)


async def send_test(session: AsyncSession, workspace: WorkspaceId, webhook: WebhookId, *, at: datetime) -> DeliveryId:
    """A message to one webhook, whatever it listens to. Raises ``NotFoundError``."""
    found = await session.scalar(
        select(WebhookRow.id).where(
            WebhookRow.workspace_id == workspace, WebhookRow.id == webhook, WebhookRow.removed_at.is_(None)
        )
    )
    if found is None:
        raise NotFoundError(f"there is no webhook {webhook}")
    data: dict[str, JsonValue] = {"workspace": workspace, "webhook": webhook}
    (delivery,) = await _write(session, workspace, [webhook], event=WebhookEvent.TEST, data=data, at=at)
    return delivery


async def due(
    session: AsyncSession,
    now: datetime,
    *,
    limit: int,
    busy: Collection[WebhookId] = (),
    only: WebhookId | None = None,
) -> tuple[int, ...]:
    """For each webhook that has something to send now, the message that waits longest; ``busy`` ones are left out.

    One at a time to each, so that a receiver that hangs holds up nobody else.
    """
    row = WebhookDeliveryRow
    oldest = select(func.min(row.id)).join(WebhookRow, WebhookRow.id == row.webhook_id)
    ready = oldest.where(_free(now), row.next_attempt_at <= now, WebhookRow.removed_at.is_(None))
    if only is not None:
        ready = ready.where(row.webhook_id == only)
    if busy:
        ready = ready.where(row.webhook_id.not_in(busy))
    found = await session.scalars(ready.group_by(row.webhook_id).order_by(func.min(row.next_attempt_at)).limit(limit))
    return tuple(found)


async def claim(
    session: AsyncSession, wanted: Iterable[int], *, by: str, now: datetime, hold: timedelta
) -> tuple[Claimed, ...]:
    """Takes these messages for one process until ``hold`` is over. What another one took meanwhile is left out."""
    row = WebhookDeliveryRow
    taken = await session.scalars(
        update(row)
        .where(row.id.in_(list(wanted)), _free(now))
        .values(claimed_by=by, claimed_until=now + hold)
        .returning(row.id)
        .execution_options(synchronize_session=False)
    )
    query = select(row, WebhookRow.url, WebhookRow.secret).join(WebhookRow, WebhookRow.id == row.webhook_id)
    found = await session.execute(query.where(row.id.in_(taken.all())).execution_options(populate_existing=True))
    return tuple(
        Claimed(
            id=DeliveryId(one.id),
            workspace=WorkspaceId(one.workspace_id),
            webhook=WebhookId(one.webhook_id),
            message=one.message_id,
            url=url,
            secret=secret,
            body=one.body,
            attempts=one.attempts,
            counted_from=one.counted_from,
        )
        for one, url, secret in found
    )


async def settle(
    session: AsyncSession,
    sent: Claimed,
    *,
    by: str,
    at: datetime,
    status: int | None,
    error: str | None,
    again_at: datetime | None,
) -> bool:
    """What became of an attempt. Without an ``error`` it was taken; with one it is tried ``again_at``, or is dead.

    False where the claim had run out and was somebody else's by then: what they find counts.
    """
    row = WebhookDeliveryRow
    state = (
        DeliveryState.DELIVERED if error is None else DeliveryState.DEAD if again_at is None else DeliveryState.WAITING
    )
    settled = await session.scalar(
        update(row)
        .where(row.id == sent.id, row.claimed_by == by, row.state == DeliveryState.WAITING)
        .values(
            state=state,
            attempts=row.attempts + 1,
            next_attempt_at=again_at or at,
            claimed_by=None,
            claimed_until=None,
            ended_at=None if state is DeliveryState.WAITING else at,
            status=status,
            error=None if error is None else error[:500],
        )
        .returning(row.id)
        .execution_options(synchronize_session=False)
    )
    return settled is not None


async def retry(
    session: AsyncSession, workspace: WorkspaceId, webhook: WebhookId, delivery: DeliveryId, *, at: datetime
) -> Delivery:
    """Lets a dead message be tried again from now on, as if it were new. Raises ``ConflictError`` for any other."""
    row = WebhookDeliveryRow
    revived = await session.scalar(
        update(row)
        .where(row.workspace_id == workspace, row.webhook_id == webhook, row.id == delivery)
        .where(row.state == DeliveryState.DEAD)
        .values(state=DeliveryState.WAITING, ended_at=None, attempts=0, counted_from=at, next_attempt_at=at)
        .returning(row.id)
        .execution_options(synchronize_session=False)
    )
    found = await get(session, workspace, webhook, delivery)
    if revived is None:
        raise ConflictError(f"delivery {delivery} is {found.state}; only a dead one can be retried")
    return found


async def get(session: AsyncSession, workspace: WorkspaceId, webhook: WebhookId, delivery: DeliveryId) -> Delivery:
    row = WebhookDeliveryRow
    query = select(row).where(row.workspace_id == workspace, row.webhook_id == webhook, row.id == delivery)
    found = await session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise NotFoundError(f"there is no delivery {delivery} of webhook {webhook}")
    return _value(found)


async def list_deliveries(
    session: AsyncSession,
    workspace: WorkspaceId,
    webhook: WebhookId,
    *,
    state: DeliveryState | None = None,
    before: int | None = None,
    limit: int = 100,
) -> tuple[Delivery, ...]:
    """Messages of a webhook, the newest first; ``before`` is the last id of the page before."""
    row = WebhookDeliveryRow
    query = select(row).where(row.workspace_id == workspace, row.webhook_id == webhook)
    if state is not None:
        query = query.where(row.state == state)
    if before is not None:
        query = query.where(row.id < before)
    return tuple(_value(one) for one in await session.scalars(query.order_by(row.id.desc()).limit(limit)))


async def forget(session: AsyncSession, *, ended_before: datetime, limit: int = 1000) -> int:
    """Deletes messages that ended before a moment, delivered or dead, a bounded number at once."""
    row = WebhookDeliveryRow
    old = select(row.id).where(row.state != DeliveryState.WAITING, row.ended_at < ended_before).limit(limit)
    gone = await session.scalars(delete(row).where(row.id.in_(old)).returning(row.id))
    return len(gone.all())


async def _write(
    session: AsyncSession,
    workspace: WorkspaceId,
    webhooks: Iterable[WebhookId],
    *,
    event: WebhookEvent,
    data: Mapping[str, JsonValue],
    at: datetime,
) -> tuple[DeliveryId, ...]:
    body = orjson.dumps({"type": event.value, "timestamp": at.isoformat(), "data": data}).decode()
    rows = [
        WebhookDeliveryRow(
            workspace_id=workspace,
            webhook_id=webhook,
            message_id=f"msg_{uuid.uuid4().hex}",
            event=event.value,
            body=body,
            state=DeliveryState.WAITING,
            attempts=0,
            created_at=at,
            next_attempt_at=at,
            counted_from=at,
        )
        for webhook in webhooks
    ]
    session.add_all(rows)
    await session.flush()
    return tuple(DeliveryId(row.id) for row in rows)


def _free(now: datetime) -> ColumnElement[bool]:
    row = WebhookDeliveryRow
    unclaimed = or_(row.claimed_until.is_(None), row.claimed_until < now)
    return and_(row.state == DeliveryState.WAITING, unclaimed)


def _value(row: WebhookDeliveryRow) -> Delivery:
    waiting = row.state is DeliveryState.WAITING
    return Delivery(
        id=DeliveryId(row.id),
        webhook=WebhookId(row.webhook_id),
        message=row.message_id,
        event=WebhookEvent(row.event),
        state=row.state,
        attempts=row.attempts,
        created_at=row.created_at,
        next_attempt_at=row.next_attempt_at if waiting else None,
        ended_at=row.ended_at,
        status=row.status,
        error=row.error,
    )
