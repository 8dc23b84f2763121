"""What is so on SQLite alone: the file, its mode, and the driver beside SQLAlchemy."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from skillyard.database import (
    Database,
    DatabaseError,
    DatabaseNotMigratedError,
    DatabaseUnavailableError,
    Kind,
    database_path,
    migrate,
    migration_connection,
    open_database,
    schema_state,
    stored_time,
)
from skillyard.governance import epoch
from skillyard.governance.tables import PersonRow, WorkspaceRow
from sqlalchemy import func, select

pytestmark = pytest.mark.database(Kind.SQLITE)

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def open_files() -> set[str]:
    return {str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}


async def test_a_schema_change_that_leaves_dangling_references_is_rolled_back(database: Database) -> None:
    with pytest.raises(DatabaseError, match="dangling"), migration_connection(database.path) as connection:
        connection.exec_driver_sql("INSERT INTO persons VALUES (1, 999, 'nobody', 'member', '2026-01-01 00:00:00')")
    async with database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(PersonRow)) == 0


async def test_a_file_that_is_not_there_is_not_made_by_looking(database_url: str) -> None:
    assert await schema_state(database_url) is None
    with pytest.raises(DatabaseNotMigratedError, match="does not exist"):
        await open_database(database_url)
    assert not database_path(database_url).exists()


async def test_a_file_that_is_no_database_is_refused_and_left_alone(database_url: str) -> None:
    path = database_path(database_url)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is a diary, not a database\n" * 100)
    for action in (migrate, open_database):
        with pytest.raises(DatabaseUnavailableError, match="not a database"):
            await action(database_url)
    assert path.read_bytes().startswith(b"this is a diary")


async def test_a_folder_that_cannot_be_made_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatabaseUnavailableError, match="cannot be written"):
        await migrate(f"sqlite+aiosqlite:///{tmp_path / 'file' / 'skillyard.db'}")


async def test_only_the_owner_can_read_the_file(database: Database) -> None:
    async with database.transaction() as session:
        await epoch.bump(session)
    folder = database.path.parent
    modes = {path.name: path.stat().st_mode & 0o077 for path in [folder, *folder.iterdir()]}
    assert set(modes.values()) == {0}, modes
    assert "skillyard.db-wal" in modes


async def test_commits_are_on_disk_before_they_are_confirmed(database: Database) -> None:
    """FULL: the write-ahead log is synced at every commit, which is what "durable" means after a power cut."""
    async with database.transaction() as session:
        connection = await session.connection()
        found = [
            (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "trusted_schema")
        ]
    assert found == ["wal", 2, 1, 0]


async def test_closing_leaves_no_open_file(database: Database) -> None:
    async with database.reading() as session:
        await epoch.current(session)
    await database.close()
    assert not [path for path in open_files() if path.startswith(str(database.path))]


async def test_the_driver_and_the_column_type_write_the_same_time(database: Database) -> None:
    """The durable writer binds times itself; comparisons in SQL hold only if both write one text."""
    moments = [NOON, NOON.replace(microsecond=1), NOON.astimezone(timezone(timedelta(hours=-7)))]
    async with database.transaction() as session:
        for number, moment in enumerate(moments):
            session.add(WorkspaceRow(name=f"w{number}", created_at=moment))
    reader = sqlite3.connect(database.path)
    kept = [text for (text,) in reader.execute("SELECT created_at FROM workspaces ORDER BY id")]
    reader.close()
    assert kept == [stored_time(moment) for moment in moments]
