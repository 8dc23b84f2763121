"""What keeps a hub's feed in order: deletions are forgotten after their time, and a feed that was put back says so."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta

import structlog

from skillyard.database import Database, DatabaseError, tell, utcnow
from skillyard.errors import InputError
from skillyard.governance import audit
from skillyard.governance.administrators import Administrator, require_operator
from skillyard.governance.audit import Action, AuditRecord
from skillyard.json_value import JsonValue
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.store import Catalogue
from skillyard.settings import Settings

_FIRST_SECONDS = 300.0
_EVERY_SECONDS = 6 * 3600.0
_MAX_REASON = 500

_log = structlog.get_logger("skillyard.feed")


class FeedUpkeep:
    """Of the own catalogue. ``start`` begins what recurs, ``close`` ends it."""

    def __init__(self, *, database: Database, settings: Settings) -> None:
        self._database = database
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
            after = replace(before, epoch=max(before.epoch + 1, int(now.timestamp())))
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
        while True:
            try:
                await self.forget()
            except DatabaseError as error:
                _log.warning("feed_upkeep_failed", error=str(error))
            await asyncio.sleep(_EVERY_SECONDS)
