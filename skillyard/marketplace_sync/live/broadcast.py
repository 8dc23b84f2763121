"""The hub's end of the live channel: whoever listens is told that the own catalogue changed, in whatever process.

It says that there is something new and never what. As long as nobody listens, nothing is looked at.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from skillyard.database import Database, Location, Notices, listen
from skillyard.errors import SkillyardError
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.errors import TooManyListenersError

GAP_SECONDS = 0.1
"""Between two strokes at least: what changes meanwhile is told with the next."""
_UNASKED_SECONDS = 5.0
"""A look is taken now and then without a notice, for none is owed to anybody."""
_AFTER_ERROR_SECONDS = 1.0

_log = structlog.get_logger("skillyard.live")


class Ear:
    """One listener. ``head`` and ``epoch`` are what was told last, here or to others."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._heard = asyncio.Event()

    @property
    def state(self) -> tuple[int, int] | None:
        """Epoch and number of the head, as far as they were looked at yet."""
        return self._bell.state

    async def rung(self, seconds: float = math.inf) -> bool:
        """Wait for the next stroke since the last call; false where none came in so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if math.isinf(seconds) else max(seconds, 0)):
                await self._heard.wait()
        heard = self._heard.is_set()
        self._heard.clear()
        return heard

    def ring(self) -> None:
        self._heard.set()


class Bell:
    """Rung whenever the own catalogue changed. One for each process; ``close`` sends everybody away."""

    def __init__(self, *, database: Database, most: int, hear: Callable[[Location], Notices] = listen) -> None:
        """``most`` listeners at once; ``hear`` is how changes of other processes are heard of."""
        self._database = database
        self._hear = hear
        self._struck = asyncio.Event()
        self._most = most
        self._ears: set[Ear] = set()
        self._task: asyncio.Task[None] | None = None
        self.state: tuple[int, int] | None = None
        self.closed = False

    def __len__(self) -> int:
        return len(self._ears)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Ear]:
        """Raises ``TooManyListenersError``."""
        if len(self._ears) >= self._most:
            raise TooManyListenersError(f"{self._most} followers wait for changes here already; try again later")
        ear = Ear(self)
        self._ears.add(ear)
        if self._task is None and not self.closed:
            self._task = asyncio.create_task(self._look(), name="skillyard-bell")
        if self.closed:
            ear.ring()
        try:
            yield ear
        finally:
            self._ears.discard(ear)

    def strike(self) -> None:
        """This process changed the catalogue: look at once, and do not wait until it is heard of."""
        self._struck.set()

    def shut(self) -> None:
        """Wake everybody and let nobody wait any more: the server begins to stop."""
        self.closed = True
        for ear in self._ears:
            ear.ring()

    async def close(self) -> None:
        self.shut()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _look(self) -> None:
        """Until nobody listens any more. A database that cannot be read is the readers' to tell, and is looked at
        again: whoever listens would not notice that nobody looks for them."""
        notices = self._hear(self._database.location)
        try:
            while self._ears:
                try:
                    async with self._database.reading() as session:
                        state = await store.own_state(session)
                except SkillyardError as error:
                    _log.warning("bell_cannot_look", error=str(error))
                    await asyncio.sleep(_AFTER_ERROR_SECONDS)
                    continue
                if state != self.state:
                    self.state = state
                    for ear in self._ears:
                        ear.ring()
                    await asyncio.sleep(GAP_SECONDS)
                await self._news(notices)
        finally:
            self._task = None
            self.state = None
            await notices.close()

    async def _news(self, notices: Notices) -> None:
        """Return when something may have changed, here or in another process."""
        waiting = {
            asyncio.create_task(notices.heard(_UNASKED_SECONDS)),
            asyncio.create_task(self._struck.wait()),
        }
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        self._struck.clear()
