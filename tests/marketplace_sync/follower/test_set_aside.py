"""What of a page cannot be taken is set aside, holds up nothing, and is asked for until it is good."""

from __future__ import annotations

import pytest
from skillyard.marketplace_sync.catalogue.documents import ModerationState
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.errors import RemoteAnswerError, RemoteUnavailableError
from skillyard.marketplace_sync.follower import store as follower_store
from skillyard.marketplace_sync.follower.pages import position
from skillyard.marketplace_sync.remotes.remote import ChangePage, RemoteState
from tests.marketplace_sync.follower.hubs import Here, Hub, Row, fill, gone, moderation, same, skill


async def test_a_row_that_was_damaged_on_the_way_is_asked_for_again(hub: Hub, here: Here) -> None:
    await fill(hub)
    damaged: list[str] = []

    def damage(row: Row) -> Row:
        if row["key"] == "acme/s3" and not damaged:
            damaged.append("once")
            return {**row, "document": str(row["document"]).replace("CSV", "CSW")}
        return row

    hub.meddle = damage
    report = await here.sync()
    assert (report.equal, report.set_aside) == (True, 0)
    await same(here, hub)


async def test_a_poisoned_row_is_set_aside_with_its_reason_and_taken_when_it_is_good(hub: Hub, here: Here) -> None:
    await fill(hub)
    # The hub itself is wrong: no release reads this, and its hash fits it.
    await hub.write(Change(EntryId(EntryKind.SKILL, "acme/s3"), '{"description":3}'))
    report = await here.sync()
    assert (report.equal, report.set_aside) == (None, 1)
    assert "skill acme/s3" not in await here.keys()
    assert len(await here.keys()) == 28
    async with here.database.reading() as session:
        (item,) = await follower_store.set_aside_page(session, here.remote.id)
    assert (item.kind, item.key, item.document) == ("skill", "acme/s3", '{"description":3}')
    assert "description" in item.reason
    report = await here.sync()
    assert report.set_aside == 1
    async with here.database.reading() as session:
        (item,) = await follower_store.set_aside_page(session, here.remote.id)
    assert item.tries > 1

    await hub.write(skill("acme/s3"))
    report = await here.sync()
    assert (report.equal, report.set_aside) == (True, 0)
    await same(here, hub)


def moves_on(hub: Hub, patch: pytest.MonkeyPatch, change: Change) -> None:
    """Something changes at the hub before one place is asked for again, and not before."""
    changes = hub.changes
    changed: list[Change] = []

    async def asked(cursor: str | None, *, limit: int, wait: float = 0.0) -> ChangePage:
        place = position(cursor)
        if place is not None and place.up_to == place.seq + 1 and not changed:
            changed.append(change)
            await hub.write(change)
        return await changes(cursor, limit=limit, wait=wait)

    patch.setattr(hub, "changes", asked)


@pytest.mark.parametrize("known", [False, True], ids=["first run", "later run"])
@pytest.mark.parametrize("change", [skill("acme/s3"), gone(skill("acme/s3"))], ids=["changed", "deleted"])
async def test_what_changes_before_it_is_asked_for_again_is_waited_for_and_nobody_is_distrusted(
    hub: Hub, here: Here, monkeypatch: pytest.MonkeyPatch, change: Change, *, known: bool
) -> None:
    """It is not where it was any more, and the head that the mirror was read to still counts it."""
    await fill(hub)
    await hub.write(Change(EntryId(EntryKind.SKILL, "acme/s3"), '{"description":3}'))
    if known:
        assert (await here.sync()).set_aside == 1
    moves_on(hub, monkeypatch, change)
    report = await here.sync()
    assert (report.equal, report.set_aside, report.snapshot) == (None, 1, not known)
    assert (await here.market()).state is RemoteState.ENABLED
    report = await here.sync()
    assert (report.equal, report.set_aside, report.snapshot) == (True, 0, False)
    await same(here, hub)


