"""Webhooks: who is told, and where each message stands."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from skillyard.api.schemas.values import Body, View
from skillyard.governance.webhook import DeliveryState, WebhookEvent

Subscribable = Literal[
    "approval.requested", "approval.decided", "approval.expiring", "package.banned", "skill.quarantined"
]


class AddWebhookRequest(Body):
    url: Annotated[str, StringConstraints(min_length=1, max_length=2000)] = Field(
        description="An `https://` address on the public internet, unless a setting allows more."
    )
    events: Annotated[tuple[Subscribable, ...], Field(min_length=1, max_length=10)] = (
        "approval.requested",
        "approval.decided",
        "approval.expiring",
        "package.banned",
        "skill.quarantined",
    )


class WebhookView(View):
    id: int
    url: str
    events: tuple[WebhookEvent, ...]
    created_by: int
    created_at: datetime


class AddedWebhookView(WebhookView):
    """``secret`` is what messages are signed with, in the form of Standard Webhooks; it is shown this once."""

    secret: str


class DeliveryView(View):
    """One message. ``message`` is what `webhook-id` says, the same for every attempt.

    ``status`` is what the receiver answered last, null where it gave no answer; ``error`` says what went wrong last.
    """

    id: int
    webhook: int
    message: str
    event: WebhookEvent
    state: DeliveryState
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    ended_at: datetime | None
    status: int | None
    error: str | None
