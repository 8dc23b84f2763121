"""Many new rows into PostgreSQL at once: by COPY, which asks the planner nothing and the driver little for each row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.database.errors import DatabaseUnavailableError


async def copy_rows(
    session: AsyncSession, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Add rows that are not there yet, in the caller's transaction. On PostgreSQL alone.

    Values are the driver's own: of a ``StoredEnum`` the value, of a point in time an aware ``datetime``. Raises as a
    statement does: what the machine did and what cannot be kept are told apart by ``Database.transaction``.
    """
    # What the rows refer to may wait in the session.
    await session.flush()
    raw = await (await session.connection()).get_raw_connection()
    driver: asyncpg.Connection = raw.driver_connection
    try:
        await driver.copy_records_to_table(table, columns=columns, records=rows)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DBAPIError(f"COPY {table}", None, error) from error
    except (OSError, TimeoutError) as error:
        raise DatabaseUnavailableError(
            f"the database cannot be used now: {str(error) or 'it does not answer'}"
        ) from error
