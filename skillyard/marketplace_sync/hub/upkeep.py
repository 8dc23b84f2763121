"""What keeps a hub in order: what was kept for a time is forgotten behind it, and a feed that was put back says so."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import structlog

from skillyard.database import Database, tell
from skillyard.errors import InputError
from skillyard.governance import audit
from skillyard.governance.administrators import Administrator, require_operator
from skillyard.governance.audit import Action, AuditRecord
from skillyard.json_value import JsonValue
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.store import Catalogue
from skillyard.marketplace_sync.hub import store as hub_store
from skillyard.settings import Settings
from skillyard.times import utcnow

_FIRST_SECONDS = 300.0
_EVERY_SECONDS = 6 * 3600.0
_MAX_REASON = 500
PUSHES_KEPT = timedelta(days=90)
"""How long an idempotency key is remembered."""
_AT_ONCE = 1000

_log = structlog.get_logger("skillyard.feed")


class FeedUpkeep:
    """Of the own catalogue. ``start`` begins what recurs, ``close`` ends it."""

    def __init__(
        self, *, database: Database, settings: Settings, further: Sequence[Callable[[], Awaitable[object]]]
    ) -> None:
        """``further`` is done as often, one after the other."""
        self._database = database
        self._further = tuple(further)
        self._keep = timedelta(days=settings.marketplace_tombstone_days)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._recur(), name="skillyard-feed-upkeep")

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def forget(self) -> Catalogue:
        """Forget deletions that are older than they are kept. Who has not read them begins with a snapshot."""
        async with self._database.transaction() as session:
            now = utcnow()
            catalogue = await store.own(session, at=now)
            return await store.purge(session, catalogue, deleted_before=now - self._keep)

    async def forget_pushes(self) -> int:
        """Forget idempotency keys whose time is over, in parts, so that others write in between; returns how many."""
        before, gone = utcnow() - PUSHES_KEPT, 0
        while True:
            async with self._database.transaction() as session:
                some = await hub_store.forget_pushes(session, before=before, limit=_AT_ONCE)
            gone += some
            if some < _AT_ONCE:
                return gone

    async def put_back(self, reason: str, *, by: Administrator) -> Catalogue:
        """Say that an older state of the catalogue was put back on purpose, from a backup for one.

        Raises the epoch: followers read everything again, where they would take the same for an attack. An epoch is a
        moment in seconds, so that it is higher than any before, of which an older backup knows nothing.
        """
        if not 1 <= len(reason.strip()) <= _MAX_REASON:
            raise InputError(f"a reason of 1 to {_MAX_REASON} characters", field="reason")
        async with self._database.transaction() as session:
            await require_operator(session, by)
            now = utcnow()
            before = await store.own(session, at=now)
            moment = int(now.timestamp())
            # Moderators' words are counted on from the moment as well: one of a number that was given already, in the
            # time that was lost, would not count for more than what was said then.
            after = replace(before, epoch=max(before.epoch + 1, moment), moderation=max(before.moderation + 1, moment))
            await store.save(session, after)
            facts: dict[str, JsonValue] = {"from": before.epoch, "to": after.epoch, "seq": after.seq}
            facts["reason"] = reason
            record = AuditRecord(by.workspace, now, by.actor, Action.MARKET_PUT_BACK, "marketplace", facts)
            await audit.append(session, record)
            await tell(session)
        return after

    async def _recur(self) -> None:
        # Not all processes at once, and none while it is busy starting.
        await asyncio.sleep(_FIRST_SECONDS * (1 + random.random()))  # noqa: S311 - to spread load
        works: tuple[Callable[[], Awaitable[object]], ...] = (self.forget, self.forget_pushes, *self._further)
        while True:
            for work in works:
                try:
                    await work()
                except Exception as error:  # noqa: BLE001 - what fails now is done the next time, and the rest today
                    _log.warning("feed_upkeep_failed", work=work.__name__, error=repr(error))
            await asyncio.sleep(_EVERY_SECONDS)
