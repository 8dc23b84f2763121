"""Where a database is: a URL taken apart, with a form that can be shown to anybody."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from skillyard.database.errors import DatabaseError


class Kind(StrEnum):
    """The engines that Skillyard keeps its state in."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


_DRIVERS = {
    "sqlite+aiosqlite": Kind.SQLITE,
    "postgres": Kind.POSTGRESQL,
    "postgresql": Kind.POSTGRESQL,
    "postgresql+asyncpg": Kind.POSTGRESQL,
}


@dataclass(frozen=True, slots=True)
class Location:
    """A database's place. ``shown`` holds neither password nor parameters; ``url`` may hold both."""

    kind: Kind
    shown: str
    url: str = field(repr=False)

    @property
    def path(self) -> Path:
        """The file. Raises ``DatabaseError`` for a database that is none."""
        if self.kind is not Kind.SQLITE:
            raise DatabaseError(f"{self.shown} is not a file")
        return Path(str(make_url(self.url).database))

    @property
    def dsn(self) -> str:
        """The URL as PostgreSQL's own tools write it, password included. Raises ``DatabaseError`` for a file.

        See https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS.
        """
        if self.kind is not Kind.POSTGRESQL:
            raise DatabaseError(f"{self.shown} is not a PostgreSQL database")
        url = make_url(self.url).set(drivername="postgresql")
        if "ssl" in url.query:  # SQLAlchemy's name for it with this driver
            url = url.update_query_dict({"sslmode": url.query["ssl"]}).difference_update_query(["ssl"])
        return url.render_as_string(hide_password=False)


def locate(url: str) -> Location:
    """Takes a URL apart. Raises ``DatabaseError``, without repeating the URL, for one of another kind or of no kind."""
    try:
        parsed = make_url(url)
        kind = _DRIVERS[parsed.drivername]
    except (ArgumentError, ValueError, KeyError) as error:
        raise DatabaseError(
            "the database's URL must begin with sqlite+aiosqlite:/// or postgresql+asyncpg://"
        ) from error
    if kind is Kind.POSTGRESQL:
        return Location(kind, _shown(parsed), url)
    if not parsed.database or parsed.database == ":memory:":
        raise DatabaseError("an SQLite database has to be a file: other processes read it too")
    return Location(kind, parsed.database, url)


def database_path(url: str) -> Path:
    """The file behind an SQLite URL. Raises ``DatabaseError`` for any other URL, and for an in-memory database."""
    return locate(url).path


def _shown(url: URL) -> str:
    """User, place and name alone: a password may also stand among the parameters."""
    query = {name: str(value) for name, value in url.query.items() if name in {"host", "port"}}
    user = url.username or url.query.get("user")
    shown = URL.create(
        "postgresql",
        username=user if isinstance(user, str) else None,
        host=url.host,
        port=url.port,
        database=url.database,
        query=query,
    )
    return shown.render_as_string(hide_password=True)
