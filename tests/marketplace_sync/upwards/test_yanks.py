"""A publisher's last word about a version is the one that counts, whatever died or waited on the way."""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest
from skillyard.errors import ConflictError
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind
from skillyard.marketplace_sync.jobs import store as jobs_store
from skillyard.marketplace_sync.upwards import store
from skillyard.marketplace_sync.upwards.values import Upload, UploadDraft, UploadId, UploadKind, UploadState
from skillyard.times import utcnow
from tests.marketplace_sync.upwards.conftest import SKILL, Outpost

VERSION = f"{SKILL}@1.0.0"


def said(outpost: Outpost) -> object:
    return orjson.loads(str(outpost.market.entries[EntryId(EntryKind.MODERATION, VERSION)].document))["state"]


async def dead(outpost: Outpost, *ids: UploadId) -> None:
    async with outpost.database.transaction() as session:
        for id_ in ids:
            await store._set(session, id_, {"state": UploadState.DEAD, "ended_at": utcnow(), "attempts": 3})


async def queued(outpost: Outpost) -> tuple[Upload, Upload]:
    """A version and its yank."""
    drafts = [
        UploadDraft(UploadKind.VERSION, VERSION, "{}", "system"),
        UploadDraft(UploadKind.YANK, VERSION, '{"state":"yanked"}', "system"),
    ]
    async with outpost.database.transaction() as session:
        await store.enqueue(session, outpost.remote, drafts, at=utcnow() - timedelta(seconds=1))
    (version, _), (yank, _) = await outpost.uploads.list(outpost.admin.workspace)
    return version, yank


async def test_a_dead_word_does_not_come_back_over_a_later_one(outpost: Outpost) -> None:
    earlier = await outpost.uploads.unyank("hub", VERSION, reason="It is good again.", by=outpost.admin)
    await dead(outpost, earlier.id)
    await outpost.uploads.yank("hub", VERSION, reason="It is not.", by=outpost.admin)
    await outpost.send()
    async with outpost.database.transaction() as session:
        assert await store.forget(session, ended_before=utcnow() + timedelta(days=1)) == 0
    with pytest.raises(ConflictError, match="overtaken"):
        await outpost.uploads.retry(earlier.id, by=outpost.admin)
    assert await outpost.uploads.retry_all(by=outpost.admin) == ()
    await outpost.send()
    assert said(outpost) == "yanked"


async def test_a_yank_does_not_go_before_its_version(outpost: Outpost) -> None:
    """The version is put off; its yank is due, and would be about nothing."""
    version, yank = await queued(outpost)
    async with outpost.database.transaction() as session:
        await store._set(session, version.id, {"next_at": utcnow() + timedelta(minutes=5), "attempts": 1})
        now, hold = utcnow(), timedelta(minutes=1)
        assert await store.claim(session, outpost.remote.id, by="x", now=now, hold=hold, limit=10) == ()
        assert await jobs_store.with_due_uploads(session, [outpost.remote.id], now) == frozenset()
        await store._set(session, version.id, {"state": UploadState.SENT})
        assert await jobs_store.with_due_uploads(session, [outpost.remote.id], now) == {outpost.remote.id}
        (claimed,) = await store.claim(session, outpost.remote.id, by="x", now=now, hold=hold, limit=10)
    assert claimed.id == yank.id


async def test_a_version_that_is_tried_again_takes_its_yank_along(outpost: Outpost) -> None:
    version, yank = await queued(outpost)
    await dead(outpost, version.id, yank.id)
    revived = await outpost.uploads.retry(version.id, by=outpost.admin)
    assert revived.attempts == 1, "it may have arrived"
    states = [one.state for one, _ in await outpost.uploads.list(outpost.admin.workspace)]
    assert states == [UploadState.WAITING, UploadState.WAITING]
