"""What is said here arrives there once, in the order it was said, whatever fails on the way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import orjson
import pytest
from skillyard.errors import ConflictError, InputError, NotFoundError
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryKind
from skillyard.marketplace_sync.catalogue.stamp import parse_stamp
from skillyard.marketplace_sync.errors import DocumentError, RemoteAnswerError, RemoteUnavailableError
from skillyard.marketplace_sync.remotes.remote import PushItem, PushResult, PushStatus
from skillyard.marketplace_sync.upwards import store
from skillyard.marketplace_sync.upwards.backoff import LONGEST, full_jitter
from skillyard.marketplace_sync.upwards.values import Upload, UploadDraft, UploadKind, UploadState
from skillyard.times import utcnow
from tests.marketplace_sync.upwards.conftest import SKILL, Outpost


def ratings(outpost: Outpost) -> list[Entry]:
    return [one for one in outpost.market.entries.values() if one.id.kind is EntryKind.RATING]


async def uploads(outpost: Outpost, **filters: object) -> tuple[Upload, ...]:
    return tuple(one for one, _ in await outpost.uploads.list(outpost.admin.workspace, **filters))  # type: ignore[arg-type]


async def due_now(outpost: Outpost) -> None:
    """Time passes: whatever was put off is due."""
    async with outpost.database.transaction() as session:
        for one in await store.list_uploads(session, outpost.admin.workspace, state=UploadState.WAITING):
            await store._set(session, one.id, {"next_at": utcnow() - timedelta(seconds=1)})


async def answers_lost(outpost: Outpost) -> None:
    """The remote takes what is sent, and nobody hears of it."""

    def lose(_items: Sequence[PushItem]) -> None:
        raise RemoteUnavailableError("the connection was cut")

    outpost.client.after = lose
    with pytest.raises(RemoteUnavailableError):
        await outpost.send()
    outpost.client.after = None


async def test_a_rating_arrives_under_no_name(outpost: Outpost) -> None:
    await outpost.uploads.rate("hub", SKILL, stars=4, review="Useful.", by=outpost.person)
    await outpost.send()
    (rating,) = ratings(outpost)
    document = orjson.loads(str(rating.document))
    assert (document["stars"], document["review"], document.get("author", "")) == (4, "Useful.", "")
    assert outpost.person.person.name not in rating.id.key


async def test_of_what_was_said_twice_before_it_went_only_the_last_goes(outpost: Outpost) -> None:
    for stars in (1, 2, 5):
        await outpost.uploads.rate("hub", SKILL, stars=stars, by=outpost.person)
    await outpost.send()
    states = [one.state for one in await uploads(outpost)]
    assert states == [UploadState.DROPPED, UploadState.DROPPED, UploadState.SENT]
    assert [len(batch) for batch in outpost.client.batches] == [1]
    assert orjson.loads(str(ratings(outpost)[0].document))["stars"] == 5


async def test_what_is_on_its_way_is_not_replaced_and_arrives_first(outpost: Outpost) -> None:
    await outpost.uploads.rate("hub", SKILL, stars=1, by=outpost.person)
    async with outpost.database.transaction() as session:
        claimed = await store.claim(
            session, outpost.remote.id, by="another", now=utcnow(), hold=timedelta(minutes=1), limit=10
        )
    await outpost.uploads.rate("hub", SKILL, stars=5, by=outpost.person)
    await outpost.send()
    assert ratings(outpost) == []
    async with outpost.database.transaction() as session:
        await store.renew(session, [claimed[0].id], by="another", until=utcnow() - timedelta(seconds=1))
    await outpost.send()
    assert [orjson.loads(str(one.document))["stars"] for one in ratings(outpost)] == [5]
    assert [one.state for one in await uploads(outpost)] == [UploadState.SENT, UploadState.SENT]


async def test_stamps_grow_also_when_the_clock_does_not(outpost: Outpost) -> None:
    stamps = []
    for stars in (1, 2, 3):
        made = await outpost.uploads.rate("hub", SKILL, stars=stars, by=outpost.person)
        stamps.append(parse_stamp(orjson.loads(str(made.document))["stamp"]))
    assert stamps == sorted(set(stamps))


async def test_a_rating_is_later_than_what_a_waiting_take_back_is_about_though_the_clock_was_put_back(
    outpost: Outpost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The take-back makes room for it and never goes, so the remote compares it with what was sent before."""
    sent = await outpost.uploads.rate("hub", SKILL, stars=1, by=outpost.person)
    await outpost.send()
    await outpost.uploads.unrate("hub", SKILL, by=outpost.person)
    monkeypatch.setattr("skillyard.marketplace_sync.upwards.words.utcnow", lambda: utcnow() - timedelta(hours=1))
    anew = await outpost.uploads.rate("hub", SKILL, stars=5, by=outpost.person)
    first, second = (parse_stamp(orjson.loads(str(one.document))["stamp"]) for one in (sent, anew))
    assert second > first


