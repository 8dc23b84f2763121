"""How long anything that is asked of the database may take. All in seconds."""

from __future__ import annotations

BUSY_SECONDS = 15.0
"""How long a transaction waits for another writer (of this process or another) before it fails."""

MIGRATION_SECONDS = 120.0
"""How long a start waits for another process that is migrating the same database."""

CONNECT_SECONDS = 10.0
"""How long opening one connection to a server may take, encryption and password included."""

CLOSE_SECONDS = 2.0
"""How long a server may take to say goodbye."""

STATEMENT_SECONDS = 60.0
"""How long a server works on one statement."""

ANSWER_SECONDS = 75.0
"""How long we wait for a server's answer, so that one which fell silent does not hold us for ever."""

IDLE_WRITE_SECONDS = 60.0
"""How long a transaction that writes may do nothing: every other writer waits for it."""

IDLE_READ_SECONDS = 600.0
"""How long a transaction that reads may do nothing; an export goes as slowly as its reader."""

READERS = 8
"""Most connections of one process that read at once, unless the setting says otherwise."""
