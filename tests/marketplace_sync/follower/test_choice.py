"""Nothing is installed from a mirror that may not know what was said against it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from skillyard.governance.administrators import Administrator
from skillyard.governance.identity import Person
from skillyard.marketplace_sync.catalogue.documents import ModerationState, PublisherDocument
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.errors import NotInstallableError, RemoteUnavailableError
from skillyard.marketplace_sync.follower.address import parse_remote_address
from skillyard.marketplace_sync.follower.choice import Choice, choose
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import Filters
from skillyard.times import utcnow
from tests.marketplace_sync.follower.hubs import Here, Hub, moderation, publisher, skill, version

KEY = "acme/tool@1.0.0"
HOUR = timedelta(hours=1)


async def chosen(here: Here, which: str = "1.0.0") -> Choice:
    async with here.database.reading() as session:
        address = parse_remote_address(f"hub:acme/tool@{which}" if which else "hub:acme/tool")
        return await choose(session, here.remote.workspace, address, oldest=HOUR)


async def synced(here: Here, *, ago: timedelta = timedelta(0)) -> None:
    await here.sync()
    async with here.database.transaction() as session:
        await remote_store.record(session, here.remote.id, error=None, at=utcnow() - ago)


async def fill(hub: Hub) -> None:
    await hub.write(publisher("acme"), skill("acme/tool"), version(KEY), version("acme/tool@1.1.0"))


async def test_before_all_was_read_nobody_knows_what_was_said(hub: Hub, here: Here) -> None:
    await fill(hub)
    await hub.write(moderation(KEY, ModerationState.REVOKED))
    hub.limit = 4

    def cut(number: int) -> None:
        if number > 1:
            raise RemoteUnavailableError("the connection was reset")

    hub.before_page = cut
    with pytest.raises(RemoteUnavailableError):
        await here.sync()
    assert f"version {KEY}" in await here.keys()
    with pytest.raises(NotInstallableError, match="not read to its head"):
        await chosen(here)
    hub.before_page = lambda _number: None
    await synced(here)
    with pytest.raises(NotInstallableError, match="revoked"):
        await chosen(here)
    assert (await chosen(here, "1.1.0")).version == "1.1.0"


async def test_a_mirror_that_is_held_back_offers_nothing_after_a_while(hub: Hub, here: Here) -> None:
    await fill(hub)
    await synced(here, ago=2 * HOUR)
    with pytest.raises(NotInstallableError, match="marketplace_mirror_hours"):
        await chosen(here)
    await synced(here, ago=-2 * HOUR)  # by a clock that was wrong
    with pytest.raises(NotInstallableError, match="marketplace_mirror_hours"):
        await chosen(here)
    await synced(here)
    assert (await chosen(here)).version == "1.0.0"


async def test_one_that_is_to_be_read_anew_offers_nothing_until_it_was(hub: Hub, here: Here, admin: Person) -> None:
    await fill(hub)
    await synced(here)
    by = Administrator(admin.workspace, admin.id, admin.actor)
    async with here.database.transaction() as session:
        await remote_store.change(
            session,
            admin.workspace,
            "hub",
            by=by,
            at=utcnow(),
            url=None,
            filters=Filters(publishers=("acme",)),
            strategy=None,
            live=None,
        )
    with pytest.raises(NotInstallableError, match="not read to its head"):
        await chosen(here)
    await synced(here)
    assert (await chosen(here)).version == "1.0.0"


async def refused_while_damaged(hub: Hub, here: Here, kind: str) -> None:
    hub.meddle = lambda row: {**row, "document": "{}"} if row["kind"] == kind else row
    await synced(here)
    with pytest.raises(NotInstallableError, match="could not be read"):
        await chosen(here)
    hub.meddle = lambda row: row
    await synced(here)
    assert (await chosen(here)).version == "1.0.0"


async def test_a_word_that_came_damaged_may_be_one_that_stops(hub: Hub, here: Here) -> None:
    await fill(hub)
    await hub.write(moderation("acme/tool", ModerationState.VISIBLE))
    await refused_while_damaged(hub, here, "moderation")


async def test_what_a_publisher_says_of_its_keys_and_came_damaged_may_take_one_back(hub: Hub, here: Here) -> None:
    await fill(hub)
    await synced(here)
    assert (await chosen(here)).version == "1.0.0"
    changed = PublisherDocument(display_name="Another name").text
    await hub.write(Change(EntryId(EntryKind.PUBLISHER, "acme"), changed))
    await refused_while_damaged(hub, here, "publisher")


async def test_one_yanked_version_hides_no_skill_of_a_hub_that_leaves_latest_on_it(hub: Hub, here: Here) -> None:
    await fill(hub)
    await hub.write(version("acme/tool@1.1.0-rc.1"), version("acme/tool@0.9.0"))
    await hub.write(moderation(KEY, ModerationState.YANKED))
    await synced(here)
    assert (await chosen(here, "")).version == "1.1.0"
    await hub.write(moderation("acme/tool@1.1.0", ModerationState.REVOKED))
    await synced(here)
    assert (await chosen(here, "")).version == "0.9.0"
    # Who names it has it, and a whole skill that is yanked has to be named.
    assert (await chosen(here)).version == "1.0.0"
    await hub.write(moderation("acme/tool", ModerationState.YANKED))
    await synced(here)
    with pytest.raises(NotInstallableError, match="name it exactly"):
        await chosen(here, "")
