"""What has to be looked at now and then: changes that other processes made, dates that passed, ends left to record.

Admission needs none of this, it checks the epoch itself. This is for what runs or stands ready already, and for the
process itself: renewing its lease, sweeping, collecting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from skillyard.database import Database
from skillyard.governance import epoch
from skillyard.ids import Epoch
from skillyard.runtime.endings import Endings
from skillyard.runtime.enforce import Enforcer
from skillyard.runtime.views import Views

_log = structlog.get_logger("skillyard.watch")
_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Chore:
    """Work that recurs, ``seconds`` after it last ended."""

    name: str
    seconds: float
    work: Callable[[], Awaitable[None]]


class Watch:
    """Tasks that end with ``close``. What fails is logged when it begins to, and tried again.

    Each chore has a task of its own: a slow one must not hold up the renewal of the lease.
    """

    def __init__(
        self, *, database: Database, views: Views, enforcer: Enforcer, endings: Endings, chores: Sequence[Chore] = ()
    ) -> None:
        self._database = database
        self._views = views
        self._enforcer = enforcer
        self._endings = endings
        self._enforced: Epoch | None = None
        self._failing: dict[str, str] = {}
        self._chores = chores
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._watch())]
        self._tasks += [asyncio.create_task(self._recur(chore)) for chore in self._chores]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS)
            await self._try("enforcing", self._enforce)
            await self._try("lapsing", self._lapse)
            await self._try("recording_ends", self._endings.retry)

    async def _recur(self, chore: Chore) -> None:
        while True:
            await asyncio.sleep(chore.seconds)
            await self._try(chore.name, chore.work)

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
