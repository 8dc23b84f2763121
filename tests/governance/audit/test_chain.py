"""The chain by itself: whatever is done to the records is found, and where it was done is said."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from skillyard.governance.audit import (
    EMPTY,
    GENESIS,
    Action,
    AuditRecord,
    BreakKind,
    ChainCheck,
    Entry,
    Head,
    chain,
    seal,
)
from skillyard.governance.identity import SYSTEM, Actor, ActorKind
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


def test_everything_that_is_exported_is_in_the_table() -> None:
    from_table = {column.key for column in AuditRecordRow.__table__.columns}
    assert {field.name for field in fields(Entry)} == from_table
