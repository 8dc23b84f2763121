"""Webhooks of the caller's workspace: addresses that approvers want to be told at."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from skillyard.api.auth import Admin
from skillyard.api.paging import Cursor, PageSize, key_of, page_of
from skillyard.api.schemas.values import MAX_KEY, Page
from skillyard.api.schemas.webhooks import AddedWebhookView, AddWebhookRequest, DeliveryView, WebhookView
from skillyard.api.state import TheRuntime
from skillyard.governance import outbox, webhook_store
from skillyard.governance.webhook import DeliveryId, DeliveryState, WebhookEvent, WebhookId

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

Key = Annotated[int, Path(ge=1, le=MAX_KEY)]


@router.get("")
async def list_webhooks(
    runtime: TheRuntime, admin: Admin, cursor: Cursor = None, limit: PageSize = 100
) -> Page[WebhookView]:
    """Every webhook, without its secret."""
    async with runtime.database.reading() as session:
        found = await webhook_store.list_webhooks(session, admin.workspace, after=key_of(cursor), limit=limit + 1)
    return page_of(found, limit, WebhookView.model_validate)


@router.post("", status_code=201)
async def add_webhook(runtime: TheRuntime, admin: Admin, body: AddWebhookRequest) -> AddedWebhookView:
    """A new webhook. Its secret is in this answer and nowhere else."""
    made, secret = await runtime.webhooks.add(body.url, [WebhookEvent(event) for event in body.events], by=admin)
    return AddedWebhookView(**WebhookView.model_validate(made).__dict__, secret=secret)


@router.delete("/{webhook_id}", status_code=204)
async def remove_webhook(runtime: TheRuntime, admin: Admin, webhook_id: Key) -> None:
    """Send nothing more to it."""
    await runtime.webhooks.remove(WebhookId(webhook_id), by=admin)


@router.post("/{webhook_id}/test")
async def test_webhook(runtime: TheRuntime, admin: Admin, webhook_id: Key) -> DeliveryView:
    """Send a message of the event `webhook.test` now, and say what came of it."""
    return DeliveryView.model_validate(await runtime.webhooks.test(WebhookId(webhook_id), by=admin))


@router.get("/{webhook_id}/deliveries")
async def list_deliveries(
    runtime: TheRuntime,
    admin: Admin,
    webhook_id: Key,
    *,
    state: DeliveryState | None = None,
    cursor: Cursor = None,
    limit: PageSize = 100,
) -> Page[DeliveryView]:
    """Its messages, the newest first; those that ended are kept for 30 days."""
    webhook = WebhookId(webhook_id)
    before = key_of(cursor) if cursor is not None else None
    async with runtime.database.reading() as session:
        await webhook_store.get(session, admin.workspace, webhook)
        found = await outbox.list_deliveries(
            session, admin.workspace, webhook, state=state, before=before, limit=limit + 1
        )
    return page_of(found, limit, DeliveryView.model_validate)


@router.post("/{webhook_id}/deliveries/{delivery_id}/retry")
async def retry_delivery(runtime: TheRuntime, admin: Admin, webhook_id: Key, delivery_id: Key) -> DeliveryView:
    """Let a dead message be tried again, from now on."""
    retried = await runtime.webhooks.retry(WebhookId(webhook_id), DeliveryId(delivery_id), by=admin)
    return DeliveryView.model_validate(retried)
