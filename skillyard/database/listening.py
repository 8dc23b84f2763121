"""PostgreSQL: a connection that waits for notices, and is opened again whenever it breaks.

See https://www.postgresql.org/docs/current/sql-notify.html. What is said while nobody listens is lost, so a new
connection counts as a notice. The server does not say when it is gone, hence the question every few seconds.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import asyncpg
import structlog

from skillyard.database.errors import DatabaseUnavailableError
from skillyard.database.postgres import connect
from skillyard.database.url import Location

CHANNEL = "skillyard"

_log = structlog.get_logger("skillyard.notices")
_ASK_SECONDS = 10.0
_ANSWER_SECONDS = 5.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0
_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, DatabaseUnavailableError)


class ServerNotices:
    """``Notices`` of a PostgreSQL database. Owns one connection and a task."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._notice = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._listening = False

    async def heard(self, seconds: float) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._listen(), name="skillyard-notices")
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._notice.wait()
        self._notice.clear()

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _listen(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            self._listening = False
            try:
                await self._connection()
            except _ERRORS as error:
                _log.warning("notices_lost", error=str(error) or type(error).__name__)
            pause = _FIRST_PAUSE_SECONDS if self._listening else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - so that not all processes come back at once

    async def _connection(self) -> None:
        """One connection, as long as it lasts."""
        opened = await connect(self._location, purpose="listening", idle_seconds=0, answer_seconds=_ANSWER_SECONDS)
        broken = asyncio.Event()

        def lost(_connection: Any) -> None:
            broken.set()

        try:
            opened.add_termination_listener(lost)
            await opened.add_listener(CHANNEL, self._heard)
            self._listening = True
            self._notice.set()
            while not broken.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(_ASK_SECONDS):
                        await broken.wait()
                if not broken.is_set():
                    await opened.execute("SELECT 1")
            raise ConnectionResetError("the connection that hears of changes broke")
        finally:
            opened.terminate()

    def _heard(self, _connection: Any, _process: int, _channel: str, _payload: str) -> None:
        self._notice.set()
