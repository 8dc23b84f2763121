"""Every table is owned, indexed and written for both engines, and a column takes and gives only what belongs in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

import pytest
from skillyard.database import (
    Base,
    Database,
    StoredEnum,
    change_schema,
)
from skillyard.governance import people
from skillyard.governance.identity import Person, Role
from skillyard.governance.tables import WorkspaceRow
from skillyard.ids import WorkspaceId
from skillyard.times import in_utc, utcnow
from sqlalchemy import (
    Connection,
    Dialect,
    PrimaryKeyConstraint,
    UniqueConstraint,
    select,
)
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.schema import CreateIndex, CreateTable

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def test_every_foreign_key_says_what_a_delete_does_and_every_table_has_a_workspace() -> None:
    # What is published belongs to the instance; entries and listings have the workspace of their catalogue (ADR 0035).
    public = {
        "hub_archives",
        "hub_files",
        "hub_pushes",
        "hub_strikes",
        "catalogue_entries",
        "listings",
        "listing_facets",
        "listing_postings",
        "listing_terms",
        "listing_unsettled",
    }
    for table in Base.metadata.sorted_tables:
        assert all(key.ondelete for key in table.foreign_key_constraints), table.name
        if table.name not in {"workspaces", "rules_epoch", "leases", "audit_keys", "advisory_snapshots", *public}:
            assert "workspace_id" in table.columns, table.name


def test_every_foreign_key_column_is_led_by_an_index() -> None:
    for table in Base.metadata.sorted_tables:
        leading = {next(iter(index.columns)).name for index in table.indexes}
        leading |= {
            next(iter(constraint.columns)).name
            for constraint in table.constraints
            if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint)
        }
        unindexed = {key.parent.name for key in table.foreign_keys} - leading
        assert unindexed == set(), table.name


@pytest.mark.parametrize("dialect", [SQLiteDialect(), PGDialect()], ids=["sqlite", "postgresql"])  # type: ignore[no-untyped-call]
def test_every_table_can_be_written_for_both_engines(dialect: Dialect) -> None:
    for table in Base.metadata.sorted_tables:
        assert str(CreateTable(table).compile(dialect=dialect))
        assert all(str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes)


# --- values -----------------------------------------------------------------------------------------------------------


async def test_times_come_back_in_utc_whatever_zone_they_went_in(database: Database) -> None:
    india = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    async with database.transaction() as session:
        session.add(WorkspaceRow(name="a", created_at=india))
    async with database.reading() as session:
        found = await session.scalar(select(WorkspaceRow.created_at).where(WorkspaceRow.created_at == india))
    assert found == NOON
    assert found is not None
    assert found.tzinfo is UTC


async def test_a_naive_time_is_refused(database: Database) -> None:
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(ValueError, match="naive"):
        in_utc(naive)
    with pytest.raises(StatementError, match="naive"):
        async with database.transaction() as session:
            session.add(WorkspaceRow(name="a", created_at=naive))


async def test_a_value_outside_a_closed_set_is_refused_in_and_out(
    database: Database, admin: Person, out_of_band: Callable[[str], Awaitable[None]]
) -> None:
    with pytest.raises(StatementError, match="not a member"):
        async with database.transaction() as session:
            await people.add_person(session, admin.workspace, "x", "admin", by=admin.actor, at=utcnow())  # type: ignore[arg-type]
    with pytest.raises(IntegrityError, match="ck_persons_role"):
        await out_of_band("UPDATE persons SET role = 'owner'")
    await _without_its_check(database, "persons", "ck_persons_role", "UPDATE persons SET role = 'owner'")
    with pytest.raises(ValueError, match="owner"):
        async with database.reading() as session:
            await people.persons(session, WorkspaceId(admin.workspace))


async def _without_its_check(database: Database, table: str, check: str, statement: str) -> None:
    def run(connection: Connection) -> None:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        else:
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {check}")
        connection.exec_driver_sql(statement)

    await change_schema(database.url, run)


def test_equal_sets_give_equal_column_types_and_others_do_not() -> None:
    """SQLAlchemy caches statements by column type: two enums mistaken for one would be read as each other."""

    class Other(StrEnum):
        ADMIN = "admin"

    assert StoredEnum(Role)._static_cache_key == StoredEnum(Role)._static_cache_key
    assert StoredEnum(Role)._static_cache_key != StoredEnum(Other)._static_cache_key
