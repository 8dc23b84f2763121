"""Edits, ratings and counts as they are pushed: each by itself, each once, and nobody for somebody else."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from skillyard.errors import ConflictError, NotFoundError
from skillyard.governance.administrators import Administrator
from skillyard.governance.errors import OperatorRoleError
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import CategoryDocument
from skillyard.marketplace_sync.catalogue.entry import EntryKind
from skillyard.marketplace_sync.catalogue.stamp import AHEAD_MS, Stamp, parse_stamp
from skillyard.marketplace_sync.errors import DocumentError, RemovedError
from skillyard.marketplace_sync.hub.values import InstanceScope, Sender
from skillyard.marketplace_sync.remotes.remote import PushItem, PushStatus
from skillyard.times import utcnow
from tests.marketplace_sync.hub.conftest import HubYard, item, skill_files

SKILL = "acme/csv-report"
STATUS = PushStatus


def rating(origin: str, rater: str, stars: int, *, ms: int | None = None, count: int = 0) -> PushItem:
    stamp = Stamp(int(time.time() * 1000) if ms is None else ms, count, origin)
    said = {"stars": stars, "review": f"{stars} of 5", "author": rater, "stamp": str(stamp), "at": utcnow()}
    return item(EntryKind.RATING, f"{SKILL}#{origin}/{rater}", said)


async def test_two_edits_from_one_revision_are_a_conflict_and_the_second_sees_the_first(yard: HubYard) -> None:
    await yard.publish(skill_files())
    base = await yard.document(EntryKind.SKILL, SKILL)
    ours, theirs = ({**base, "description": text} for text in ("Ours.", "Theirs."))
    answers = await yard.push(
        item(EntryKind.SKILL, SKILL, ours, base_rev=1), item(EntryKind.SKILL, SKILL, theirs, base_rev=1, name="late")
    )
    assert [one.result.status for one in answers] == [STATUS.APPLIED, STATUS.CONFLICT]
    current = answers[1].result.current
    assert current is not None
    assert (current.rev, "Ours." in str(current.document)) == (2, True)
    # A conflict is no answer for good: made anew from what is there, the same item is taken.
    (again,) = await yard.push(item(EntryKind.SKILL, SKILL, theirs, base_rev=2, name="late"))
    assert (again.result.status, again.result.rev) == (STATUS.APPLIED, 3)


async def test_an_edit_names_only_what_there_is(yard: HubYard) -> None:
    by = Administrator.of(yard.operator)
    await yard.publish(skill_files())
    base = await yard.document(EntryKind.SKILL, SKILL)
    wrong: list[dict[str, object]] = [
        {"categories": ["data"]},
        {"channels": {"latest": "9.9.9"}},
        {"channels": {}},
        {"body": "Another text."},
        {"deprecated": {"reason": "old", "successor": SKILL}},
        {"description": ""},
        {"topics": ["Not A Topic"]},
    ]
    answers = await yard.push(*(item(EntryKind.SKILL, SKILL, base | edit, base_rev=1) for edit in wrong))
    assert {one.result.code for one in answers} == {"marketplace_document"}
    without_base = item(EntryKind.SKILL, SKILL, base)
    assert "base_rev" in str((await yard.push(without_base))[0].result.detail)
    await yard.hub.categories.put("data", CategoryDocument(title="Data"), by=by)
    full = {"latest": "1.0.0"} | {f"c{n}": "1.0.0" for n in range(19)}
    good = base | {"categories": ["data"], "topics": ["csv"], "unknown": 7, "channels": full}
    assert (await yard.push(item(EntryKind.SKILL, SKILL, good, base_rev=1)))[0].result.status is STATUS.APPLIED
    with pytest.raises(ConflictError, match=SKILL):
        await yard.hub.categories.remove("data", by=by)
    with pytest.raises(DocumentError, match="channels"):
        await yard.hub.set_channel(yard.sender, SKILL, "one-more", "1.0.0")
    (strange,) = await yard.push(item(EntryKind.SKILL, SKILL, base, base_rev=2), sender=Sender(yard.other))
    assert strange.result.code == "not_allowed"


async def test_the_latest_stamp_of_a_rating_wins_in_whatever_order_they_come(yard: HubYard) -> None:
    await yard.publish(skill_files())
    mirror = await yard.instance(InstanceScope.RATE, of=yard.other)
    now = int(time.time() * 1000)
    late, early = rating("mirror-1", "ann", 5, ms=now, count=1), rating("mirror-1", "ann", 1, ms=now)
    answers = await yard.push(late, early, rating("mirror-1", "bob", 3), sender=mirror)
    assert [one.result.status for one in answers] == [STATUS.APPLIED, STATUS.DUPLICATE, STATUS.APPLIED]
    assert (await yard.document(EntryKind.RATING, f"{SKILL}#mirror-1/ann"))["stars"] == 5
    # A stamp of a clock that runs ahead does not win for ever.
    (ahead,) = await yard.push(rating("mirror-1", "ann", 2, ms=now + 10 * AHEAD_MS), sender=mirror)
    assert ahead.result.status is STATUS.APPLIED
    kept = parse_stamp(str((await yard.document(EntryKind.RATING, f"{SKILL}#mirror-1/ann"))["stamp"]))
    assert kept.ms <= int(time.time() * 1000) + AHEAD_MS
    assert yard.metrics.registry.get_sample_value("clock_skew_clamped_total", {"remote": "hub"}) == 1
    (back,) = await yard.push(item(EntryKind.RATING, f"{SKILL}#mirror-1/bob", None), sender=mirror)
    assert back.result.status is STATUS.APPLIED
    gone = await yard.entry(EntryKind.RATING, f"{SKILL}#mirror-1/bob")
    assert gone is not None
    assert gone.deleted


async def test_a_later_word_counts_also_where_clocks_are_set_back(
    yard: HubYard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rater's clock is an hour ahead, and so is the hub's, which is set right between two words."""
    published = await yard.publish(skill_files())
    assert published.result.status is STATUS.APPLIED, published
    mirror = await yard.instance(InstanceScope.RATE, of=yard.other)
    ahead = int(time.time() * 1000) + 12 * AHEAD_MS
    with monkeypatch.context() as patch:
        patch.setattr("skillyard.marketplace_sync.hub.ratings.utcnow", lambda: utcnow() + timedelta(hours=1))
        await yard.push(rating("mirror-1", "ann", 1, ms=ahead), sender=mirror)
    (second,) = await yard.push(rating("mirror-1", "ann", 2, ms=ahead, count=1), sender=mirror)
    assert second.result.status is STATUS.APPLIED
    (third,) = await yard.push(rating("mirror-1", "ann", 3, ms=ahead, count=2), sender=mirror)
    assert third.result.status is STATUS.APPLIED
    (again,) = await yard.push(rating("mirror-1", "ann", 1, ms=ahead), sender=mirror)
    assert again.result.status is STATUS.DUPLICATE
    assert (await yard.document(EntryKind.RATING, f"{SKILL}#mirror-1/ann"))["stars"] == 3


