"""What has to be looked at now and then: changes that other processes made, dates that passed, ends left to record.

Admission needs none of this, it checks the epoch itself. This is for what runs or stands ready already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from skillyard.database import Database
from skillyard.governance import epoch
from skillyard.ids import Epoch
from skillyard.runtime.endings import Endings
from skillyard.runtime.enforce import Enforcer
from skillyard.runtime.views import Views

_log = structlog.get_logger("skillyard.watch")
_SECONDS = 0.5


class Watch:
    """One task that ends with ``close``. What fails is logged when it begins to, and tried again."""

    def __init__(self, *, database: Database, views: Views, enforcer: Enforcer, endings: Endings) -> None:
        self._database = database
        self._views = views
        self._enforcer = enforcer
        self._endings = endings
        self._enforced: Epoch | None = None
        self._failing: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS)
            await self._try("enforcing", self._enforce)
            await self._try("lapsing", self._lapse)
            await self._try("recording_ends", self._endings.retry)

    async def _try(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - a watch that ends at a failure would let everything after it pass
            if self._failing.get(what) != str(error):
                _log.error("watch_failed", what=what, error=str(error))
            self._failing[what] = str(error)
        else:
            self._failing.pop(what, None)

    async def _enforce(self) -> None:
        async with self._database.reading() as session:
            now = await epoch.current(session)
        if now == self._enforced:
            return
        workspaces = [view.workspace for view in self._views.seen]
        done = await asyncio.gather(*(self._enforcer.enforce(one) for one in workspaces), return_exceptions=True)
        for failure in done:
            if failure is not None:
                raise failure
        self._enforced = now

    async def _lapse(self) -> None:
        self._enforcer.lapse()