async def test_a_rating_taken_back_is_gone_there_too(outpost: Outpost) -> None:
    await outpost.uploads.rate("hub", SKILL, stars=4, by=outpost.person)
    await outpost.send()
    await outpost.uploads.unrate("hub", SKILL, by=outpost.person)
    await outpost.send()
    assert [one.deleted for one in ratings(outpost)] == [True]
    (said,) = await outpost.uploads.ratings(outpost.admin.workspace, "hub")
    assert said.stars is None
    with pytest.raises(NotFoundError):
        await outpost.uploads.unrate("hub", SKILL, by=outpost.person)


@pytest.mark.parametrize("stars", [0, 6])
async def test_stars_that_are_none_are_refused(outpost: Outpost, stars: int) -> None:
    with pytest.raises(DocumentError):
        await outpost.uploads.rate("hub", SKILL, stars=stars, by=outpost.person)
    assert await uploads(outpost) == ()


async def test_nothing_is_said_of_what_the_remote_does_not_have(outpost: Outpost) -> None:
    with pytest.raises(NotFoundError):
        await outpost.uploads.rate("hub", "acme/other", stars=3, by=outpost.person)


async def test_an_answer_that_was_lost_doubles_nothing(outpost: Outpost) -> None:
    await outpost.uploads.rate("hub", SKILL, stars=4, by=outpost.person)
    await answers_lost(outpost)
    await due_now(outpost)
    report = await outpost.uploads.send(outpost.remote)
    assert (report.sent, report.duplicates) == (1, 1)
    assert outpost.client.batches[0] == outpost.client.batches[1]
    assert [one.rev for one in ratings(outpost)] == [1]


async def test_a_remote_that_asks_for_time_is_given_it(outpost: Outpost) -> None:
    def busy(_items: Sequence[PushItem]) -> None:
        raise RemoteUnavailableError("429", retry_after=120)

    await outpost.uploads.rate("hub", SKILL, stars=4, by=outpost.person)
    outpost.client.before = busy
    with pytest.raises(RemoteUnavailableError):
        await outpost.send()
    (waiting,) = await uploads(outpost)
    assert waiting.state is UploadState.WAITING
    assert waiting.next_at >= utcnow() + timedelta(seconds=110)
    await outpost.send()
    assert len(outpost.client.batches) == 1


async def test_what_did_not_go_for_too_long_waits_for_an_operator(outpost: Outpost) -> None:
    def down(_items: Sequence[PushItem]) -> None:
        raise RemoteUnavailableError("down")

    made = await outpost.uploads.rate("hub", SKILL, stars=4, by=outpost.person)
    async with outpost.database.transaction() as session:
        await store._set(session, made.id, {"counted_from": utcnow() - timedelta(days=4)})
    outpost.client.before = down
    with pytest.raises(RemoteUnavailableError):
        await outpost.send()
    assert [(one.state, one.error) for one in await uploads(outpost)] == [(UploadState.DEAD, "down")]
    outpost.client.before = None
    await outpost.uploads.retry(made.id, by=outpost.admin)
    await outpost.send()
    assert len(ratings(outpost)) == 1
    with pytest.raises(ConflictError):
        await outpost.uploads.retry(made.id, by=outpost.admin)


async def test_one_that_the_remote_stumbles_over_holds_up_no_other(outpost: Outpost) -> None:
    drafts = [UploadDraft(UploadKind.COUNTS, f"{SKILL}#{n}", '{"n":1}', "system") for n in range(20)]
    async with outpost.database.transaction() as session:
        await store.enqueue(session, outpost.remote, drafts, at=utcnow())

    def stumble(items: Sequence[PushItem]) -> None:
        if any(item.key.endswith("#13") for item in items):
            raise RemoteAnswerError("500 of some kind")

    outpost.client.before = stumble
    with pytest.raises(RemoteAnswerError):
        await outpost.send()
    states = [one.state for one in await uploads(outpost)]
    assert states.count(UploadState.SENT) == 19
    assert states[13] is UploadState.WAITING


