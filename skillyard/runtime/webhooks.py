"""Webhooks as use cases, and the delivery of what waits for them.

Every server process on the database delivers; a message belongs to the one that claimed it, for as long as sending can
take. A failure is tried again later and later, with some chance in it so that many do not come at once, until the
message is too old: then it is dead, which admins see and can undo.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from datetime import timedelta

import structlog

from skillyard.database import Database
from skillyard.errors import InputError
from skillyard.governance import outbox, webhook_store
from skillyard.governance.administrators import Administrator, require_admin
from skillyard.governance.webhook import Claimed, Delivery, DeliveryId, Webhook, WebhookEvent, WebhookId
from skillyard.runtime.addresses import origin
from skillyard.runtime.webhook_address import WebhookAddressError, checked, parse_url
from skillyard.runtime.webhook_sender import WebhookSender
from skillyard.settings import Settings
from skillyard.times import utcnow

LOOK_SECONDS = 1.0
"""How often a process looks for messages to send."""
FORGET_SECONDS = 3600.0

_LONGEST_WAIT = timedelta(hours=6)
_AT_ONCE = 16
_KEEP = timedelta(days=30)

_log = structlog.get_logger("skillyard.webhooks")


class Webhooks:
    """Adds, removes and tests webhooks, and delivers. ``look`` has to be called now and then; ``close`` ends it."""

    def __init__(self, *, database: Database, settings: Settings, lease: str) -> None:
        self._database = database
        self._lease = lease
        self._allow_private = settings.webhook_allow_private
        self._first_wait = timedelta(seconds=settings.webhook_retry)
        self._max_age = timedelta(hours=settings.webhook_max_age_hours)
        # A claim that outlives every attempt: nobody else sends what is still being sent.
        self._hold = timedelta(seconds=3 * settings.webhook_timeout + 30)
        self._sender = WebhookSender(
            timeout=settings.webhook_timeout,
            allow_private=settings.webhook_allow_private,
            ca_bundle=settings.webhook_ca_bundle,
        )
        self._sending: dict[WebhookId, asyncio.Task[None]] = {}
        self._closed = False

    # Managing

    async def add(self, url: str, events: Collection[WebhookEvent], *, by: Administrator) -> tuple[Webhook, str]:
        """A webhook, and its secret, which is shown this once. Raises ``InputError`` for an address that is none, or
        that nothing is sent to from here."""
        parsed = parse_url(url)
        try:
            await checked(parsed, allow_private=self._allow_private)
        except WebhookAddressError as error:
            raise InputError(str(error), field="url") from error
        async with self._database.transaction() as session:
            return await webhook_store.add(
                session, by.workspace, str(parsed), events, origin=origin(parsed), by=by, at=utcnow()
            )

    async def remove(self, webhook: WebhookId, *, by: Administrator) -> None:
        """Send nothing more to it. What is on its way arrives still."""
        async with self._database.transaction() as session:
            await webhook_store.remove(session, by.workspace, webhook, by=by, at=utcnow())

    async def test(self, webhook: WebhookId, *, by: Administrator) -> Delivery:
        """Send a message now, and say what came of this first attempt; where it failed, it is tried again as any."""
        async with self._database.transaction() as session:
            await require_admin(session, by)
            now = utcnow()
            delivery = await outbox.send_test(session, by.workspace, webhook, at=now)
            claimed = await outbox.claim(session, [delivery], by=self._lease, now=now, hold=self._hold)
        for message in claimed:
            await self._send(message)
        async with self._database.reading() as session:
            return await outbox.get(session, by.workspace, webhook, delivery)

    async def retry(self, webhook: WebhookId, delivery: DeliveryId, *, by: Administrator) -> Delivery:
        """Let a dead message be tried again."""
        async with self._database.transaction() as session:
            await require_admin(session, by)
            await webhook_store.get(session, by.workspace, webhook)
            return await outbox.retry(session, by.workspace, webhook, delivery, at=utcnow())

    # Delivering

    async def look(self) -> None:
        """Begin to send what is due. One message at a time to each webhook, to some webhooks at once."""
        room = _AT_ONCE - len(self._sending)
        if room <= 0 or self._closed:
            return
        now = utcnow()
        async with self._database.reading() as session:
            wanted = await outbox.due(session, now, busy=tuple(self._sending), limit=room)
        if not wanted:
            return
        async with self._database.transaction() as session:
            claimed = await outbox.claim(session, wanted, by=self._lease, now=now, hold=self._hold)
        for message in claimed:
            task = asyncio.create_task(self._follow(message))
            self._sending[message.webhook] = task
            task.add_done_callback(self._done)

    async def forget(self) -> None:
        """Delete messages that ended long ago."""
        async with self._database.transaction() as session:
            await outbox.forget(session, ended_before=utcnow() - _KEEP)

    async def close(self) -> None:
        """Stop sending. What is cut off here is sent again once its claim has run out, under the same id."""
        self._closed = True
        for task in tuple(self._sending.values()):
            task.cancel()
        await asyncio.gather(*self._sending.values(), return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._sending = {webhook: one for webhook, one in self._sending.items() if one is not task}
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("webhook_delivery_failed", error=str(error))

    async def _follow(self, message: Claimed) -> None:
        """One message, and then whatever else waits for the same webhook, as long as it takes them."""
        current = message
        while await self._send(current):
            now = utcnow()
            async with self._database.transaction() as session:
                due = await outbox.due(session, now, limit=1, only=current.webhook)
                claimed = await outbox.claim(session, due, by=self._lease, now=now, hold=self._hold)
            if not claimed:
                return
            (current,) = claimed

    async def _send(self, message: Claimed) -> bool:
        """One attempt, and what follows from it; true where the receiver took the message."""
        attempt = await self._sender.send(message, timestamp=int(utcnow().timestamp()))
        at = utcnow()
        again = None if attempt.error is None else at + self._wait(message.attempts)
        if again is not None and again > message.counted_from + self._max_age:
            again = None
        async with self._database.transaction() as session:
            await outbox.settle(
                session, message, by=self._lease, at=at, status=attempt.status, error=attempt.error, again_at=again
            )
        if attempt.error is not None:
            where = origin(parse_url(message.url))
            what = "webhook_delivery_dead" if again is None else "webhook_delivery_failed"
            _log.warning(what, webhook=message.webhook, message=message.message, to=where, error=attempt.error)
        return attempt.error is None

    def _wait(self, attempts: int) -> timedelta:
        """Twice as long each time, up to some hours; between half of that and all of it."""
        doubled = self._first_wait * (1 << min(attempts, 20))
        return min(doubled, _LONGEST_WAIT) * (0.5 + random.random() / 2)  # noqa: S311 - to spread load, not to hide
