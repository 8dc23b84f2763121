"""The one door to the database: engines, transactions, column types, schema migrations.

Tables live beside the package that owns them (``governance.tables``, ``runtime.tables``) on the ``Base`` of this
package; all of them share one Alembic history in ``skillyard/migrations``. SQLite is the default, PostgreSQL the
second engine; what differs between them is in ``sqlite`` and ``postgres``, and in the durable writer.
"""

from __future__ import annotations

from skillyard.database.columns import Base, Key, StoredEnum, UtcDateTime, one_of, stored_time
from skillyard.database.copying import copy_rows
from skillyard.database.door import Database, Session, Snapshot, after_commit, open_database
from skillyard.database.errors import (
    DatabaseError,
    DatabaseNewerError,
    DatabaseNotMigratedError,
    DatabaseUnavailableError,
    is_machine_error,
)
from skillyard.database.limits import BUSY_SECONDS, MIGRATION_SECONDS
from skillyard.database.migrating import SchemaState, alembic_config, change_schema, migrate, schema_state
from skillyard.database.notices import Notices, listen, tell
from skillyard.database.sqlite import migration_connection
from skillyard.database.turns import LOOK_SECONDS, Gate, is_locked
from skillyard.database.url import Kind, Location, database_path, locate

__all__ = [
    "BUSY_SECONDS",
    "LOOK_SECONDS",
    "MIGRATION_SECONDS",
    "Base",
    "Database",
    "DatabaseError",
    "DatabaseNewerError",
    "DatabaseNotMigratedError",
    "DatabaseUnavailableError",
    "Gate",
    "Key",
    "Kind",
    "Location",
    "Notices",
    "SchemaState",
    "Session",
    "Snapshot",
    "StoredEnum",
    "UtcDateTime",
    "after_commit",
    "alembic_config",
    "change_schema",
    "copy_rows",
    "database_path",
    "is_locked",
    "is_machine_error",
    "listen",
    "locate",
    "migrate",
    "migration_connection",
    "one_of",
    "open_database",
    "schema_state",
    "stored_time",
    "tell",
]
