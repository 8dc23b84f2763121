"""No edit is lost without being written down, nothing is written down twice, and many are resolved or none."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from prometheus_client import generate_latest
from skillyard.errors import ConflictError, InputError, NotFoundError
from skillyard.governance import people
from skillyard.governance.audit import Action
from skillyard.governance.audit.listing import Filter, listed
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.catalogue.tables import EntryRow
from skillyard.marketplace_sync.conflicts.conflicts import ConflictRenewedError
from skillyard.marketplace_sync.conflicts.difference import ChangedBy, places
from skillyard.marketplace_sync.conflicts.finding import ConflictUndecidedError
from skillyard.marketplace_sync.conflicts.values import (
    Conflict,
    ConflictId,
    ConflictKind,
    ConflictState,
    Severity,
    Strategy,
)
from skillyard.marketplace_sync.upwards.values import Upload, UploadState
from sqlalchemy import update
from tests.marketplace_sync.upwards.conftest import SKILL, Outpost, skill


async def conflicts(outpost: Outpost) -> tuple[Conflict, ...]:
    return await outpost.conflicts.list(outpost.admin.workspace)


async def states(outpost: Outpost) -> list[UploadState]:
    return [one.state for one, _ in await outpost.uploads.list(outpost.admin.workspace)]


async def both_edit(outpost: Outpost, ours: str = "Ours.", theirs: str = "Theirs.") -> Upload:
    made = await outpost.uploads.edit("hub", SKILL, {"description": ours}, by=outpost.admin)
    await outpost.write(theirs, topics=["csv"], channels={"latest": "1.0.0"})
    return made


async def resolve(
    outpost: Outpost, *ids: int, strategy: Strategy | None = None, **more: object
) -> tuple[Conflict, ...]:
    wanted = [ConflictId(one) for one in ids]
    return await outpost.conflicts.resolve(
        wanted,
        by=outpost.admin,
        successors=outpost.uploads.collisions,
        strategy=strategy,
        **more,  # type: ignore[arg-type]
    )


def described(document: str | None) -> object:
    return orjson.loads(document or "{}").get("description")


@pytest.mark.parametrize("heard_by", ["feed", "answer"])
async def test_the_remote_wins_and_what_we_wanted_is_written_down(outpost: Outpost, heard_by: str) -> None:
    await both_edit(outpost)
    await (outpost.follow() if heard_by == "feed" else outpost.send())
    (found,) = await conflicts(outpost)
    assert (found.kind, found.severity, found.state) == (ConflictKind.METADATA, Severity.LOW, ConflictState.RESOLVED)
    assert [described(one) for one in (found.base, found.local, found.theirs, found.result)] == [
        "Reports from CSV.",
        "Ours.",
        "Theirs.",
        "Theirs.",
    ]
    assert (found.strategy, found.resolved_by) == (Strategy.REMOTE_WINS, "system")
    assert await states(outpost) == [UploadState.DROPPED]
    assert described(outpost.there()) == "Theirs."


@pytest.mark.parametrize("heard_by", ["feed", "answer"])
async def test_ours_wins_and_undoes_nothing_that_we_did_not_touch(outpost: Outpost, heard_by: str) -> None:
    await outpost.set_strategy(Strategy.LOCAL_WINS)
    await outpost.uploads.edit("hub", SKILL, {"description": "Ours."}, by=outpost.admin)
    await outpost.write("Theirs.", topics=["csv"], channels={"latest": "1.1.0"})
    await (outpost.follow() if heard_by == "feed" else outpost.send())
    await outpost.send()
    found = orjson.loads(outpost.there())
    assert (found["description"], found["channels"]) == ("Ours.", {"latest": "1.1.0"})
    assert await states(outpost) == [UploadState.SENT]
    assert [one.strategy for one in await conflicts(outpost)] == [Strategy.LOCAL_WINS]


async def test_merging_keeps_both_where_they_changed_different_things(outpost: Outpost) -> None:
    await outpost.set_strategy(Strategy.MERGE)
    await outpost.uploads.edit("hub", SKILL, {"topics": ["csv", "ours"]}, by=outpost.admin)
    await outpost.write("Theirs.", topics=["csv", "theirs"], channels={"latest": "1.0.0"})
    await outpost.follow()
    await outpost.send()
    found = orjson.loads(outpost.there())
    assert (found["description"], found["topics"]) == ("Theirs.", ["csv", "ours", "theirs"])


async def test_merging_the_same_field_waits_for_somebody(outpost: Outpost) -> None:
    await outpost.set_strategy(Strategy.MERGE)
    await both_edit(outpost)
    await outpost.follow()
    (found,) = await conflicts(outpost)
    assert found.state is ConflictState.OPEN
    assert await states(outpost) == [UploadState.CONFLICT]
    await outpost.send()
    assert described(outpost.there()) == "Theirs."


async def test_nothing_is_written_down_twice(outpost: Outpost) -> None:
    await outpost.set_strategy(Strategy.MANUAL)
    await both_edit(outpost)
    await outpost.follow()
    entries = tuple(outpost.market.entries.values())
    for _ in range(2):
        async with outpost.database.transaction() as session:
            await outpost.conflicts.on_entries(session, outpost.remote, (*entries, *entries))
        await outpost.send()
    assert len(await conflicts(outpost)) == 1
    figures = generate_latest(outpost.metrics.registry).decode()
    assert 'conflicts_detected_total{kind="metadata",remote="default/hub"} 1.0' in figures


async def test_what_is_rolled_back_is_not_counted(outpost: Outpost) -> None:
    await both_edit(outpost)
    entries = tuple(outpost.market.entries.values())
    with pytest.raises(RuntimeError):
        await _applied_and_rolled_back(outpost, entries)
    assert await conflicts(outpost) == ()
    assert "conflicts_detected_total{" not in generate_latest(outpost.metrics.registry).decode()


async def test_the_same_edit_on_both_sides_is_no_conflict(outpost: Outpost) -> None:
    await both_edit(outpost, "Alike.", "Alike.")
    await outpost.follow()
    assert await conflicts(outpost) == ()
    assert await states(outpost) == [UploadState.DROPPED]


async def test_what_may_have_arrived_is_left_to_the_remotes_answer(outpost: Outpost) -> None:
    """Our edit arrived, the answer was lost, and somebody there edited on: that is no conflict of ours."""

    def lose(_items: object) -> None:
        raise asyncio.CancelledError

    await outpost.uploads.edit("hub", SKILL, {"description": "Ours."}, by=outpost.admin)
    outpost.client.after = lose
    with pytest.raises(asyncio.CancelledError):
        await outpost.send()
    await outpost.write("Later, there.")
    await outpost.follow()
    assert await conflicts(outpost) == ()
    assert described(outpost.there()) == "Later, there."


@pytest.mark.parametrize(("strategy", "outcome"), [(Strategy.REMOTE_WINS, "Theirs."), (Strategy.LOCAL_WINS, "Ours.")])
async def test_a_person_decides(outpost: Outpost, strategy: Strategy, outcome: str) -> None:
    await outpost.set_strategy(Strategy.MANUAL)
    await both_edit(outpost)
    await outpost.follow()
    (resolved,) = await resolve(outpost, (await conflicts(outpost))[0].id, strategy=strategy)
    assert (resolved.state, resolved.strategy) == (ConflictState.RESOLVED, strategy)
    assert resolved.resolved_by == f"person {outpost.person.person.id}"
    await outpost.send()
    assert described(outpost.there()) == outcome
    with pytest.raises(ConflictError):
        await resolve(outpost, resolved.id, strategy=strategy)
    async with outpost.database.reading() as session:
        page = await listed(session, outpost.admin.workspace, Filter(action=Action.CONFLICT_RESOLVED), limit=5)
    assert len(page.entries) == 1


async def test_a_person_writes_what_it_is_to_be(outpost: Outpost) -> None:
    await outpost.set_strategy(Strategy.MANUAL)
    await both_edit(outpost)
    await outpost.follow()
    (found,) = await conflicts(outpost)
    with pytest.raises(InputError):
        await resolve(outpost, found.id, document={"description": ""})
    await resolve(outpost, found.id, document=orjson.loads(skill("Both.", topics=["csv"])))
    await outpost.send()
    assert described(outpost.there()) == "Both."


async def test_many_are_resolved_or_none(outpost: Outpost) -> None:
    await outpost.set_strategy(Strategy.MANUAL)
    other = EntryId(EntryKind.SKILL, "acme/other")
    await outpost.market.write(Change(other, skill("Other.")))
    await outpost.follow()
    await both_edit(outpost)
    await outpost.uploads.edit("hub", other.key, {"license": "MIT"}, by=outpost.admin)
    await outpost.market.write(Change(other, skill("Other, edited there.")))
    await outpost.follow()
    ids = [one.id for one in await conflicts(outpost)]
    assert len(ids) == 2
    with pytest.raises(ConflictUndecidedError):
        await resolve(outpost, *ids, strategy=Strategy.MERGE)
    assert await states(outpost) == [UploadState.CONFLICT, UploadState.CONFLICT]
    with pytest.raises(NotFoundError):
        await resolve(outpost, *ids, 10_000, strategy=Strategy.LOCAL_WINS)
    assert {one.state for one in await conflicts(outpost)} == {ConflictState.OPEN}
    await resolve(outpost, *ids, strategy=Strategy.LOCAL_WINS)
    await outpost.send()
    assert described(outpost.there()) == "Ours."
    assert described(outpost.market.entries[other].document) == "Other, edited there."
    assert orjson.loads(str(outpost.market.entries[other].document))["license"] == "MIT"


async def test_a_remote_that_moved_on_meanwhile_is_looked_at_again(outpost: Outpost) -> None:
    await outpost.set_strategy(Strategy.MANUAL)
    await both_edit(outpost)
    await outpost.follow()
    (before,) = await conflicts(outpost)
    await outpost.write("Theirs, again.")
    await outpost.follow()
    (now,) = await conflicts(outpost)
    assert (now.id, now.state, described(now.theirs)) == (before.id, ConflictState.OPEN, "Theirs, again.")
    assert now.remote_rev > before.remote_rev


async def test_deciding_on_what_is_not_so_any_more_decides_nothing(
    outpost: Outpost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mirror moved on without the conflict being told: deciding finds out."""
    await outpost.set_strategy(Strategy.MANUAL)
    await both_edit(outpost)
    await outpost.follow()
    (found,) = await conflicts(outpost)
    await outpost.write("Theirs, again.")
    with monkeypatch.context() as patch:
        patch.setattr(outpost.conflicts, "on_entries", _nothing)
        await outpost.follow()
    with pytest.raises(ConflictRenewedError):
        await resolve(outpost, found.id, strategy=Strategy.LOCAL_WINS)
    (renewed,) = await conflicts(outpost)
    assert (renewed.state, described(renewed.theirs)) == (ConflictState.OPEN, "Theirs, again.")
    assert await states(outpost) == [UploadState.CONFLICT]
    await resolve(outpost, found.id, strategy=Strategy.LOCAL_WINS)
    await outpost.send()
    assert described(outpost.there()) == "Ours."


