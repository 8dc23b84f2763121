"""Hearing of changes that other processes made: the rules epoch is read twice a second, and what it forbids stops.

Admission needs none of this, it checks the epoch itself. This is for sandboxes that run already.
"""

from __future__ import annotations

import asyncio

import structlog

from skillyard.database import Database
from skillyard.errors import SkillyardError
from skillyard.governance import epoch
from skillyard.ids import Epoch
from skillyard.runtime.enforce import Enforcer
from skillyard.runtime.views import Views

_log = structlog.get_logger("skillyard.watch")
_SECONDS = 0.5


class EpochWatch:
    """One task that ends with ``close``. A database that cannot be read is logged once, and tried again."""

    def __init__(self, *, database: Database, views: Views, enforcer: Enforcer) -> None:
        self._database = database
        self._views = views
        self._enforcer = enforcer
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        seen: Epoch | None = None
        failing = False
        while True:
            await asyncio.sleep(_SECONDS)
            try:
                async with self._database.reading() as session:
                    now = await epoch.current(session)
                if seen is not None and now != seen:
                    for view in self._views.seen:
                        await self._enforcer.enforce(view.workspace)
                seen = now
                failing = False
            except SkillyardError as error:
                if not failing:
                    _log.error("watch_failed", error=str(error))
                failing = True
