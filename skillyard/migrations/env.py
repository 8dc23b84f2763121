"""Alembic's entry: runs the migrations on the connection it is given, or on the database that the settings name."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection

import skillyard.governance.tables
import skillyard.governance.waivers.tables
import skillyard.marketplace_sync.catalogue.tables
import skillyard.marketplace_sync.conflicts.tables
import skillyard.marketplace_sync.follower.tables
import skillyard.marketplace_sync.hub.tables
import skillyard.marketplace_sync.jobs.tables
import skillyard.marketplace_sync.remotes.tables
import skillyard.marketplace_sync.search.tables
import skillyard.marketplace_sync.upwards.tables
import skillyard.runtime.tables  # noqa: F401 - all of them register their tables on Base
from skillyard.database import Base, change_schema
from skillyard.settings import Settings


def _run(connection: Connection) -> None:
    # Batch mode: SQLite changes most of a table only by copying it (https://alembic.sqlalchemy.org/en/latest/batch.html).
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True, transactional_ddl=True
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    asyncio.run(change_schema(Settings().database, _run))
