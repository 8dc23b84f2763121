"""Addresses of databases: what is accepted, and that none of them shows its password."""

from __future__ import annotations

from pathlib import Path

import pytest
from skillyard.database import DatabaseError, Kind, database_path, locate

POSTGRES = "postgresql+asyncpg://yard:hunter2@db.example:5433/skills"


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@host/db", "sqlite+aiosqlite://", "sqlite+aiosqlite:///:memory:", "hunter2", ""]
)
def test_other_databases_are_refused_without_repeating_what_was_given(url: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        locate(url)
    assert "hunter2" not in str(refused.value)


def test_a_file_is_its_path() -> None:
    found = locate("sqlite+aiosqlite:////var/lib/a b/skillyard.db")
    assert (found.kind, found.path) == (Kind.SQLITE, Path("/var/lib/a b/skillyard.db"))
    with pytest.raises(DatabaseError, match="not a PostgreSQL"):
        _ = found.dsn


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (POSTGRES, "postgresql://yard@db.example:5433/skills"),
        (f"{POSTGRES}?sslmode=verify-full&sslpassword=hunter2", "postgresql://yard@db.example:5433/skills"),
        ("postgres:///skills?host=/run/pg&user=yard&password=hunter2", "postgresql://yard@/skills?host=%2Frun%2Fpg"),
    ],
)
def test_a_server_is_shown_without_password_and_parameters(url: str, shown: str) -> None:
    found = locate(url)
    assert found.shown == shown
    assert "hunter2" not in f"{found!r}{found}"
    with pytest.raises(DatabaseError, match="not a file") as refused:
        database_path(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "dsn"),
    [
        (POSTGRES, "postgresql://yard:hunter2@db.example:5433/skills"),
        (f"{POSTGRES}?ssl=require", "postgresql://yard:hunter2@db.example:5433/skills?sslmode=require"),
        ("postgres://h/db?sslrootcert=/ca.pem", "postgresql://h/db?sslrootcert=%2Fca.pem"),
    ],
)
def test_the_driver_gets_it_as_postgresqls_own_tools_take_it(url: str, dsn: str) -> None:
    assert locate(url).dsn == dsn
