"""Changes behind a server's back, as somebody with access to its database could make them, on either engine."""

from __future__ import annotations

from skillyard.database import open_database
from sqlalchemy import text


async def change(url: str, *statements: str) -> None:
    """Run SQL in one transaction."""
    database = await open_database(url)
    try:
        async with database.transaction() as session:
            for statement in statements:
                await session.execute(text(statement))
    finally:
        await database.close()
