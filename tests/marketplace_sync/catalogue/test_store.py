"""Entries keep the order of their last changes, and a mirror of them is the same set."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from skillyard.database import Database, Kind, Session
from skillyard.governance.identity import Person
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry, EntryId, EntryKind, canonical
from skillyard.marketplace_sync.catalogue.store import Catalogue, Change
from skillyard.marketplace_sync.errors import DocumentError, RevisionConflictError
from skillyard.times import utcnow
from sqlalchemy import text


class Noted:
    """A projection that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.settlings = 0

    async def changed(self, session: Session, catalogue: CatalogueId, entries: Sequence[Entry]) -> None:
        assert session.in_transaction()
        assert catalogue
        self.told += [(entry.id.key, entry.seq) for entry in entries]

    async def cleared(self, session: Session, catalogue: CatalogueId) -> None:
        assert session.in_transaction()
        self.told.append(("cleared", catalogue))

    async def settled(self, session: Session, catalogue: CatalogueId) -> None:
        assert session.in_transaction()
        assert catalogue
        self.settlings += 1


def skill(name: str) -> EntryId:
    return EntryId(EntryKind.SKILL, f"acme/{name}")


def change(name: str, text: str | None, base_rev: int | None = None) -> Change:
    return Change(skill(name), None if text is None else canonical({"description": text}), base_rev)


async def write(
    database: Database, *changes: Change, noted: Noted | None = None
) -> tuple[Catalogue, tuple[Entry, ...]]:
    async with database.transaction() as session:
        catalogue = await store.own(session, at=utcnow())
        return await store.write(session, catalogue, changes, projection=noted or Noted(), at=utcnow())


async def feed(database: Database, catalogue: Catalogue, after: int = 0) -> list[tuple[str, int, bool]]:
    async with database.reading() as session:
        page = await store.page(session, catalogue.id, after=after, limit=100)
    return [(entry.id.key, entry.seq, entry.deleted) for entry in page]


async def test_a_changed_entry_moves_to_the_end_of_the_feed(database: Database, admin: Person) -> None:
    assert admin
    await write(database, change("a", "1"), change("b", "1"), change("c", "1"))
    catalogue, written = await write(database, change("a", "2"), change("b", None))
    assert [(one.id.key, one.rev, one.deleted) for one in written] == [("acme/a", 2, False), ("acme/b", 2, True)]
    assert await feed(database, catalogue) == [("acme/c", 3, False), ("acme/a", 4, False), ("acme/b", 5, True)]
    assert await feed(database, catalogue, after=4) == [("acme/b", 5, True)]
    assert catalogue.live == 2


async def test_what_changes_nothing_takes_no_number(database: Database, admin: Person) -> None:
    assert admin
    first, _ = await write(database, change("a", "1"))
    again, written = await write(database, change("a", "1"), change("unknown", None))
    assert written == ()
    assert (again.seq, again.digest_hex) == (first.seq, first.digest_hex)


async def test_a_revision_that_is_not_the_entrys_is_refused_whole(database: Database, admin: Person) -> None:
    assert admin
    await write(database, change("a", "1"))
    with pytest.raises(RevisionConflictError, match="at revision 1, not 7"):
        await write(database, change("b", "1", 0), change("a", "2", 7))
    catalogue, written = await write(database, change("a", "2", 1))
    assert written[0].rev == 2
    assert await feed(database, catalogue) == [("acme/a", 2, False)]


async def test_what_comes_back_after_it_was_deleted_is_newer(database: Database, admin: Person) -> None:
    assert admin
    await write(database, change("a", "1"))
    await write(database, change("a", None))
    _, written = await write(database, change("a", "1", 0))
    assert [(one.rev, one.seq) for one in written] == [(3, 3)]


async def test_a_change_of_the_own_catalogue_waits_for_no_later_one(database: Database, admin: Person) -> None:
    assert admin
    noted = Noted()
    await write(database, change("a", "1"), change("b", "1"), noted=noted)
    assert noted.settlings == 1
    await write(database, change("a", "1"), noted=noted)
    assert noted.settlings == 1


async def test_writers_at_once_each_get_their_number(database: Database, admin: Person) -> None:
    assert admin
    noted = Noted()
    await asyncio.gather(*(write(database, change(f"s{n}", "1"), noted=noted) for n in range(20)))
    assert sorted(seq for _, seq in noted.told) == list(range(1, 21))


