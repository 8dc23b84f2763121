"""Many at once on one hub, served by two processes: one wins, the others are told, and nothing is half there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from skillyard.governance.administrators import Administrator
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import ModerationState
from skillyard.marketplace_sync.catalogue.entry import EntryKind
from skillyard.marketplace_sync.errors import TokenEndedError
from skillyard.marketplace_sync.hub.hub import Hub
from skillyard.marketplace_sync.hub.push import Answered
from skillyard.marketplace_sync.hub.values import InstanceScope
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.remotes.remote import PushItem, PushStatus
from skillyard.marketplace_sync.search.index import SearchIndex
from skillyard.runtime.runtime import create_runtime
from tests.marketplace_sync.hub.conftest import HubYard, item, skill_files, version_item
from tests.marketplace_sync.hub.test_push import rating

SKILL = "acme/csv-report"
KEY = f"{SKILL}@1.0.0"


def statuses(answers: Sequence[tuple[Answered, ...]]) -> list[PushStatus]:
    return sorted(one.result.status for of_push in answers for one in of_push)


async def test_eight_writers_lose_nothing_and_overwrite_nothing(yard: HubYard) -> None:
    async with await create_runtime(yard.runtime.settings) as other:
        second = Hub(runtime=other, search=SearchIndex(other.database), metrics=SyncMetrics())
        await second.begin()
        assert second.catalogue == yard.hub.catalogue

        async def at_once(*items: PushItem) -> list[tuple[Answered, ...]]:
            hubs: Iterator[Hub] = iter((yard.hub, second) * len(items))
            return await asyncio.gather(*(next(hubs).push(yard.sender, [one]) for one in items))

        contents = [skill_files(text=f"Text {n}.") for n in range(4)]
        for files in contents:
            await yard.send(files)
        # One number, four contents: whoever comes first has it for good.
        answers = await at_once(*(version_item(KEY, files) for files in contents))
        assert statuses(answers) == [PushStatus.APPLIED, *3 * [PushStatus.REFUSED]]
        codes = {one.result.code for (one,) in answers if one.result.status is PushStatus.REFUSED}
        assert codes == {"version_reserved"}

        # Eight edits from one revision: one is taken, seven see it.
        base = await yard.document(EntryKind.SKILL, SKILL)
        edits = [item(EntryKind.SKILL, SKILL, base | {"description": f"Edit {n}."}, base_rev=1) for n in range(8)]
        assert statuses(await at_once(*edits)) == [PushStatus.APPLIED, *7 * [PushStatus.CONFLICT]]

        # The same item from everywhere is taken once; eight raters are eight ratings.
        again = item(EntryKind.MODERATION, KEY, {"state": "yanked", "reason": "wrong"}, name="yank")
        assert statuses(await at_once(*4 * [again])) == [PushStatus.APPLIED, *3 * [PushStatus.DUPLICATE]]
        mirror = await yard.instance(InstanceScope.RATE)
        hubs = (yard.hub, second)
        raters = [rating("mirror-1", f"rater-{n}", 1 + n % 5) for n in range(8)]
        done = await asyncio.gather(*(hubs[n % 2].push(mirror, [one]) for n, one in enumerate(raters)))
        assert statuses(done) == 8 * [PushStatus.APPLIED]
        async with yard.runtime.database.reading() as session:
            assert len(await store.with_prefix(session, yard.hub.catalogue, EntryKind.RATING, "")) == 8


async def test_a_revoke_between_scan_and_publication_wins(yard: HubYard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scan takes a while; what a moderator said meanwhile counts when it is written down."""
    await yard.publish(skill_files())
    prepare = yard.runtime.prepare

    async def interrupted(*args: object, **named: object) -> object:
        done = await prepare(*args, **named)  # type: ignore[arg-type]
        by = Administrator.of(yard.operator)
        await yard.hub.moderate(SKILL, ModerationState.REVOKED, "stolen", by=by)
        return done

    monkeypatch.setattr(yard.runtime, "prepare", interrupted)
    answer = await yard.publish(skill_files(version="1.0.1"), f"{SKILL}@1.0.1")
    assert (answer.result.status, answer.result.code) == (PushStatus.REFUSED, "moderated")
    assert await yard.entry(EntryKind.VERSION, f"{SKILL}@1.0.1") is None


async def test_a_token_that_is_revoked_during_the_scan_publishes_nothing(
    yard: HubYard, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = await yard.instance(InstanceScope.PUBLISH)
    prepare = yard.runtime.prepare

    async def interrupted(*args: object, **named: object) -> object:
        done = await prepare(*args, **named)  # type: ignore[arg-type]
        (token,) = await yard.hub.tokens.page(yard.operator.workspace, after=0, limit=2)
        await yard.hub.tokens.revoke(token.id, by=Administrator.of(yard.operator))
        return done

    monkeypatch.setattr(yard.runtime, "prepare", interrupted)
    with pytest.raises(TokenEndedError):
        await yard.publish(skill_files(), sender=sender)
    assert await yard.entry(EntryKind.VERSION, KEY) is None
    monkeypatch.undo()
    # The item is not refused for good: with a token that counts it goes.
    answer = await yard.publish(skill_files(), sender=await yard.instance(InstanceScope.PUBLISH))
    assert answer.result.status is PushStatus.APPLIED


async def test_a_file_that_another_publication_used_up_is_asked_for_again(
    yard: HubYard, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = skill_files()
    await yard.send(files)
    item = version_item(KEY, files)
    prepare = yard.runtime.prepare

    async def interrupted(*args: object, **named: object) -> object:
        yard.hub._incoming.forget([one.sha256 for one in item.files], workspace=yard.sender.workspace)
        return await prepare(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(yard.runtime, "prepare", interrupted)
    (answer,) = await yard.push(item)
    assert answer.result.missing == tuple(one.sha256 for one in item.files)
    monkeypatch.undo()
    await yard.send(files)
    assert (await yard.push(item))[0].result.status is PushStatus.APPLIED
    # It is published, and takes no room among what was sent.
    assert await yard.hub.begun(item.files[0].sha256, sender=yard.sender) == (0, False)
