"""Whatever is done to a chain in the database is found, and where; on both engines."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from skillyard.database import Database, Kind, open_database
from skillyard.errors import NotFoundError
from skillyard.governance import audit, people
from skillyard.governance.audit import Action, AuditRecord, BreakKind, Verification
from skillyard.governance.errors import AuditBrokenError
from skillyard.governance.identity import SYSTEM
from skillyard.ids import WorkspaceId
from skillyard.times import utcnow
from tests.tampering import Tamperer

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


async def verified(database: Database, workspace: WorkspaceId) -> Verification:
    async with database.reading() as session:
        return await audit.verify(session, workspace)


async def test_what_was_appended_verifies_and_the_kept_head_is_the_last_record(
    database: Database, workspace: WorkspaceId
) -> None:
    verification = await verified(database, workspace)
    assert (verification.broken, verification.indeterminate, verification.signed) == (None, None, None)
    assert verification.records == verification.head.seq == verification.unsigned == 8


_CLOSE_THE_GAP = (
    "DELETE FROM audit_records WHERE seq = 5",
    "UPDATE audit_records SET seq = 1 - seq WHERE seq > 5",
    "UPDATE audit_records SET seq = -seq WHERE seq < 0",
)
_SWAP = (
    "UPDATE audit_records SET seq = 99 WHERE seq = 5",
    "UPDATE audit_records SET seq = 5 WHERE seq = 6",
    "UPDATE audit_records SET seq = 6 WHERE seq = 99",
)
_COPY = "workspace_id, 9, at, actor_kind, actor_id, action, subject, payload, hash, hash"


@pytest.mark.parametrize(
    ("statements", "kind", "seq"),
    [
        (["UPDATE audit_records SET payload = '{\"n\":9}' WHERE seq = 5"], BreakKind.EDITED, 5),
        (["UPDATE audit_records SET at = 'yesterday' WHERE seq = 5"], BreakKind.EDITED, 5),
        (["UPDATE audit_records SET actor_kind = 'agent' WHERE seq = 5"], BreakKind.EDITED, 5),
        (["UPDATE audit_records SET actor_id = 77 WHERE seq = 5"], BreakKind.EDITED, 5),
        (["UPDATE audit_records SET actor_id = NULL WHERE seq = 5"], BreakKind.EDITED, 5),
        (["UPDATE audit_records SET action = 'package.blessed' WHERE seq = 5"], BreakKind.EDITED, 5),
        (["UPDATE audit_records SET subject = 'pypi/other' WHERE seq = 5"], BreakKind.EDITED, 5),
        ([f"UPDATE audit_records SET prev_hash = '{'0' * 64}' WHERE seq = 5"], BreakKind.EDITED, 5),
        ([f"UPDATE audit_records SET hash = '{'0' * 64}' WHERE seq = 5"], BreakKind.EDITED, 5),
        (["UPDATE audit_records SET workspace_id = 77 WHERE seq = 5"], BreakKind.MISSING, 5),
        (["UPDATE audit_records SET seq = 77 WHERE seq = 5"], BreakKind.MISSING, 5),
        (["DELETE FROM audit_records WHERE seq = 5"], BreakKind.MISSING, 5),
        (["DELETE FROM audit_records WHERE seq = 1"], BreakKind.MISSING, 1),
        (["DELETE FROM audit_records WHERE seq = 8"], BreakKind.TRUNCATED, 8),
        (_CLOSE_THE_GAP, BreakKind.MISSING, 5),
        (_SWAP, BreakKind.REORDERED, 5),
        ([f"INSERT INTO audit_records SELECT {_COPY} FROM audit_records WHERE seq = 8"], BreakKind.EDITED, 9),
        (["DELETE FROM audit_records WHERE seq > 6"], BreakKind.TRUNCATED, 7),
        (["DELETE FROM audit_records"], BreakKind.TRUNCATED, 1),
        (["DELETE FROM audit_records", "DELETE FROM audit_heads"], BreakKind.TRUNCATED, 1),
        (["DELETE FROM audit_heads"], BreakKind.HEAD, 8),
        (["UPDATE audit_heads SET seq = 6"], BreakKind.HEAD, 8),
        (["UPDATE audit_heads SET seq = 4611686018427387904"], BreakKind.TRUNCATED, 9),
    ],
)
async def test_tampering_with_the_rows_is_found(
    database: Database, workspace: WorkspaceId, tamper: Tamperer, statements: list[str], kind: BreakKind, seq: int
) -> None:
    await tamper.run(*statements)
    broken = (await verified(database, workspace)).broken
    assert broken is not None
    assert (broken.kind, broken.seq) == (kind, seq), broken.message
    assert str(seq) in broken.message or kind in {BreakKind.TRUNCATED, BreakKind.HEAD}
    async with database.reading() as session:
        with pytest.raises(AuditBrokenError):
            await audit.require_sound(session, workspace)


@pytest.mark.database(Kind.SQLITE)
@pytest.mark.parametrize(
    "change",
    ["subject = x'ff00'", "payload = CAST(x'fffe' AS TEXT)", "prev_hash = 17", "at = 3.5", "actor_kind = x''"],
)
async def test_values_of_another_type_are_found_where_the_engine_takes_them(
    database: Database, workspace: WorkspaceId, tamper: Tamperer, change: str
) -> None:
    await tamper.run(f"UPDATE audit_records SET {change} WHERE seq = 5")
    broken = (await verified(database, workspace)).broken
    assert broken is not None
    assert (broken.kind, broken.seq) == (BreakKind.EDITED, 5)


async def test_a_head_that_claims_too_much_does_not_keep_the_check_busy_for_ever(
    database: Database, workspace: WorkspaceId, tamper: Tamperer
) -> None:
    """A moved record is looked for among the places there may have been, and whoever edits says how many."""
    await tamper.run(
        "UPDATE audit_heads SET seq = 4611686018427387904",
        "UPDATE audit_records SET payload = '{}' WHERE seq = 5",
        "UPDATE audit_records SET seq = 4611686018427387904 WHERE seq = 8",
    )
    broken = (await verified(database, workspace)).broken
    assert broken is not None
    assert (broken.kind, broken.seq) == (BreakKind.EDITED, 5)


async def test_a_cut_end_with_its_head_set_back_is_found_against_a_noted_head(
    database: Database, workspace: WorkspaceId, tamper: Tamperer
) -> None:
    """Where nothing is signed, nothing inside the database can show this; a head that was noted elsewhere does."""
    noted = (await verified(database, workspace)).head
    (row,) = await tamper.rows("SELECT hash FROM audit_records WHERE seq = 6")
    await tamper.run(
        "DELETE FROM audit_records WHERE seq > 6",
        f"UPDATE audit_heads SET seq = 6, hash = '{row[0]}'",
    )
    assert (await verified(database, workspace)).broken is None
    async with database.reading() as session:
        broken = (await audit.verify(session, workspace, [noted])).broken
    assert broken is not None
    assert broken.kind is BreakKind.TRUNCATED


async def test_a_forged_chain_is_found_against_a_noted_head(
    database: Database, workspace: WorkspaceId, tamper: Tamperer
) -> None:
    noted = (await verified(database, workspace)).head
    await tamper.forge(workspace, 5, subject="pypi/innocent")
    assert (await verified(database, workspace)).broken is None
    async with database.reading() as session:
        broken = (await audit.verify(session, workspace, [noted])).broken
    assert broken is not None
    assert (broken.kind, broken.seq) == (BreakKind.HEAD, 8)


async def test_one_tenants_broken_chain_leaves_the_others_sound(
    database: Database, workspace: WorkspaceId, tamper: Tamperer
) -> None:
    async with database.transaction() as session:
        other = await people.create_workspace(session, "other", by=SYSTEM, at=NOON)
    await tamper.run(f"UPDATE audit_records SET subject = 'x' WHERE workspace_id = {workspace} AND seq = 2")
    assert (await verified(database, workspace)).broken is not None
    verification = await verified(database, other.id)
    assert verification.broken is None
    assert verification.records == 1


async def test_a_record_moved_in_from_another_tenant_is_found(
    database: Database, workspace: WorkspaceId, tamper: Tamperer
) -> None:
    async with database.transaction() as session:
        other = await people.create_workspace(session, "other", by=SYSTEM, at=NOON)
    await tamper.run(
        f"DELETE FROM audit_records WHERE workspace_id = {workspace} AND seq = 1",
        f"UPDATE audit_records SET workspace_id = {workspace} WHERE workspace_id = {other.id}",
    )
    broken = (await verified(database, workspace)).broken
    assert broken is not None
    assert (broken.kind, broken.seq) == (BreakKind.EDITED, 1)


async def test_appends_of_two_processes_at_once_make_one_chain(
    database: Database, database_url: str, workspace: WorkspaceId
) -> None:
    other = await open_database(database_url)

    async def add(handle: Database, number: int) -> None:
        async with handle.transaction() as session:
            record = AuditRecord(workspace, utcnow(), SYSTEM, Action.PERSON_ADDED, f"person/{number}", {})
            await audit.append(session, record)

    await asyncio.gather(*(add(handle, number) for handle in (database, other) for number in range(15)))
    await other.close()
    verification = await verified(database, workspace)
    assert verification.broken is None
    assert verification.records == 8 + 30


async def test_a_record_of_a_transaction_that_failed_is_not_in_the_chain(
    database: Database, workspace: WorkspaceId
) -> None:
    async def append_and_fail() -> None:
        async with database.transaction() as session:
            record = AuditRecord(workspace, utcnow(), SYSTEM, Action.PERSON_ADDED, "person/9", {})
            await audit.append(session, record)
            raise LookupError

    with pytest.raises(LookupError):
        await append_and_fail()
    verification = await verified(database, workspace)
    assert (verification.records, verification.broken) == (8, None)


async def test_an_unknown_workspace_is_not_a_sound_empty_chain(database: Database) -> None:
    with pytest.raises(NotFoundError):
        await verified(database, WorkspaceId(404))
    with pytest.raises(NotFoundError):
        async with database.transaction() as session:
            await audit.append(session, AuditRecord(WorkspaceId(404), NOON, SYSTEM, Action.PERSON_ADDED, "x", {}))
