"""What tests of the database use: damage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from skillyard.database import change_schema


@pytest.fixture
def out_of_band(database_url: str) -> Callable[[str], Awaitable[None]]:
    """Runs a statement behind the back of Skillyard, as damage would."""

    async def run(statement: str) -> None:
        await change_schema(database_url, lambda connection: connection.exec_driver_sql(statement))

    return run
