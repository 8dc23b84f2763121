"""What can be wrong with the database, and which driver errors mean that the machine failed and not the statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from skillyard.errors import InputError, MachineError


class DatabaseError(MachineError):
    """The database could not be used as it is."""

    code = "database"


class DatabaseNewerError(DatabaseError):
    """The database was written by a newer Skillyard; going on could destroy what this version does not know."""

    code = "database_newer"


class DatabaseNotMigratedError(DatabaseError):
    """The database has no schema yet, or an older one; ``migrate`` comes before ``open_database``."""

    code = "database_not_migrated"


class DatabaseUnavailableError(MachineError):
    """The database cannot be read or written now: locked for too long, disk full, damaged, out of reach."""

    code = "database_unavailable"


# SQLite result codes (https://www.sqlite.org/rescode.html) that say something about the machine and nothing about
# the statement: perm, busy, locked, readonly, ioerr, corrupt, full, cantopen, notadb.
_SQLITE_CODES = frozenset({3, 5, 6, 8, 10, 11, 13, 14, 26})

# PostgreSQL's codes of the same kind (https://www.postgresql.org/docs/current/errcodes-appendix.html). Whole classes:
# connection, authorisation, catalogue name, rollback (deadlock, serialization), resources, intervention (shut down,
# cancelled, statement_timeout), system, configuration file, internal.
_POSTGRES_CLASSES = frozenset({"08", "28", "3D", "40", "53", "57", "58", "F0", "XX"})
# Single ones: in failed or timed-out transaction (25P0x), read-only, privilege, lock not available.
_POSTGRES_CODES = frozenset({"25P02", "25P03", "25P04", "25006", "42501", "55P03"})

# Values that SQLite would keep and PostgreSQL has no place for: a zero byte in a text, too long a text, a number out
# of range. They come from outside, so they are an input's fault.
_VALUE_CODES = frozenset({"22021", "22001", "22003", "22P05"})


@contextmanager
def machine_errors() -> Iterator[None]:
    """Wraps what the machine did; errors of a statement pass through, they are ours or a constraint's."""
    try:
        yield
    except DBAPIError as error:
        if is_machine_error(error):
            raise unavailable(error.orig or error) from error
        if _sqlstate(error) in _VALUE_CODES:
            raise InputError("a value is too long, too large, or holds a character that cannot be kept") from error
        raise
    except PoolTimeoutError as error:
        raise DatabaseUnavailableError("the database cannot be used now: every connection is taken") from error


def is_machine_error(error: BaseException) -> bool:
    """Whether a driver's error, wrapped by SQLAlchemy or not, is about the machine and not about the statement."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and is_machine_error(error.orig))
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _SQLITE_CODES
    state = _sqlstate(error)
    return state is not None and (state[:2] in _POSTGRES_CLASSES or state in _POSTGRES_CODES)


def unavailable(error: BaseException) -> DatabaseUnavailableError:
    """The error for a driver's error, which is shown in its own words: drivers do not repeat passwords."""
    said = str(error) or type(error).__name__
    return DatabaseUnavailableError(f"the database cannot be used now: {said}")


def _sqlstate(error: BaseException) -> str | None:
    found = getattr(getattr(error, "orig", error), "sqlstate", None)
    return found if isinstance(found, str) else None
