"""Webhooks as values: who is told of what, and where each message stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from skillyard.ids import PersonId, WorkspaceId

WebhookId = NewType("WebhookId", int)
DeliveryId = NewType("DeliveryId", int)


class WebhookEvent(StrEnum):
    """What a webhook can be told of. Stable: receivers go by these names."""

    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_DECIDED = "approval.decided"
    """Approved, denied, revoked, expired or withdrawn; ``data.state`` says which."""
    APPROVAL_EXPIRING = "approval.expiring"
    """An approval that was given runs out soon."""
    PACKAGE_BANNED = "package.banned"
    SKILL_QUARANTINED = "skill.quarantined"
    """Newer advisories say of an installed version that it must not run."""
    TEST = "webhook.test"
    """Sent when an admin asks for it, to whatever events a webhook listens."""


SUBSCRIBABLE = tuple(event for event in WebhookEvent if event is not WebhookEvent.TEST)


class DeliveryState(StrEnum):
    """``waiting`` messages are tried until they are taken, or are too old: then they are ``dead`` and kept."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address of a workspace that is told of events. Its secret stays in the store."""

    id: WebhookId
    workspace: WorkspaceId
    url: str
    events: tuple[WebhookEvent, ...]
    created_by: PersonId
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one webhook. ``message`` is its stable id, by which a receiver knows one it had before.

    ``error`` says in our own words what went wrong last; nothing a receiver answered is kept.
    """

    id: DeliveryId
    webhook: WebhookId
    message: str
    event: WebhookEvent
    state: DeliveryState
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    ended_at: datetime | None
    status: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this process alone is to send now, with all that sending needs."""

    id: DeliveryId
    workspace: WorkspaceId
    webhook: WebhookId
    message: str
    url: str
    secret: str
    body: str
    attempts: int
    """Those before this one."""
    counted_from: datetime
