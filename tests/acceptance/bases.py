"""Where a server in a story keeps its state: SQLite's file in its home, or a database of a PostgreSQL that runs here.

Read past the server, backed up while it runs, and put back or changed while it does not.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import asyncpg
from tests.postgres import OWNER, Cluster, programs

_SECONDS = 60

_ENTRIES = (
    "SELECT e.kind, e.key, e.rev, e.sha256, e.document FROM catalogue_entries e "
    "JOIN catalogues c ON c.id = e.catalogue_id WHERE NOT e.deleted AND c.workspace_id IS {null}"
)
_ANOTHER = "UPDATE catalogues SET public_key = NULL, feed_id = '{feed}' WHERE workspace_id IS NULL"


@dataclass(frozen=True)
class Row:
    """A live entry of a catalogue."""

    kind: str
    key: str
    rev: int
    sha256: str
    document: str | None


class Base(Protocol):
    """The state of one server."""

    @property
    def settings(self) -> Mapping[str, str]:
        """What the server has to be told to find it."""

    def entries(self, *, own: bool) -> dict[tuple[str, str], Row]:
        """The live entries of the own catalogue, or of its mirror."""

    def back_up(self) -> Path:
        """A copy of all of it, of one moment."""

    def put_back(self, backup: Path) -> None:
        """As it was. Nobody may use it meanwhile."""

    def become_another(self) -> None:
        """The same entries as the feed of another hub, of which the server has to have another key."""


@dataclass(frozen=True)
class SqliteBase:
    home: Path

    @property
    def settings(self) -> Mapping[str, str]:
        return {}

    @property
    def file(self) -> Path:
        return self.home / "skillyard.db"

    def entries(self, *, own: bool) -> dict[tuple[str, str], Row]:
        opened = sqlite3.connect(f"{self.file.as_uri()}?mode=ro", uri=True)
        try:
            return _rows(opened.execute(_entries_query(own=own)).fetchall())
        finally:
            opened.close()

    def back_up(self) -> Path:
        backup = self.home.with_name(f"{self.home.name}-{uuid.uuid4().hex}.backup")
        here, there = sqlite3.connect(self.file), sqlite3.connect(backup)
        try:
            here.backup(there)
        finally:
            here.close()
            there.close()
        return backup

    def put_back(self, backup: Path) -> None:
        for old in self.home.glob("skillyard.db*"):
            old.unlink()
        self.file.write_bytes(backup.read_bytes())
        self.file.chmod(0o600)

    def become_another(self) -> None:
        opened = sqlite3.connect(self.file)
        try:
            opened.execute(_ANOTHER.format(feed=uuid.uuid4()))
            opened.commit()
        finally:
            opened.close()


@dataclass(frozen=True)
class PostgresBase:
    cluster: Cluster
    name: str
    folder: Path
    """For backups."""

    @property
    def settings(self) -> Mapping[str, str]:
        return {"database_url": self.cluster.url(self.name)}

    def entries(self, *, own: bool) -> dict[tuple[str, str], Row]:
        return _rows(self._run(_entries_query(own=own)))

    def back_up(self) -> Path:
        backup = self.folder / f"{uuid.uuid4().hex}.backup"
        self._program("pg_dump", "--format=custom", f"--file={backup}", self.name)
        return backup

    def put_back(self, backup: Path) -> None:
        asyncio.run(self.cluster.drop(self.name))
        asyncio.run(self.cluster.run(f"CREATE DATABASE {self.name} OWNER {OWNER} TEMPLATE template0"))
        self._program("pg_restore", "--exit-on-error", f"--dbname={self.name}", str(backup))

    def become_another(self) -> None:
        self._run(_ANOTHER.format(feed=uuid.uuid4()))

    def _run(self, query: str) -> Sequence[Any]:
        async def fetched() -> Sequence[Any]:
            connection = await asyncpg.connect(
                host="127.0.0.1",
                port=self.cluster.port,
                user=OWNER,
                password=self.cluster.password,
                database=self.name,
                timeout=_SECONDS,
            )
            try:
                found: Sequence[Any] = await connection.fetch(query)
                return found
            finally:
                await connection.close(timeout=_SECONDS)

        return asyncio.run(fetched())

    def _program(self, name: str, *arguments: str) -> None:
        where = ["--host=127.0.0.1", f"--port={self.cluster.port}", f"--username={OWNER}", "--no-password"]
        environment = os.environ | {"PGPASSWORD": self.cluster.password}
        command = [programs() / name, *where, *arguments]
        subprocess.run(command, check=True, env=environment, capture_output=True, timeout=_SECONDS)


BaseOf = Callable[[Path], Base]
"""Makes the base of a new server, by its home."""


def on_postgres(cluster: Cluster) -> BaseOf:
    """Databases of their own; the cluster goes with the tests."""

    def base(home: Path) -> Base:
        return PostgresBase(cluster, asyncio.run(cluster.create(template=None)), home.parent)

    return base


def _entries_query(*, own: bool) -> str:
    return _ENTRIES.format(null="NULL" if own else "NOT NULL")


def _rows(found: Sequence[Any]) -> dict[tuple[str, str], Row]:
    return {(row[0], row[1]): Row(row[0], row[1], row[2], row[3], row[4]) for row in found}
