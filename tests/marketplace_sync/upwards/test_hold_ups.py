"""Nothing goes where it is not to go, and one item that breaks whatever it meets keeps no other from going."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from skillyard.database import DatabaseUnavailableError
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.conflicts.values import ConflictState, Strategy
from skillyard.marketplace_sync.errors import RemoteError, UploadBrokenError
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import PushItem, PushResult, PushStatus, RemoteState
from skillyard.marketplace_sync.upwards import store
from skillyard.marketplace_sync.upwards.values import UploadDraft, UploadKind, UploadState
from skillyard.times import utcnow
from tests.marketplace_sync.upwards.conftest import SKILL, Outpost, skill


async def waiting(outpost: Outpost, count: int) -> None:
    drafts = [UploadDraft(UploadKind.COUNTS, f"{SKILL}#{n}", '{"n":1}', "system") for n in range(count)]
    async with outpost.database.transaction() as session:
        await store.enqueue(session, outpost.remote, drafts, at=utcnow())


async def set_state(outpost: Outpost, state: RemoteState) -> None:
    async with outpost.database.transaction() as session:
        by = outpost.admin
        await remote_store.set_state(session, by.workspace, "hub", state, by=by, at=utcnow())


async def states(outpost: Outpost) -> list[UploadState]:
    return [one.state for one, _ in await outpost.uploads.list(outpost.admin.workspace, limit=1000)]


async def test_what_a_clock_that_was_ahead_put_off_or_claimed_does_not_wait_for_that_time(outpost: Outpost) -> None:
    ahead = utcnow() + timedelta(hours=1)
    drafts = [UploadDraft(UploadKind.COUNTS, f"{SKILL}#{n}", '{"n":1}', "system") for n in range(2)]
    async with outpost.database.transaction() as session:
        await store.enqueue(session, outpost.remote, drafts, at=ahead)
        hold = timedelta(minutes=2)
        assert await store.claim(session, outpost.remote.id, by="dead", now=ahead, hold=hold, limit=1)
    await outpost.send()
    assert await states(outpost) == [UploadState.SENT, UploadState.SENT]


async def test_a_remote_that_was_disabled_while_a_run_slept_gets_nothing(outpost: Outpost) -> None:
    await waiting(outpost, 3)
    await set_state(outpost, RemoteState.DISABLED)
    assert outpost.remote.state is RemoteState.ENABLED, "as the run knew it"
    with pytest.raises(RemoteError, match="disabled"):
        await outpost.send()
    assert outpost.client.batches == []


async def test_a_remote_that_is_disabled_during_a_run_gets_no_more(
    outpost: Outpost, monkeypatch: pytest.MonkeyPatch
) -> None:
    await waiting(outpost, 250)
    push = outpost.client.push

    async def push_and_disable(items: Sequence[PushItem]) -> tuple[PushResult, ...]:
        results = await push(items)
        await set_state(outpost, RemoteState.DISABLED)
        return results

    monkeypatch.setattr(outpost.client, "push", push_and_disable)
    with pytest.raises(RemoteError, match="disabled"):
        await outpost.send()
    found = await states(outpost)
    assert (found.count(UploadState.SENT), found.count(UploadState.WAITING)) == (200, 50)


async def test_what_breaks_in_a_way_that_nobody_thought_of_is_put_off_alone(outpost: Outpost) -> None:
    await waiting(outpost, 20)

    def breaks(items: Sequence[PushItem]) -> None:
        if any(item.key.endswith("#13") for item in items):
            raise FileExistsError("run/x")

    outpost.client.before = breaks
    with pytest.raises(UploadBrokenError):
        await outpost.send()
    found = [one for one, _ in await outpost.uploads.list(outpost.admin.workspace)]
    assert [one.key for one in found if one.state is not UploadState.SENT] == [f"{SKILL}#13"]
    (left,) = [one for one in found if one.state is not UploadState.SENT]
    assert "FileExistsError" in (left.error or "")
    async with outpost.database.transaction() as session:
        later = utcnow() + timedelta(seconds=2)
        hold = timedelta(minutes=1)
        claimed = await store.claim(session, outpost.remote.id, by="another", now=later, hold=hold, limit=10)
    assert len(claimed) == 1, "it is nobody's, and its time comes"


async def test_a_run_that_is_cut_off_gives_back_what_it_held(outpost: Outpost) -> None:
    """Or the slowest would come first in the next run as well."""
    await waiting(outpost, 3)

    def stand_still(_items: Sequence[PushItem]) -> None:
        raise asyncio.CancelledError

    outpost.client.before = stand_still
    with pytest.raises(asyncio.CancelledError):
        await outpost.send()
    async with outpost.database.transaction() as session:
        later, hold = utcnow() + timedelta(seconds=2), timedelta(minutes=1)
        claimed = await store.claim(session, outpost.remote.id, by="another", now=later, hold=hold, limit=10)
    assert len(claimed) == 3


async def test_a_database_that_is_locked_says_nothing_about_a_conflict(
    outpost: Outpost, monkeypatch: pytest.MonkeyPatch
) -> None:
    await outpost.uploads.edit("hub", SKILL, {"description": "Ours."}, by=outpost.admin)
    await outpost.write("Theirs.")

    async def locked(*_: object) -> None:
        raise DatabaseUnavailableError("it is locked")

    with monkeypatch.context() as patch:
        patch.setattr(outpost.conflicts.finding, "on_answer", locked)
        with pytest.raises(DatabaseUnavailableError):
            await outpost.send()
    assert await states(outpost) == [UploadState.WAITING]


@pytest.mark.parametrize("moves", [True, False])
async def test_answers_that_never_end_are_left_to_somebody_after_a_few(
    outpost: Outpost, monkeypatch: pytest.MonkeyPatch, moves: bool
) -> None:
    """A remote that says conflict to whatever is sent, with a new state each time, or the same."""
    await outpost.set_strategy(Strategy.LOCAL_WINS)
    made = await outpost.uploads.edit("hub", SKILL, {"license": "MIT"}, by=outpost.admin)
    await outpost.write("Theirs.")
    answers = 0

    def never(item: PushItem) -> PushResult:
        nonlocal answers
        answers += 1
        if moves:
            outpost.market._write(Change(EntryId(EntryKind.SKILL, SKILL), skill(f"Theirs, {answers}.")))
        current = outpost.market.entries[EntryId(EntryKind.SKILL, SKILL)]
        return PushResult(item.item, PushStatus.CONFLICT, current.rev, "revision_conflict", current=current)

    monkeypatch.setattr(outpost.market, "push", never)
    for _ in range(8):
        await outpost.send()
        async with outpost.database.transaction() as session:
            for one in await store.list_uploads(session, outpost.admin.workspace, state=UploadState.WAITING):
                assert one.counted_from == made.counted_from, "it grows no younger by itself"
                await store._set(session, one.id, {"next_at": utcnow() - timedelta(seconds=1)})
    assert answers <= 4
    assert await states(outpost) == [UploadState.CONFLICT]
    found = await outpost.conflicts.list(outpost.admin.workspace)
    assert [one.state for one in found].count(ConflictState.OPEN) == 1