async def test_nobody_rates_or_counts_in_the_name_of_others(yard: HubYard) -> None:
    await yard.publish(skill_files())
    async with yard.runtime.database.reading() as session:
        hub = (await store.find(session, yard.hub.catalogue)).feed_id
    mirror = await yard.instance(InstanceScope.RATE, of=yard.other)
    publisher = await yard.instance(InstanceScope.PUBLISH)
    assert (await yard.push(rating("mirror-1", "ann", 5), sender=mirror))[0].result.status is STATUS.APPLIED
    second = await yard.instance(InstanceScope.RATE)
    refused = [
        *await yard.push(rating("mirror-2", "ann", 1), rating(hub, "person-1", 1), sender=mirror),
        *await yard.push(rating("mirror-1", "eve", 1), sender=second),
        *await yard.push(rating("mirror-3", "eve", 1), sender=publisher),
        *await yard.push(rating(hub, "person-1", 1), rating("mirror-1", "ann", 1)),
    ]
    assert {one.result.code for one in refused} == {"not_allowed"}
    other = rating("mirror-1", "ann", 1)
    forged = PushItem("forged", other.kind, other.key, None, str(other.document).replace("-mirror-1", "-mirror-2"))
    assert (await yard.push(forged, sender=mirror))[0].result.code == "marketplace_document"
    nothing = item(EntryKind.RATING, "acme/nothing#mirror-1/ann", {"stars": 9})
    assert (await yard.push(nothing, sender=mirror))[0].result.status is STATUS.REFUSED


