"""What has to be looked at now and then: changes that other processes made, dates that passed, ends left to record.

Admission needs none of this, it checks the epoch itself. This is for what runs or stands ready already, and for the
process itself: renewing its lease, sweeping, collecting. What hangs on changes is looked at as soon as one is heard of,
and twice a second all the same, because a notice can be lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from skillyard.database import Database, Notices
from skillyard.governance import epoch
from skillyard.ids import Epoch
from skillyard.runtime.endings import Endings
from skillyard.runtime.enforce import Enforcer
from skillyard.runtime.views import Views

_log = structlog.get_logger("skillyard.watch")
_SECONDS = 0.5
_LISTEN_SECONDS = 60.0
_MOST_ENFORCING = 4
"""Changes that are being enforced at once: stopping what one forbids takes a while, and the next must not wait."""


@dataclass(frozen=True, slots=True)
class Chore:
    """Work that recurs, ``seconds`` after it last ended; with ``at_notices`` also as soon as a change is heard of."""

    name: str
    seconds: float
    work: Callable[[], Awaitable[None]]
    at_notices: bool = False


class Watch:
    """Tasks that end with ``close``. What fails is logged when it begins to, and tried again.

    Each chore has a task of its own: a slow one must not hold up the renewal of the lease.
    """

    def __init__(
        self,
        *,
        database: Database,
        notices: Notices,
        views: Views,
        enforcer: Enforcer,
        endings: Endings,
        chores: Sequence[Chore] = (),
    ) -> None:
        """``notices`` are closed with the watch."""
        self._database = database
        self._notices = notices
        self._views = views
        self._enforcer = enforcer
        self._enforced: Epoch | None = None
        self._enforcing: dict[Epoch, asyncio.Task[None]] = {}
        self._failing: dict[str, str] = {}
        self._chores = (
            Chore("enforcing", _SECONDS, self._enforce, at_notices=True),
            Chore("lapsing", _SECONDS, self._lapse),
            Chore("recording_ends", _SECONDS, endings.retry),
            *chores,
        )
        self._heard = [asyncio.Event() for chore in self._chores if chore.at_notices]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        heard = iter(self._heard)
        self._tasks = [asyncio.create_task(self._listen())]
        for chore in self._chores:
            self._tasks.append(asyncio.create_task(self._recur(chore, next(heard) if chore.at_notices else None)))

    async def close(self) -> None:
        tasks = (*self._tasks, *self._enforcing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._notices.close()

    async def _listen(self) -> None:
        while True:
            await self._notices.heard(_LISTEN_SECONDS)
            for event in self._heard:
                event.set()

    async def _recur(self, chore: Chore, heard: asyncio.Event | None) -> None:
        while True:
            if heard is None:
                await asyncio.sleep(chore.seconds)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(chore.seconds):
                        await heard.wait()
                heard.clear()
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
        """Begin to enforce a change that is new here, or one whose enforcing failed."""
        async with self._database.reading() as session:
            now = await epoch.current(session)
        if now == self._enforced or now in self._enforcing or len(self._enforcing) >= _MOST_ENFORCING:
            return
        task = self._enforcing[now] = asyncio.create_task(self._try("stopping", lambda: self._stop_refused(now)))
        task.add_done_callback(lambda _: self._enforcing.pop(now))

    async def _stop_refused(self, now: Epoch) -> None:
        workspaces = [view.workspace for view in self._views.seen]
        done = await asyncio.gather(*(self._enforcer.enforce(one) for one in workspaces), return_exceptions=True)
        for failure in done:
            if failure is not None:
                raise failure
        self._enforced = now

    async def _lapse(self) -> None:
        self._enforcer.lapse()
