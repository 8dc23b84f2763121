"""Editing a database behind Skillyard's back, as somebody with all rights on it would, on either engine."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from skillyard.database import Database, Kind
from skillyard.governance.audit import EMPTY, Entry, Head
from skillyard.governance.audit.record import digest
from tests.postgres import Cluster

_COLUMNS = ", ".join(Entry.__slots__)


class Tamperer:
    """All rights, and no regard for constraints: foreign keys are not looked at."""

    def __init__(self, database: Database, cluster: Cluster | None) -> None:
        self._database = database
        self._cluster = cluster

    async def run(self, *statements: str) -> None:
        if self._database.kind is Kind.SQLITE:
            connection = sqlite3.connect(self._database.path, isolation_level=None)
            for statement in statements:
                connection.execute(statement)
            connection.close()
            return
        assert self._cluster is not None
        await self._cluster.run(
            "BEGIN; SET LOCAL session_replication_role = replica; " + "; ".join(statements) + "; COMMIT",
            database=self._name,
        )

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        if self._database.kind is Kind.SQLITE:
            connection = sqlite3.connect(self._database.path)
            found = connection.execute(query).fetchall()
            connection.close()
            return found
        assert self._cluster is not None
        connection = await self._cluster.superuser(self._name)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    @property
    def _name(self) -> str:
        return self._database.url.rpartition("/")[2]

    async def forge(self, workspace: int, seq: int, **changed: object) -> None:
        """Change a record, make every later one anew so that the hashes fit, and the head too: as somebody does who
        has read the source."""
        rows = await self.rows(f"SELECT {_COLUMNS} FROM audit_records WHERE workspace_id = {workspace} ORDER BY seq")
        entries = [Entry(*row) for row in rows]
        await self.put(workspace, [replace(one, **changed) if one.seq == seq else one for one in entries])  # type: ignore[arg-type]

    async def put(self, workspace: int, entries: Sequence[Entry]) -> None:
        """Make these the workspace's records, numbered and linked anew."""
        head, statements = EMPTY, [f"DELETE FROM audit_records WHERE workspace_id = {workspace}"]
        for number, entry in enumerate(entries, 1):
            linked = replace(entry, seq=number, prev_hash=head.hash)
            linked = replace(linked, hash=digest(head.hash, number, linked))
            head = Head(number, linked.hash)
            values = ", ".join(_literal(getattr(linked, name)) for name in Entry.__slots__)
            statements.append(f"INSERT INTO audit_records ({_COLUMNS}) VALUES ({values})")
        statements.append(
            f"UPDATE audit_heads SET seq = {head.seq}, hash = '{head.hash}' WHERE workspace_id = {workspace}"
        )
        await self.run(*statements)


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"