async def test_counts_only_grow(yard: HubYard) -> None:
    await yard.publish(skill_files())
    mirror = await yard.instance(InstanceScope.RATE)
    key = f"{SKILL}#mirror-1"

    def counts(installs: int, calls: int) -> PushItem:
        return item(EntryKind.COUNTS, key, {"installs": installs, "calls": calls, "at": utcnow()})

    answers = await yard.push(counts(3, 40), counts(2, 39), counts(1, 50), sender=mirror)
    assert [one.result.status for one in answers] == [STATUS.APPLIED, STATUS.DUPLICATE, STATUS.APPLIED]
    found = await yard.document(EntryKind.COUNTS, key)
    assert (found["installs"], found["calls"]) == (3, 50)


async def test_a_person_has_one_rating_of_a_skill_and_may_take_it_back(yard: HubYard) -> None:
    await yard.publish(skill_files())
    first = await yard.hub.rate(yard.member, SKILL, 2, "so so")
    second = await yard.hub.rate(yard.member, SKILL, 5, "now it is good")
    assert (first.id, second.rev) == (second.id, 2)
    await yard.hub.rate(yard.other, SKILL, 1, "rude words")
    key = second.id.key.replace(f"person-{yard.member.person.id}", f"person-{yard.other.person.id}")
    by = Administrator.of(yard.operator)
    await yard.hub.strike(key, "rude", by=by)
    await yard.hub.take_back(yard.member, SKILL)
    for gone in (await yard.entry(EntryKind.RATING, key), await yard.entry(EntryKind.RATING, second.id.key)):
        assert gone is not None
        assert gone.deleted
    # What a moderator took away does not come back under another name or number, until that is lifted.
    with pytest.raises(RemovedError):
        await yard.hub.rate(yard.other, SKILL, 1, "rude words")
    with pytest.raises(OperatorRoleError):
        await yard.hub.lift(key, "please", by=Administrator.of(yard.other))
    await yard.hub.lift(key, "said sorry", by=by)
    with pytest.raises(NotFoundError):
        await yard.hub.lift(key, "said sorry", by=by)
    assert (await yard.hub.rate(yard.other, SKILL, 3, "kind words")).rev == 3
    mirror = await yard.instance(InstanceScope.RATE)
    await yard.push(rating("mirror-1", "ann", 1), sender=mirror)
    await yard.hub.strike(f"{SKILL}#mirror-1/ann", "rude", by=by)
    (again, bob) = await yard.push(rating("mirror-1", "ann", 1), rating("mirror-1", "bob", 1), sender=mirror)
    assert (again.result.code, bob.result.status) == ("moderated", STATUS.APPLIED)


async def test_a_refused_item_keeps_nobody_from_being_taken(yard: HubYard) -> None:
    await yard.publish(skill_files())
    mirror = await yard.instance(InstanceScope.RATE)
    items = [rating("mirror-1", f"rater-{n}", 1 + n % 5) for n in range(60)]
    items[30] = PushItem("broken", EntryKind.RATING, f"{SKILL}#mirror-1/rater-30", None, "{not json")
    items[31] = item(EntryKind.PUBLISHER, "acme", {"display_name": "Us"})
    items[32] = item(EntryKind.COUNTS, f"{SKILL}#mirror-1", {"installs": 2**53 + 1, "calls": 1, "at": utcnow()})
    items[33] = item(EntryKind.RATING, f"{SKILL}#mirror-1/rater-33", {"stars": 5, "stamp": "no", "at": utcnow()})
    # A token is of the instance whose ratings are taken; what is refused says nothing about that.
    (refused,) = await yard.push(rating("mirror-0", "rater-1", 9), sender=mirror)
    assert refused.result.status is STATUS.REFUSED
    answers = await yard.push(*items, sender=mirror)
    assert [n for n, one in enumerate(answers) if one.result.status is not STATUS.APPLIED] == [30, 31, 32, 33]
    assert answers[32].result.code == "marketplace_document"
    repeated = await yard.push(*items, sender=mirror)
    assert {one.result.status for n, one in enumerate(repeated) if n not in range(30, 34)} == {STATUS.DUPLICATE}
    with pytest.raises(Exception, match="occurs twice"):
        await yard.push(items[0], items[0], sender=mirror)
