"""Hearing of what other processes committed, soon and cheaply.

``tell`` is said inside a transaction that others should hear of; they hear it once it is committed, and never before.
A notice carries nothing: whoever hears one looks at the database. None is owed to anybody who was not listening, or
whose connection broke meanwhile, so listeners look now and then without one as well.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.database.listening import CHANNEL, ServerNotices
from skillyard.database.url import Kind, Location

_LOOK_SECONDS = 0.1


class Notices(Protocol):
    """What there is to hear of one database. For one listener."""

    async def heard(self, seconds: float) -> None:
        """Return when something may have been committed that others should know of, or after so many seconds."""

    async def close(self) -> None: ...


def listen(location: Location) -> Notices:
    """Begins to listen at the first ``heard``. Errors are no notices, and go away by themselves or show elsewhere."""
    return ServerNotices(location) if location.kind is Kind.POSTGRESQL else FileNotices(location)


async def tell(session: AsyncSession) -> None:
    """Let other processes hear of this transaction once it is committed. On SQLite they hear of every one."""
    if (await session.connection()).dialect.name == Kind.POSTGRESQL:
        await session.execute(select(func.pg_notify(CHANNEL, "")))


class FileNotices:
    """SQLite: a kept connection is asked ten times a second whether another one changed the file.

    That is a look at shared memory (https://www.sqlite.org/pragma.html#pragma_data_version), 10 µs, and no query. Every
    commit counts, those of calls too.
    """

    def __init__(self, location: Location) -> None:
        self._path = location.path
        self._connection: sqlite3.Connection | None = None
        self._seen: int | None = None

    async def heard(self, seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        while (left := until - clock()) > 0:
            await asyncio.sleep(min(_LOOK_SECONDS, left))
            if self._changed():
                return

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _changed(self) -> bool:
        try:
            if self._connection is None:
                uri = f"{self._path.absolute().as_uri()}?mode=rw"
                self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0)
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            # It may be locked for a moment, while its log is made anew; what lasts is for those who read it to say.
            if self._connection is not None:
                with suppress(sqlite3.Error):
                    self._connection.close()
                self._connection = None
            return False
        before, self._seen = self._seen, int(version)
        return self._seen != before