async def test_what_is_decided_does_not_overwrite_what_nobody_saw(
    outpost: Outpost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remote moved on to something that the filters leave out of the mirror: that is another conflict."""
    await outpost.set_strategy(Strategy.MANUAL)
    await both_edit(outpost)
    await outpost.follow()
    (found,) = await conflicts(outpost)
    await outpost.write("Theirs.", topics=["csv", "new"], channels={"latest": "1.0.0"})
    with monkeypatch.context() as patch:
        patch.setattr(outpost.conflicts, "on_entries", _nothing)
        await outpost.follow()
    async with outpost.database.transaction() as session:
        await session.execute(update(EntryRow).where(EntryRow.key == SKILL).values(document=None))
    await resolve(outpost, found.id, strategy=Strategy.LOCAL_WINS)
    await outpost.send()
    assert orjson.loads(outpost.there())["topics"] == ["csv", "new"]
    assert [one.state for one in await conflicts(outpost)] == [ConflictState.RESOLVED, ConflictState.OPEN]


async def test_two_who_decide_at_once_decide_once(outpost: Outpost) -> None:
    await outpost.set_strategy(Strategy.MANUAL)
    await both_edit(outpost)
    await outpost.follow()
    (found,) = await conflicts(outpost)
    answers = await asyncio.gather(
        *(resolve(outpost, found.id, strategy=one) for one in (Strategy.LOCAL_WINS, Strategy.REMOTE_WINS)),
        return_exceptions=True,
    )
    assert sorted(isinstance(one, ConflictError) for one in answers) == [False, True]


async def test_another_workspace_sees_and_resolves_nothing(outpost: Outpost) -> None:
    await outpost.set_strategy(Strategy.MANUAL)
    await both_edit(outpost)
    await outpost.follow()
    (found,) = await conflicts(outpost)
    async with outpost.database.transaction() as session:
        other = await people.create_workspace(session, "elsewhere", by=outpost.admin.actor, at=found.detected_at)
    assert await outpost.conflicts.list(other.id) == ()
    with pytest.raises(NotFoundError):
        await outpost.conflicts.get(other.id, found.id)


def test_a_difference_reads_place_by_place() -> None:
    base = skill("was", topics=["csv"], channels={"latest": "1.0.0"})
    local = skill("ours", topics=["csv"], channels={"latest": "1.0.0"}, license="MIT")
    remote = skill("theirs", topics=["csv"], channels={"latest": "1.1.0"})
    found = {one.name: (one.base, one.local, one.remote, one.changed_by) for one in places(base, local, remote)}
    assert found == {
        "channels.latest": ("1.0.0", "1.0.0", "1.1.0", ChangedBy.REMOTE),
        "description": ("was", "ours", "theirs", ChangedBy.BOTH),
        "license": (None, "MIT", None, ChangedBy.LOCAL),
    }


async def _applied_and_rolled_back(outpost: Outpost, entries: tuple[Entry, ...]) -> None:
    async with outpost.database.transaction() as session:
        assert await outpost.conflicts.on_entries(session, outpost.remote, entries) == 1
        raise RuntimeError


async def _nothing(*_: object) -> int:
    return 0
