"""A mirror becomes what its hub says, whatever happens on the way; and what contradicts itself is not believed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from skillyard.governance.administrators import Administrator
from skillyard.governance.identity import Person
from skillyard.marketplace_sync.catalogue.documents import ModerationState
from skillyard.marketplace_sync.errors import FeedTrustError, RemoteError, RemoteUnavailableError
from skillyard.marketplace_sync.follower import run as run_module
from skillyard.marketplace_sync.follower import store as follower_store
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import Filters, Head, RemoteState
from skillyard.times import utcnow
from tests.marketplace_sync.follower.hubs import (
    Here,
    Hub,
    fill,
    gone,
    moderation,
    publisher,
    rating,
    same,
    skill,
    version,
)


async def test_a_first_sync_reads_everything_and_later_ones_what_changed(hub: Hub, here: Here) -> None:
    await fill(hub)
    await hub.write(gone(skill("acme/s11")), gone(version("acme/s11@1.0.0")))
    hub.limit = 7
    report = await here.sync()
    assert (report.snapshot, report.equal, report.set_aside) == (True, True, 0)
    assert report.applied == report.entries == 27
    await same(here, hub)

    await hub.write(skill("acme/s1", "Reads TSV files."), gone(rating("acme/s0")), skill("acme/new"))
    report = await here.sync()
    assert (report.snapshot, report.equal, report.entries, report.applied) == (False, True, 3, 3)
    await same(here, hub)
    report = await here.sync()
    assert (report.pages, report.entries, report.equal) == (1, 0, True)


async def test_what_changes_while_a_snapshot_is_read_comes_by_the_feed(hub: Hub, here: Here) -> None:
    await fill(hub)
    hub.limit = 5
    changes = {3: [skill("acme/s0", "new words"), gone(skill("acme/s5"))], 6: [skill("acme/late")]}
    inner = hub.changes

    async def changing(cursor: str | None, *, limit: int, wait: float = 0.0):  # type: ignore[no-untyped-def]
        await hub.write(*changes.pop(hub.asked + 1, []))
        return await inner(cursor, limit=limit, wait=wait)

    hub.changes = changing  # type: ignore[method-assign]
    report = await here.sync()
    assert report.equal
    await same(here, hub)


async def test_a_page_that_is_cut_off_costs_nothing_but_the_page(hub: Hub, here: Here) -> None:
    await fill(hub)
    hub.limit = 4

    def fail(number: int) -> None:
        if number == 4:
            raise RemoteUnavailableError("the connection was reset")

    hub.before_page = fail
    with pytest.raises(RemoteUnavailableError):
        await here.sync()
    done = len(await here.entries())
    assert done >= 8
    report = await here.sync()
    assert report.equal
    assert report.applied == 29 - done
    await same(here, hub)


async def test_rows_twice_and_in_any_order_are_the_same_mirror(hub: Hub, here: Here) -> None:
    await fill(hub)
    inner = hub.changes

    async def shuffled(cursor: str | None, *, limit: int, wait: float = 0.0):  # type: ignore[no-untyped-def]
        page = await inner(cursor, limit=limit, wait=wait)
        return replace(page, entries=(*page.entries[::-1], *page.entries[:3]))

    hub.changes = shuffled  # type: ignore[method-assign]
    assert (await here.sync()).equal
    await same(here, hub)


async def test_a_row_that_is_withheld_is_noticed(hub: Hub, here: Here) -> None:
    await fill(hub)
    hub.meddle = lambda row: None if row["key"] == "acme/s3" else row
    with pytest.raises(FeedTrustError, match="mix-up"):
        await here.sync()
    market = await here.market()
    assert market.state is RemoteState.DISTRUSTED
    # Nothing more is asked of it, let alone applied.
    asked = hub.asked
    hub.meddle = lambda row: row
    with pytest.raises(FeedTrustError):
        await here.sync()
    assert hub.asked == asked


async def test_a_mirror_that_lost_something_heals_by_reading_everything_again(hub: Hub, here: Here) -> None:
    await fill(hub)
    await here.sync()
    async with here.database.transaction() as session:
        await follower_store.forget(session, here.remote.catalogue, [skill("acme/s3").id])
        catalogue = await run_module.entries_of.find(session, here.remote.catalogue)
        await run_module.entries_of.save(session, replace(catalogue, digest=bytes(2048), live=0))
    report = await here.sync()
    assert (report.snapshot, report.equal) == (True, True)
    await same(here, hub)


async def test_an_operator_who_has_everything_read_again_mends_a_digest_that_is_wrong(hub: Hub, here: Here) -> None:
    """Else it would be distrusted again and again: what the entries were read into is what was wrong."""
    await fill(hub)
    await here.sync()
    async with here.database.transaction() as session:
        catalogue = await run_module.entries_of.find(session, here.remote.catalogue)
        await run_module.entries_of.save(session, replace(catalogue, digest=bytes(2048)))
        await remote_store.trust(session, here.remote.id, None, resync=True)
    report = await here.sync()
    assert (report.snapshot, report.equal) == (True, True)
    await same(here, hub)


async def accept(here: Here, admin: Person) -> None:
    async with here.database.transaction() as session:
        by = Administrator(admin.workspace, admin.id, admin.actor)
        await remote_store.set_state(session, admin.workspace, "hub", RemoteState.ENABLED, by=by, at=utcnow())


async def test_a_hub_put_back_to_a_backup_is_distrusted_until_somebody_looked(
    hub: Hub, here: Here, admin: Person
) -> None:
    await fill(hub)
    backup, entries = await hub.catalogue(), await hub.entries()
    await hub.write(skill("acme/later"), skill("acme/s1", "Changed."))
    await here.sync()
    await hub.put_back(backup, entries, epoch=1)
    before = await here.entries()
    with pytest.raises(FeedTrustError, match="rollback"):
        await here.sync()
    assert await here.entries() == before
    assert (await here.market()).state is RemoteState.DISTRUSTED
    await accept(here, admin)
    report = await here.sync()
    assert (report.snapshot, report.equal) == (True, True)
    await same(here, hub)


async def test_a_higher_epoch_is_read_again_from_the_beginning(hub: Hub, here: Here) -> None:
    await fill(hub)
    backup, entries = await hub.catalogue(), await hub.entries()
    await hub.write(skill("acme/later"), skill("acme/s1", "Changed."))
    await here.sync()
    await hub.put_back(backup, entries, epoch=2)
    report = await here.sync()
    assert (report.snapshot, report.equal) == (True, True)
    assert "skill acme/later" not in await here.keys()
    assert "acme/later" in here.projection.removed
    await same(here, hub)


async def test_another_hub_in_its_place_is_distrusted(hub: Hub, here: Here) -> None:
    await fill(hub)
    await here.sync()
    hub.meddle_head = lambda head: replace(head, feed_id="6f1b1b0e-0000-4000-8000-000000000000")
    with pytest.raises(FeedTrustError, match="mix-up"):
        await here.sync()
    assert (await here.market()).state is RemoteState.DISTRUSTED


async def test_another_key_is_offered_and_not_believed(hub: Hub, here: Here) -> None:
    await fill(hub)
    await here.sync()
    await hub.write(skill("acme/later"))
    hub.meddle_head = lambda head: replace(head, public_key="ab" * 32)
    with pytest.raises(FeedTrustError, match="another key"):
        await here.sync()
    market = await here.market()
    assert (market.state, market.offered_key) == (RemoteState.DISTRUSTED, "ab" * 32)
    assert market.public_key == hub.feed.public_key
    assert "skill acme/later" not in await here.keys()


async def test_a_head_out_of_date_applies_nothing_and_heals(hub: Hub, here: Here) -> None:
    await fill(hub)
    await here.sync()
    await hub.write(skill("acme/later"))

    def old(head: Head) -> Head:
        return replace(head, expires_at=utcnow() - timedelta(hours=1))

    hub.meddle_head = old
    with pytest.raises(FeedTrustError, match="freeze"):
        await here.sync()
    assert "skill acme/later" not in await here.keys()
    assert (await here.market()).state is RemoteState.ENABLED
    hub.meddle_head = lambda head: head
    assert (await here.sync()).equal


async def test_what_moderators_took_back_by_forgetting_is_not_believed(hub: Hub, here: Here) -> None:
    await fill(hub)
    await hub.write(moderation("acme/s1@1.0.0", ModerationState.REVOKED))
    await here.sync()
    hub.meddle_head = lambda head: replace(head, moderation=0)
    with pytest.raises(FeedTrustError, match="moderators"):
        await here.sync()


async def test_a_cursor_behind_the_horizon_reads_again_and_forgets_what_is_gone(hub: Hub, here: Here) -> None:
    await fill(hub)
    await here.sync()
    here.heard.entries.clear()
    await hub.write(gone(skill("acme/s4")), skill("acme/s5", "Changed."))
    async with hub.database.transaction() as session:
        own = await run_module.entries_of.own(session, at=utcnow())
        await run_module.entries_of.purge(session, own, deleted_before=utcnow() + timedelta(seconds=1))
    hub.limit = 6
    report = await here.sync()
    assert (report.snapshot, report.equal) == (True, True)
    # What was as before is no news to anybody.
    assert [str(entry.id) for entry in here.heard.entries] == ["skill acme/s5"]
    assert here.projection.removed == ["acme/s4"]
    await same(here, hub)


async def test_filters_keep_documents_out_and_hashes_in(hub: Hub, here: Here, admin: Person) -> None:
    await fill(hub)
    await hub.write(
        publisher("other"),
        skill("other/tool", categories=("data",)),
        version("other/tool@1.0.0"),
        moderation("other/tool@1.0.0", ModerationState.YANKED),
    )
    by = Administrator(admin.workspace, admin.id, admin.actor)

    async def narrow(filters: Filters) -> None:
        async with here.database.transaction() as session:
            await remote_store.change(
                session, admin.workspace, "hub", by=by, at=utcnow(), url=None, filters=filters, strategy=None, live=None
            )

    await narrow(Filters(publishers=("acme",)))
    assert (await here.sync()).equal
    documents = {str(entry.id): entry.document for entry in await here.entries()}
    assert documents["skill other/tool"] is None
    assert documents["version other/tool@1.0.0"] is None
    assert documents["moderation other/tool@1.0.0"] is not None
    assert documents["skill acme/s1"] is not None

    await narrow(Filters(categories=("data",)))
    report = await here.sync()
    assert (report.snapshot, report.equal) == (True, True)
    documents = {str(entry.id): entry.document for entry in await here.entries()}
    assert documents["skill other/tool"] is not None
    assert documents["skill acme/s1"] is None


async def test_what_was_asked_for_elsewhere_is_not_taken_for_what_is_there_now(
    hub: Hub, here: Here, admin: Person
) -> None:
    """An address that is changed while its remote is followed: the run ends, and the next begins with a snapshot."""
    await fill(hub)
    await here.sync()
    hub.limit = 3
    await hub.write(*(skill(f"acme/s{number}", "Changed.") for number in range(9)))
    by = Administrator(admin.workspace, admin.id, admin.actor)
    inner = hub.changes

    async def moved(cursor: str | None, *, limit: int, wait: float = 0.0):  # type: ignore[no-untyped-def]
        if (await here.market()).url == here.remote.url:
            async with here.database.transaction() as session:
                await remote_store.change(
                    session,
                    admin.workspace,
                    "hub",
                    by=by,
                    at=utcnow(),
                    url="https://other.example.org",
                    filters=None,
                    strategy=None,
                    live=None,
                )
        return await inner(cursor, limit=limit, wait=wait)

    hub.changes = moved  # type: ignore[method-assign]
    with pytest.raises(RemoteError, match="was changed while"):
        await here.sync()
    assert (await here.market()).resync
    assert not any("Changed" in (entry.document or "") for entry in await here.entries())
    here.remote = await here.market()
    report = await here.sync()
    assert (report.snapshot, report.equal) == (True, True)


async def test_runs_of_two_processes_do_not_disturb_one_another(hub: Hub, here: Here) -> None:
    await fill(hub)
    hub.limit = 3
    done = await asyncio.gather(*(here.sync() for _ in range(3)), return_exceptions=True)
    assert all(isinstance(one, RemoteError) or not isinstance(one, BaseException) for one in done), done
    assert (await here.sync()).equal
    await same(here, hub)
    assert len({(entry.id, entry.seq) for entry in here.heard.entries}) == len(here.heard.entries)


async def test_a_feed_that_promises_for_ever_is_left(hub: Hub, here: Here) -> None:
    await fill(hub)
    inner = hub.changes
    number = 0

    async def endless(cursor: str | None, *, limit: int, wait: float = 0.0):  # type: ignore[no-untyped-def]
        nonlocal number
        number += 1
        page = await inner(None, limit=limit, wait=wait)
        assert cursor is None or cursor == f"cursor-{number - 1}"
        return replace(page, entries=(), more=True, cursor=f"cursor-{number}")

    hub.changes = endless  # type: ignore[method-assign]
    with pytest.raises(RemoteError, match="promises"):
        await here.sync()
    assert number < 60