async def test_a_mirror_of_any_order_is_the_same_set(database: Database, admin: Person) -> None:
    names = [f"s{n}" for n in range(30)]
    await write(database, *(change(name, "1") for name in names))
    hub, _ = await write(database, *(change(name, "2") for name in names[::3]), change("s1", None))
    async with database.reading() as session:
        whole = await store.page(session, hub.id, after=0, limit=100)
    async with database.transaction() as session:
        mirror = await store.create(session, admin.workspace, at=utcnow())
        for part in (whole[20:], whole[5:25], whole[:7], whole):
            mirror, _ = await store.apply(session, replace(mirror, seq=hub.seq), part, projection=Noted())
    async with database.reading() as session:
        found = await store.find(session, mirror.id)
        assert (found.digest_hex, found.live, found.seq) == (hub.digest_hex, 29, hub.seq)
        assert await store.page(session, mirror.id, after=0, limit=100) == whole


async def test_an_older_state_never_replaces_a_newer_one(database: Database, admin: Person) -> None:
    _, old = await write(database, change("a", "1"))
    _, new = await write(database, change("a", "2"))
    async with database.transaction() as session:
        mirror = await store.create(session, admin.workspace, at=utcnow())
        mirror, _ = await store.apply(session, mirror, new, projection=Noted())
        mirror, fresh = await store.apply(session, mirror, old, projection=Noted())
        assert fresh == ()
        assert await store.get(session, mirror.id, skill("a")) == new[0]


async def test_purged_tombstones_move_the_horizon_and_leave_the_digest_of_the_rest(
    database: Database, admin: Person
) -> None:
    assert admin
    await write(database, change("a", "1"), change("b", "1"))
    await write(database, change("a", None))
    async with database.transaction() as session:
        catalogue = await store.own(session, at=utcnow())
        purged = await store.purge(session, catalogue, deleted_before=utcnow() + timedelta(seconds=1))
    assert purged.horizon == 3
    assert await feed(database, purged) == [("acme/b", 2, False)]
    async with database.transaction() as session:
        mirror = await store.create(session, admin.workspace, at=utcnow())
        page = await store.page(session, purged.id, after=0, limit=9)
        mirror, _ = await store.apply(session, mirror, page, projection=Noted())
    assert mirror.digest_hex == purged.digest_hex


async def test_a_prefix_finds_the_versions_of_one_skill_alone(database: Database, admin: Person) -> None:
    assert admin
    keys = ["acme/a@1.0.0", "acme/a@1.0.1", "acme/a-b@1.0.0", "acme/ab@1.0.0"]
    changes = [Change(EntryId(EntryKind.VERSION, key), canonical({})) for key in keys]
    catalogue, _ = await write(database, *changes)
    async with database.reading() as session:
        found = await store.with_prefix(session, catalogue.id, EntryKind.VERSION, "acme/a@")
    assert [entry.id.key for entry in found] == keys[:2]


async def test_what_nobody_would_read_is_not_written(database: Database, admin: Person) -> None:
    assert admin
    with pytest.raises(DocumentError, match="skill acme/b would be larger"):
        await write(database, change("a", "1"), change("b", "é" * 32_768))
    catalogue, _ = await write(database, change("c", "1"))
    assert await feed(database, catalogue) == [("acme/c", 1, False)]


async def test_pages_of_a_thousand_are_kept_found_and_changed_by_their_keys(database: Database, admin: Person) -> None:
    """A follower would take hours for a large hub if every page of it read the whole mirror."""
    at = utcnow()

    def state(number: int, seq: int) -> Entry:
        kind = EntryKind.PUBLISHER if number % 2 else EntryKind.CATEGORY
        document, deleted = canonical({"title": f"{number}-{seq}"}), number % 10 == 0
        return Entry(EntryId(kind, f"n-{number}"), seq, 1, None if deleted else document, f"{seq:064x}", deleted, at)

    async def read(session: Session) -> int:
        if database.kind is Kind.SQLITE:
            return 0
        query = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'catalogue_entries'"
        return int(await session.scalar(text(query)) or 0)

    first = [state(number, number + 1) for number in range(3000)]
    second = [state(number, number + 5001) for number in range(500, 1500)]
    async with database.transaction() as session:
        mirror = await store.create(session, admin.workspace, at=at)
        for begin in range(0, 3000, 1000):
            mirror, _ = await store.apply(session, mirror, first[begin : begin + 1000], projection=Noted())
        before = await read(session)
        mirror, fresh = await store.apply(session, mirror, second, projection=Noted())
        wanted = {one.id: one for one in (*first, *second)}
        assert await store.get_many(session, mirror.id, wanted) == wanted
        # What changes is looked at and changed, and then everything is looked at.
        assert await read(session) - before <= 2 * 1000 + 3000
    assert (len(fresh), mirror.live) == (1000, 2700)
