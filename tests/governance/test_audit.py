"""The audit chain: whatever is done to the records afterwards is found, and where it was done is said."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from skillyard.database import Database, open_database, utcnow
from skillyard.errors import NotFoundError
from skillyard.governance import audit, people
from skillyard.governance.audit import (
    EMPTY,
    GENESIS,
    Action,
    AuditRecord,
    BreakKind,
    ChainCheck,
    Entry,
    Head,
    Verification,
    chain,
    seal,
    verify_export,
)
from skillyard.governance.errors import AuditBrokenError
from skillyard.governance.identity import SYSTEM, Actor, ActorKind, Person
from skillyard.governance.tables import AuditRecordRow
from skillyard.ids import WorkspaceId

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HOME = WorkspaceId(1)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
records = st.builds(
    AuditRecord,
    workspace=st.just(HOME),
    at=st.datetimes(timezones=st.just(UTC)),
    actor=st.builds(Actor, kind=st.sampled_from(ActorKind), id=st.none() | st.integers(0, 2**62)),
    action=st.sampled_from(Action),
    subject=st.text(max_size=20),
    payload=st.dictionaries(st.text(), json_values, max_size=3),
)


def sealed(given_records: list[AuditRecord]) -> list[Entry]:
    entries, head = [], EMPTY
    for record in given_records:
        entry = seal(record, head)
        entries.append(entry)
        head = Head(entry.seq, entry.hash)
    return entries


chains = st.lists(records, min_size=2, max_size=6).map(sealed)


def check(entries: list[Entry], head: Head) -> tuple[BreakKind, int] | None:
    """What the checker says about these rows and this kept head, as ``verify`` would."""
    checker = ChainCheck()
    suspect = checker.feed(entries)
    if suspect is None:
        broken = checker.end(head)
    else:
        known = any(entry.hash == suspect.prev_hash for entry in entries)
        broken = checker.explain(suspect, length=max(len(entries), head.seq), previous_exists=known)
    return None if broken is None else (broken.kind, broken.seq)


def head_of(entries: list[Entry]) -> Head:
    return Head(entries[-1].seq, entries[-1].hash)


# --- the pure chain ---------------------------------------------------------------------------------------------------


@given(chains)
def test_an_untouched_chain_holds(entries: list[Entry]) -> None:
    assert check(entries, head_of(entries)) is None


@given(chains, st.data())
def test_any_edited_field_is_found_where_it_is(entries: list[Entry], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entries) - 1))
    name = data.draw(st.sampled_from(["at", "actor_kind", "actor_id", "action", "subject", "payload", "hash"]))
    forged = data.draw((st.integers(0, 2**62) | st.none()) if name == "actor_id" else st.text())
    original = entries[place]
    if forged == getattr(original, name):
        return
    head = head_of(entries)
    edited = Entry(**(asdict(original) | {name: forged}))
    changed = [*entries[:place], edited, *entries[place + 1 :]]
    assert check(changed, head) == (BreakKind.EDITED, place + 1)


@given(chains, st.data())
def test_a_record_rewritten_with_a_fresh_hash_is_found(entries: list[Entry], data: st.DataObject) -> None:
    """Who knows the algorithm can make one record sound by itself; the next one, or the head, still tells."""
    place = data.draw(st.integers(0, len(entries) - 1))
    forged = replace(entries[place], subject=entries[place].subject + "x")
    forged = replace(forged, hash=chain(forged.prev_hash, forged.seq, forged))
    found = check([*entries[:place], forged, *entries[place + 1 :]], head_of(entries))
    last = place == len(entries) - 1
    assert found == ((BreakKind.HEAD, place + 1) if last else (BreakKind.EDITED, place + 2))


@given(chains, st.data())
def test_a_deleted_record_is_found_where_it_was(entries: list[Entry], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entries) - 2))
    left = [*entries[:place], *entries[place + 1 :]]
    assert check(left, head_of(entries)) == (BreakKind.MISSING, place + 1)


@given(chains, st.data())
def test_a_deletion_with_later_records_renumbered_is_found(entries: list[Entry], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entries) - 2))
    moved = [replace(entry, seq=entry.seq - 1) for entry in entries[place + 1 :]]
    assert check([*entries[:place], *moved], head_of(entries)) == (BreakKind.MISSING, place + 1)


@given(chains, st.data())
def test_two_records_that_changed_places_are_found(entries: list[Entry], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(entries) - 2))
    second = data.draw(st.integers(first + 1, len(entries) - 1))
    changed = list(entries)
    changed[first] = replace(entries[second], seq=first + 1)
    changed[second] = replace(entries[first], seq=second + 1)
    assert check(changed, head_of(entries)) == (BreakKind.REORDERED, first + 1)


@given(chains, st.data())
def test_a_cut_end_is_found(entries: list[Entry], data: st.DataObject) -> None:
    left = data.draw(st.integers(0, len(entries) - 1))
    assert check(entries[:left], head_of(entries)) == (BreakKind.TRUNCATED, left + 1)


@given(chains)
def test_a_head_that_was_set_back_is_found(entries: list[Entry]) -> None:
    assert check(entries, head_of(entries[:-1])) == (BreakKind.HEAD, len(entries))


@given(chains)
def test_a_chain_without_a_head_is_found(entries: list[Entry]) -> None:
    checker = ChainCheck()
    assert checker.feed(entries) is None
    broken = checker.end(None)
    assert broken is not None
    assert broken.kind is BreakKind.HEAD


@given(chains)
def test_a_wholly_recomputed_chain_is_found_against_a_head_noted_elsewhere(entries: list[Entry]) -> None:
    noted = head_of(entries)
    forged = [replace(entry, subject=entry.subject + "x") for entry in entries]
    rebuilt, previous = [], GENESIS
    for entry in forged:
        linked = replace(entry, prev_hash=previous)
        previous = chain(previous, entry.seq, linked)
        rebuilt.append(replace(linked, hash=previous))
    assert check(rebuilt, head_of(rebuilt)) is None
    checker = ChainCheck([noted])
    suspect = checker.feed(rebuilt)
    assert suspect is not None
    assert checker.explain(suspect, length=len(rebuilt), previous_exists=True).kind is BreakKind.HEAD


@given(records, records)
def test_different_records_have_different_hashes(one: AuditRecord, other: AuditRecord) -> None:
    same = asdict(seal(one, EMPTY)) == asdict(seal(other, EMPTY))
    assert (chain(GENESIS, 1, one) == chain(GENESIS, 1, other)) == same


@pytest.mark.parametrize("changed", [{"workspace": WorkspaceId(2)}, {"subject": "b"}, {"payload": {"a": 2}}])
def test_the_hash_covers(changed: dict[str, object]) -> None:
    record = AuditRecord(HOME, NOON, SYSTEM, Action.PERSON_ADDED, "a", {"a": 1})
    assert chain(GENESIS, 1, record) != chain(GENESIS, 1, replace(record, **changed))  # type: ignore[arg-type]
    assert chain(GENESIS, 1, record) != chain(GENESIS, 2, record)
    assert chain(GENESIS, 1, record) != chain("1" * 64, 1, record)


def test_the_hash_is_what_it_was_in_every_release() -> None:
    """Chains and exports are kept for years: a change of this value makes every one of them look tampered with."""
    record = AuditRecord(HOME, NOON, Actor(ActorKind.PERSON, 7), Action.PACKAGE_BANNED, "pypi/x", {"b": [1], "a": "é"})
    text = (
        "skillyard audit record, version 1\n"
        "0000000000000000000000000000000000000000000000000000000000000000\n"
        '[1,1,"2026-01-02T12:00:00.000000Z","person",7,"package.banned","pypi/x","{\\"a\\":\\"é\\",\\"b\\":[1]}"]'
    )
    assert chain(GENESIS, 1, record) == hashlib.sha256(text.encode()).hexdigest()


def test_neither_the_order_of_keys_nor_the_time_zone_changes_the_hash() -> None:
    record = AuditRecord(HOME, NOON, SYSTEM, Action.PERSON_ADDED, "a", {"a": 1, "b": 2})
    same = replace(record, payload={"b": 2, "a": 1}, at=NOON.astimezone(timezone(timedelta(hours=9))))
    assert chain(GENESIS, 1, record) == chain(GENESIS, 1, same)


def test_a_naive_time_and_a_payload_that_is_not_json_are_refused() -> None:
    record = AuditRecord(HOME, NOON, SYSTEM, Action.PERSON_ADDED, "a", {})
    with pytest.raises(ValueError, match="naive"):
        seal(replace(record, at=NOON.replace(tzinfo=None)), EMPTY)
    with pytest.raises(TypeError):
        seal(replace(record, payload={"a": object()}), EMPTY)  # type: ignore[dict-item]


# --- in the database --------------------------------------------------------------------------------------------------


@pytest.fixture
async def workspace(database: Database, admin: Person) -> WorkspaceId:
    """A workspace whose chain has some records beyond its creation."""
    for number in range(5):
        record = AuditRecord(
            admin.workspace, utcnow(), admin.actor, Action.PACKAGE_BANNED, f"pypi/p{number}", {"n": number}
        )
        async with database.transaction() as session:
            await audit.append(session, record)
    return admin.workspace


async def verified(database: Database, workspace: WorkspaceId) -> Verification:
    async with database.reading() as session:
        return await audit.verify(session, workspace)


def tamper(database: Database, *statements: str) -> None:
    """Edits the file behind our back, as somebody with a shell would."""
    connection = sqlite3.connect(database.path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


async def test_what_was_appended_verifies_and_the_kept_head_is_the_last_record(
    database: Database, workspace: WorkspaceId
) -> None:
    verification = await verified(database, workspace)
    assert verification.broken is None
    assert verification.records == verification.head.seq == 8


@pytest.mark.parametrize(
    ("statements", "kind", "seq"),
    [
        (["UPDATE audit_records SET payload = '{\"n\":9}' WHERE seq = 5"], BreakKind.EDITED, 5),
        (["UPDATE audit_records SET at = 'yesterday' WHERE seq = 5"], BreakKind.EDITED, 5),
        (["UPDATE audit_records SET subject = x'ff00' WHERE seq = 5"], BreakKind.EDITED, 5),
        (["UPDATE audit_records SET payload = CAST(x'fffe' AS TEXT) WHERE seq = 5"], BreakKind.EDITED, 5),
        (["UPDATE audit_records SET action = 'package.blessed' WHERE seq = 5"], BreakKind.EDITED, 5),
        (["UPDATE audit_records SET prev_hash = 17 WHERE seq = 5"], BreakKind.EDITED, 5),
        (["DELETE FROM audit_records WHERE seq = 5"], BreakKind.MISSING, 5),
        (["DELETE FROM audit_records WHERE seq = 1"], BreakKind.MISSING, 1),
        (
            ["DELETE FROM audit_records WHERE seq = 5", "UPDATE audit_records SET seq = seq - 1 WHERE seq > 5"],
            BreakKind.MISSING,
            5,
        ),
        (
            [
                "UPDATE audit_records SET seq = 99 WHERE seq = 5",
                "UPDATE audit_records SET seq = 5 WHERE seq = 6",
                "UPDATE audit_records SET seq = 6 WHERE seq = 99",
            ],
            BreakKind.REORDERED,
            5,
        ),
        (["DELETE FROM audit_records WHERE seq > 6"], BreakKind.TRUNCATED, 7),
        (["DELETE FROM audit_records"], BreakKind.TRUNCATED, 1),
        (["DELETE FROM audit_records", "DELETE FROM audit_heads"], BreakKind.TRUNCATED, 1),
        (["DELETE FROM audit_heads"], BreakKind.HEAD, 8),
        (["UPDATE audit_heads SET seq = 6"], BreakKind.HEAD, 8),
    ],
)
async def test_tampering_with_the_file_is_found(
    database: Database, workspace: WorkspaceId, statements: list[str], kind: BreakKind, seq: int
) -> None:
    tamper(database, *statements)
    broken = (await verified(database, workspace)).broken
    assert broken is not None
    assert (broken.kind, broken.seq) == (kind, seq), broken.message
    assert str(seq) in broken.message or kind in {BreakKind.TRUNCATED, BreakKind.HEAD}
    async with database.reading() as session:
        with pytest.raises(AuditBrokenError):
            await audit.require_sound(session, workspace)


async def test_a_cut_end_with_its_head_set_back_is_found_against_a_noted_head(
    database: Database, workspace: WorkspaceId
) -> None:
    """Nothing inside the file can show this; a head that was noted elsewhere does."""
    noted = (await verified(database, workspace)).head
    tamper(
        database,
        "DELETE FROM audit_records WHERE seq > 6",
        "UPDATE audit_heads SET (seq, hash) = (SELECT seq, hash FROM audit_records WHERE seq = 6)",
    )
    assert (await verified(database, workspace)).broken is None
    async with database.reading() as session:
        broken = (await audit.verify(session, workspace, [noted])).broken
    assert broken is not None
    assert broken.kind is BreakKind.TRUNCATED


async def test_one_tenants_broken_chain_leaves_the_others_sound(database: Database, workspace: WorkspaceId) -> None:
    async with database.transaction() as session:
        other = await people.create_workspace(session, "other", by=SYSTEM, at=NOON)
    tamper(database, f"UPDATE audit_records SET subject = 'x' WHERE workspace_id = {workspace} AND seq = 2")
    assert (await verified(database, workspace)).broken is not None
    verification = await verified(database, other.id)
    assert verification.broken is None
    assert verification.records == 1


async def test_a_record_moved_in_from_another_tenant_is_found(database: Database, workspace: WorkspaceId) -> None:
    async with database.transaction() as session:
        other = await people.create_workspace(session, "other", by=SYSTEM, at=NOON)
    tamper(
        database,
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


# --- exports ----------------------------------------------------------------------------------------------------------


async def exported(database: Database, workspace: WorkspaceId) -> list[bytes]:
    async with database.reading() as session:
        return [line async for line in audit.export(session, workspace)]


async def test_an_export_verifies_without_the_database(database: Database, workspace: WorkspaceId) -> None:
    lines = await exported(database, workspace)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    assert verify_export(lines) == await verified(database, workspace)


async def test_a_changed_export_does_not_verify(database: Database, workspace: WorkspaceId) -> None:
    lines = await exported(database, workspace)
    noted = verify_export(lines).head
    kinds: Mapping[str, tuple[list[bytes], BreakKind]] = {
        "edited": ([*lines[:4], lines[4].replace(b"pypi/p1", b"pypi/p2"), *lines[5:]], BreakKind.EDITED),
        "missing": ([*lines[:4], *lines[5:]], BreakKind.MISSING),
        "truncated": (lines[:4], BreakKind.TRUNCATED),
    }
    for name, (changed, kind) in kinds.items():
        assert changed != lines, name
        broken = verify_export(changed, [noted]).broken
        assert broken is not None, name
        assert broken.kind is kind, name


async def test_an_export_that_is_not_one_is_refused_with_its_line(database: Database, workspace: WorkspaceId) -> None:
    lines = await exported(database, workspace)
    for bad in (b"not json\n", b'{"seq": 1}\n', b"[]\n"):
        with pytest.raises(AuditBrokenError, match="line 2"):
            verify_export([lines[0], bad])


def test_everything_that_is_exported_is_in_the_table() -> None:
    from_table = {column.key for column in AuditRecordRow.__table__.columns}
    assert {field.name for field in fields(Entry)} == from_table