async def test_what_the_remote_refuses_for_good_is_dead_with_its_reason(
    outpost: Outpost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(item: PushItem) -> PushResult:
        return PushResult(item.item, PushStatus.REFUSED, code="not_allowed", detail="no such namespace")

    monkeypatch.setattr(outpost.market, "push", refuse)
    await outpost.uploads.rate("hub", SKILL, stars=4, by=outpost.person)
    report = await outpost.uploads.send(outpost.remote)
    assert report.dead == 1
    assert [one.error for one in await uploads(outpost)] == ["not_allowed: no such namespace"]
    assert await outpost.uploads.retry_all(by=outpost.admin) == ((await uploads(outpost))[0].id,)


async def test_batches_have_two_hundred_at_most(outpost: Outpost) -> None:
    drafts = [UploadDraft(UploadKind.COUNTS, f"{SKILL}#{n}", '{"n":1}', "system") for n in range(450)]
    async with outpost.database.transaction() as session:
        await store.enqueue(session, outpost.remote, drafts, at=utcnow())
    report = await outpost.uploads.send(outpost.remote)
    assert [len(batch) for batch in outpost.client.batches] == [200, 200, 50]
    assert (report.sent, report.waiting) == (450, 0)


async def test_an_edit_of_an_edit_goes_on_from_what_arrived(outpost: Outpost) -> None:
    await outpost.uploads.edit("hub", SKILL, {"description": "First."}, by=outpost.admin)
    async with outpost.database.transaction() as session:
        await store.claim(session, outpost.remote.id, by="here", now=utcnow(), hold=timedelta(seconds=-1), limit=10)
    await outpost.uploads.edit("hub", SKILL, {"license": "MIT"}, by=outpost.admin)
    await outpost.send()
    await outpost.send()
    found = orjson.loads(outpost.there())
    assert (found["description"], found["license"]) == ("First.", "MIT")
    assert await outpost.conflicts.list(outpost.admin.workspace) == ()


async def test_an_edit_of_one_whose_answer_was_lost_is_no_conflict_with_ourselves(outpost: Outpost) -> None:
    """The remote has the first, the feed says so before anybody answers, and the second was made meanwhile."""
    await outpost.uploads.edit("hub", SKILL, {"description": "First."}, by=outpost.admin)
    await answers_lost(outpost)
    await outpost.uploads.edit("hub", SKILL, {"license": "MIT"}, by=outpost.admin)
    await outpost.follow()
    await due_now(outpost)
    await outpost.send()
    found = orjson.loads(outpost.there())
    assert (found["description"], found["license"]) == ("First.", "MIT")
    assert await outpost.conflicts.list(outpost.admin.workspace) == ()


async def test_what_may_be_there_already_can_be_taken_back(outpost: Outpost) -> None:
    await outpost.uploads.edit("hub", SKILL, {"description": "A slip."}, by=outpost.admin)
    await answers_lost(outpost)
    await outpost.uploads.edit("hub", SKILL, {"description": "Reports from CSV."}, by=outpost.admin)
    await due_now(outpost)
    await outpost.send()
    await outpost.send()
    assert orjson.loads(outpost.there())["description"] == "Reports from CSV."


@pytest.mark.parametrize("heard_by", ["feed", "answer"])
async def test_an_edit_made_before_the_mirror_knows_the_last_one_goes_on_from_it(
    outpost: Outpost, heard_by: str
) -> None:
    await outpost.uploads.edit("hub", SKILL, {"description": "First."}, by=outpost.admin)
    await outpost.send()
    await outpost.uploads.edit("hub", SKILL, {"license": "MIT"}, by=outpost.admin)
    if heard_by == "feed":
        await outpost.follow()
    await outpost.send()
    found = orjson.loads(outpost.there())
    assert (found["description"], found["license"]) == ("First.", "MIT")
    assert await outpost.conflicts.list(outpost.admin.workspace) == ()


async def test_two_edits_that_wait_become_one(outpost: Outpost) -> None:
    await outpost.uploads.edit("hub", SKILL, {"description": "New."}, by=outpost.admin)
    await outpost.uploads.edit("hub", SKILL, {"topics": ["csv", "reports"], "license": "MIT"}, by=outpost.admin)
    await outpost.send()
    found = orjson.loads(outpost.there())
    assert (found["description"], found["topics"], found["license"]) == ("New.", ["csv", "reports"], "MIT")
    assert found["channels"] == {"latest": "1.0.0"}


@pytest.mark.parametrize(
    "fields",
    [{"body": "x"}, {"description": ""}, {"topics": ["NO!"]}, {"description": "Reports from CSV."}, {"channels": "x"}],
)
async def test_an_edit_that_is_none_is_refused(outpost: Outpost, fields: dict[str, object]) -> None:
    with pytest.raises(InputError):
        await outpost.uploads.edit("hub", SKILL, fields, by=outpost.admin)
    assert await uploads(outpost) == ()


async def test_what_ended_long_ago_is_forgotten_but_for_what_somebody_said_last(outpost: Outpost) -> None:
    for stars in (1, 2):
        await outpost.uploads.rate("hub", SKILL, stars=stars, by=outpost.person)
    await outpost.send()
    async with outpost.database.transaction() as session:
        assert await store.forget(session, ended_before=utcnow() + timedelta(days=1)) == 1
    (said,) = await outpost.uploads.ratings(outpost.admin.workspace, "hub")
    assert said.stars == 2


def test_waits_grow_and_end() -> None:
    waits = [full_jitter(attempts, chance=1.0) for attempts in range(1, 40)]
    assert waits == sorted(waits)
    assert waits[0] == timedelta(seconds=1)
    assert waits[-1] == LONGEST
    assert full_jitter(9, chance=0.0) == timedelta(0)
    assert full_jitter(1, chance=0.5, retry_after=30) >= timedelta(seconds=30)
    assert full_jitter(1, chance=1.0, retry_after=1e12) <= LONGEST + timedelta(seconds=1)
