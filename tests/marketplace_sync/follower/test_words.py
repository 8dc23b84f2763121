"""What a remote's moderators take out of use stops here, and nothing but a later word of theirs undoes it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from alembic import command
from skillyard.database import alembic_config, change_schema, migrate
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import SkillState
from skillyard.governance.identity import Person
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import ModerationState
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind, canonical
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.catalogue.tables import EntryRow
from skillyard.marketplace_sync.follower import store as follower_store
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.runtime import bundle_stops
from skillyard.runtime.tables import SkillVersionRow
from skillyard.times import utcnow
from sqlalchemy import update
from tests.marketplace_sync.follower.hubs import (
    Here,
    Hub,
    Unprojected,
    bundle_of,
    gone,
    install,
    moderation,
    publisher,
    skill,
    state_of,
    version,
)

KEY = "acme/tool@1.0.0"


async def stopped(here: Here, bundle: str = bundle_of(KEY)) -> SkillState | None:
    async with here.database.reading() as session:
        found = await bundle_stops.standing(session, here.remote.workspace, bundle)
    return None if found is None else found.state


async def fill(hub: Hub) -> None:
    await hub.write(publisher("acme"), skill("acme/tool"), version(KEY), version("acme/tool@1.1.0"))


async def test_a_revoked_version_is_stopped_wherever_its_content_came_from(hub: Hub, here: Here) -> None:
    await fill(hub)
    await here.sync()
    elsewhere = await install(here, bundle=bundle_of(KEY))
    other = await install(here, bundle=bundle_of("something else"), name="other")
    await hub.write(moderation(KEY, ModerationState.REVOKED))
    report = await here.sync()
    assert report.stopped == 1
    assert await state_of(here, elsewhere) is SkillState.REVOKED
    assert await state_of(here, other) is SkillState.ACTIVE
    assert await stopped(here) is SkillState.REVOKED
    assert [one.reason for one in here.stopped] == [f"hub says of {KEY}: It steals keys."]
    # Said once: nothing is done about it again.
    assert (await here.sync()).stopped == 0


async def test_a_word_about_a_publisher_is_about_every_version_also_later_ones(hub: Hub, here: Here) -> None:
    await fill(hub)
    await here.sync()
    installed = await install(here, bundle=bundle_of(KEY))
    await hub.write(moderation("acme", ModerationState.QUARANTINED))
    await here.sync()
    assert await state_of(here, installed) is SkillState.QUARANTINED
    await hub.write(version("acme/tool@2.0.0"))
    await here.sync()
    assert await stopped(here, bundle_of("acme/tool@2.0.0")) is SkillState.QUARANTINED
    # The strictest word counts, and less strict ones do not weaken it.
    await hub.write(moderation(KEY, ModerationState.REVOKED, epoch=2))
    await here.sync()
    assert await state_of(here, installed) is SkillState.REVOKED
    assert await stopped(here, bundle_of("acme/tool@1.1.0")) is SkillState.QUARANTINED


async def test_a_later_milder_word_ends_the_stop_and_leaves_what_was_stopped_to_people(hub: Hub, here: Here) -> None:
    await fill(hub)
    installed = await install(here, bundle=bundle_of(KEY))
    await hub.write(moderation(KEY, ModerationState.QUARANTINED), moderation("acme/tool", ModerationState.REVOKED, 2))
    await here.sync()
    await hub.write(moderation("acme/tool", ModerationState.VISIBLE, 3))
    await here.sync()
    assert await stopped(here) is SkillState.QUARANTINED
    assert await stopped(here, bundle_of("acme/tool@1.1.0")) is None
    await hub.write(moderation(KEY, ModerationState.VISIBLE, 4))
    await here.sync()
    assert await stopped(here) is None
    assert await state_of(here, installed) is SkillState.REVOKED


async def test_the_same_content_under_two_names_is_stopped_until_both_are_let_go(hub: Hub, here: Here) -> None:
    """Also where filters keep one of them out of the mirror."""
    await fill(hub)
    await hub.write(publisher("other"), skill("other/copy"), version("other/copy@1.0.0", bundle=bundle_of(KEY)))
    await here.sync()
    await hub.write(moderation(KEY, ModerationState.REVOKED), moderation("other/copy", ModerationState.QUARANTINED, 2))
    await here.sync()
    async with here.database.transaction() as session:
        await session.execute(update(EntryRow).where(EntryRow.key.startswith("other/copy@")).values(document=None))
    await hub.write(moderation(KEY, ModerationState.VISIBLE, 3))
    await here.sync()
    assert await stopped(here) is SkillState.QUARANTINED
    await hub.write(moderation("other/copy", ModerationState.VISIBLE, 4))
    await here.sync()
    assert await stopped(here) is None


async def test_a_stop_of_what_filters_left_out_ends_with_its_word_and_with_its_remote(
    hub: Hub, here: Here, admin: Person
) -> None:
    await fill(hub)
    await here.sync()
    bundle = bundle_of("unknown")
    installed = await install(here, bundle=bundle, origin="remote:hub/acme/tool@0.9.0")
    await hub.write(moderation("acme/tool@0.9.0", ModerationState.REVOKED))
    await here.sync()
    assert await stopped(here, bundle) is SkillState.REVOKED
    async with here.database.transaction() as session:
        row = await session.get_one(SkillVersionRow, installed)
        row.state = SkillState.REMOVED
    await hub.write(
        moderation("acme/tool@0.9.0", ModerationState.VISIBLE, 2), moderation(KEY, ModerationState.REVOKED, 3)
    )
    await here.sync()
    assert await stopped(here, bundle) is None
    assert await stopped(here) is SkillState.REVOKED
    by = Administrator(admin.workspace, admin.id, admin.actor)
    async with here.database.transaction() as session:
        await remote_store.remove(session, admin.workspace, "hub", by=by, at=utcnow(), projection=Unprojected())
    assert await stopped(here) is None


@pytest.mark.parametrize("wrong", [{"epoch": 10**23}, {"reason": "It\0steals."}, {"at": "0001-01-01T00:00:00+10:00"}])
async def test_a_word_that_no_database_keeps_holds_back_none_behind_it(
    hub: Hub, here: Here, wrong: dict[str, object]
) -> None:
    await fill(hub)
    said = {"state": "revoked", "reason": "It steals.", "actor": "mo", "epoch": 1, "at": "2027-01-01T00:00:00Z"} | wrong
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    await hub.write(
        Change(EntryId(EntryKind.MODERATION, "acme/other"), text), moderation(KEY, ModerationState.REVOKED, 2)
    )
    report = await here.sync()
    assert (report.equal, report.set_aside) == (None, 1)
    assert await stopped(here) is SkillState.REVOKED


async def test_a_word_that_this_release_cannot_read_stops_until_one_comes_that_it_can(hub: Hub, here: Here) -> None:
    await fill(hub)
    await here.sync()
    installed = await install(here, bundle=bundle_of(KEY))
    word = {"state": "embargoed", "reason": "Courts.", "actor": "mo", "epoch": 2, "at": "2027-01-01T00:00:00Z"}
    await hub.write(Change(EntryId(EntryKind.MODERATION, "acme/tool"), canonical(word)))
    report = await here.sync()
    assert (report.equal, report.set_aside, report.stopped) == (None, 1, 1)
    assert await state_of(here, installed) is SkillState.QUARANTINED
    assert await stopped(here, bundle_of("acme/tool@1.1.0")) is SkillState.QUARANTINED
    # Asked for again with every run, and nothing is done about it twice.
    assert (await here.sync()).stopped == 0
    async with here.database.reading() as session:
        (kept,) = (await follower_store.words(session, here.remote.id)).values()
    assert kept.epoch == 1  # so that the same word counts for more once it is read
    await hub.write(moderation("acme/tool", ModerationState.VISIBLE, 3))
    assert (await here.sync()).equal
    assert await stopped(here) is None


async def test_a_word_that_is_merely_not_there_any_more_counts_on(hub: Hub, here: Here) -> None:
    await fill(hub)
    backup, entries = await hub.catalogue(), await hub.entries()
    await hub.write(moderation(KEY, ModerationState.REVOKED))
    await here.sync()
    assert await stopped(here) is SkillState.REVOKED
    # A hub that was put back to before the revoke, and says so.
    await hub.put_back(backup, entries, epoch=2)
    report = await here.sync()
    assert (report.snapshot, report.equal) == (True, True)
    assert f"moderation {KEY}" not in await here.keys()
    assert await stopped(here) is SkillState.REVOKED
    # A tombstone is no word either, and neither is one of the time before.
    await hub.write(moderation(KEY, ModerationState.VISIBLE, 1))
    await here.sync()
    assert await stopped(here) is SkillState.REVOKED
    await hub.write(gone(moderation(KEY, ModerationState.VISIBLE)))
    await here.sync()
    assert await stopped(here) is SkillState.REVOKED


async def test_stops_that_an_earlier_release_kept_end_with_their_words(hub: Hub, here: Here, database_url: str) -> None:
    await fill(hub)
    bundle = bundle_of("left out")
    await install(here, bundle=bundle, origin="remote:hub/acme/tool@0.9.0")
    await hub.write(moderation(KEY, ModerationState.REVOKED), moderation("acme/tool", ModerationState.QUARANTINED, 2))
    await here.sync()
    await change_schema(database_url, lambda connection: command.downgrade(alembic_config(connection), "0016"))
    await migrate(database_url)
    assert await stopped(here) is SkillState.REVOKED
    assert await stopped(here, bundle) is SkillState.QUARANTINED
    await hub.write(moderation("acme/tool", ModerationState.VISIBLE, 3))
    await here.sync()
    assert await stopped(here, bundle) is None
    assert await stopped(here) is SkillState.REVOKED
    await hub.write(moderation(KEY, ModerationState.VISIBLE, 4))
    await here.sync()
    assert await stopped(here) is None


async def test_deleting_what_was_revoked_lets_nothing_run(hub: Hub, here: Here) -> None:
    await fill(hub)
    await hub.write(moderation(KEY, ModerationState.REVOKED))
    await here.sync()
    await hub.write(moderation(KEY, ModerationState.DELETED, 2), gone(version(KEY)))
    async with hub.database.transaction() as session:
        own = await store.own(session, at=utcnow())
        await store.purge(session, own, deleted_before=utcnow() + timedelta(seconds=1))
    await here.sync()
    assert await stopped(here) is SkillState.REVOKED


async def test_what_filters_left_out_is_found_by_where_it_was_installed_from(hub: Hub, here: Here) -> None:
    await fill(hub)
    await here.sync()
    installed = await install(here, bundle=bundle_of("unknown"), origin=f"remote:hub/{KEY}")
    neighbour = await install(here, bundle=bundle_of("x"), origin="remote:hub/acme/tool@1.0.0-rc1", name="neighbour")
    await hub.write(moderation(KEY, ModerationState.REVOKED))
    await here.sync()
    assert await state_of(here, installed) is SkillState.REVOKED
    assert await state_of(here, neighbour) is SkillState.ACTIVE
    await hub.write(moderation("acme/tool", ModerationState.QUARANTINED, 2))
    await here.sync()
    assert await state_of(here, neighbour) is SkillState.QUARANTINED
    async with here.database.reading() as session:
        assert await follower_store.count_words(session, here.remote.id) == 2