async def test_what_comes_good_after_all_while_others_change_is_not_waited_for_twice(
    hub: Hub, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line gave one a wrong name and broke another; the first is right by now, and its place is the same."""
    await fill(hub)
    breaks: dict[str, Row] = {"acme/s3": {"key": "../s3"}, "acme/s4": {"document": "{}"}}
    hub.meddle = lambda row: {**row, **breaks.get(str(row["key"]), {})} if row["kind"] == "skill" else row
    with pytest.raises(RemoteAnswerError, match="do not account"):
        await here.sync()
    del breaks["acme/s3"]
    moves_on(hub, monkeypatch, skill("acme/s9", "Changed."))
    report = await here.sync()
    assert (report.equal, report.set_aside) == (None, 1)


@pytest.mark.parametrize(
    "hostile",
    [
        {"key": "../../etc/passwd"},
        {"kind": "virus"},
        {"seq": 10**17},
        {"rev": "one"},
        {"sha256": "0" * 64},
        {"document": "<html>"},
        {"document": None},
        {"key": "acme/" + "x" * 5000},
    ],
    ids=lambda value: next(iter(value)),
)
async def test_hostile_rows_are_set_aside_and_the_others_taken(hub: Hub, here: Here, hostile: Row) -> None:
    await fill(hub)
    hub.meddle = lambda row: {**row, **hostile} if (row["kind"], row["key"]) == ("skill", "acme/s3") else row
    await hub.sign_as_it_comes()
    report = await here.sync()
    assert (report.equal, report.set_aside) == (None, 1)
    assert len(await here.keys()) == 28


FALSE_NUMBERS = pytest.mark.parametrize("number", [0, 10**17, 2**63 - 1])


@FALSE_NUMBERS
async def test_a_row_under_a_false_number_is_found_where_its_page_began(hub: Hub, here: Here, number: int) -> None:
    """The line damages it, and fails when the page is asked for once more: nothing names the place of the row."""
    await fill(hub)
    await here.sync()
    await hub.write(skill("acme/s3", "Changed."), gone(skill("acme/s4")))

    def fails_once(asked: int) -> None:
        hub.meddle = lambda row: {**row, "seq": number} if row["key"] == "acme/s3" and asked == 1 else row
        if asked == 2:
            raise RemoteUnavailableError("not now")

    hub.asked, hub.before_page = 0, fails_once
    report = await here.sync()
    assert (report.equal, report.set_aside, report.snapshot) == (True, 0, False)
    await same(here, hub)


@FALSE_NUMBERS
async def test_a_hub_that_says_a_false_number_holds_up_nothing_and_is_asked_until_it_is_right(
    hub: Hub, here: Here, number: int
) -> None:
    hub.limit = 10
    await fill(hub)
    hub.meddle = lambda row: (
        {**row, "seq": number} if (row["kind"], row["key"]) == ("version", "acme/s3@1.0.0") else row
    )
    for _ in range(2):
        report = await here.sync()
        assert (report.equal, report.set_aside) == (None, 1)
        assert len(await here.keys()) == 28
    await hub.write(skill("acme/s9", "Changed."))
    hub.meddle = lambda row: row
    report = await here.sync()
    assert (report.equal, report.set_aside, report.snapshot) == (True, 0, False)
    await same(here, hub)


async def test_behind_an_opaque_cursor_a_damaged_page_is_not_passed_before_it_came_twice(hub: Hub, here: Here) -> None:
    """Nothing behind such a cursor can be asked for later."""
    await fill(hub)
    hub.meddle = lambda row: {**row, "seq": 0} if row["key"] == "acme/s3" else row
    hub.meddle_cursor = lambda cursor: "!" + cursor[1:]

    def fails(asked: int) -> None:
        if asked == 2:
            raise RemoteUnavailableError("not now")

    hub.before_page = fails
    with pytest.raises(RemoteUnavailableError):
        await here.sync()
    assert await here.keys() == set()
    hub.meddle, hub.meddle_cursor = (lambda row: row), (lambda cursor: cursor)
    report = await here.sync()
    assert (report.equal, report.set_aside) == (True, 0)


async def test_a_cursor_that_was_damaged_on_the_way_costs_a_snapshot(hub: Hub, here: Here) -> None:
    """Nothing signs it, so nobody notices before it is shown to the hub."""
    await fill(hub)
    await here.sync()
    await hub.write(skill("acme/s4", "Changed."))
    hub.meddle_cursor = lambda cursor: "!" + cursor[1:]
    assert (await here.sync()).equal
    hub.meddle_cursor = lambda cursor: cursor
    await hub.write(skill("acme/s3", "Changed."))
    report = await here.sync()
    assert (report.equal, report.snapshot) == (True, True)
    await same(here, hub)


async def test_behind_a_row_that_is_broken_nothing_else_can_be_held_back(hub: Hub, here: Here) -> None:
    await fill(hub)
    await here.sync()
    await hub.write(skill("acme/s3", "Changed."), moderation("acme/s1@1.0.0", ModerationState.YANKED), skill("acme/s9"))
    await hub.write(moderation("acme/s1@1.0.0", ModerationState.REVOKED, 2), skill("acme/s4", "Changed."))

    def between(row: Row) -> Row | None:
        if row["key"] == "acme/s1@1.0.0":
            return None
        return {**row, "document": "{}"} if row["key"] == "acme/s3" else row

    hub.meddle = between
    with pytest.raises(RemoteAnswerError, match="do not account"):
        await here.sync()
    # What is good is taken all the same, and nobody has to look where it was the line.
    documents = {str(entry.id): entry.document or "" for entry in await here.entries()}
    assert "Changed" in documents["skill acme/s4"]
    hub.meddle = lambda row: row
    assert (await here.sync()).equal
    await same(here, hub)
