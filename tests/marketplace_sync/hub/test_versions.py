"""Files of versions: who may read which is not for others to decide, and what nobody may read goes."""

from __future__ import annotations

import hashlib
import os
import time

import pytest
from skillyard.errors import NotFoundError
from skillyard.governance.administrators import Administrator
from skillyard.ids import BundleDigest
from skillyard.marketplace_sync.catalogue.documents import ModerationState
from skillyard.marketplace_sync.catalogue.entry import EntryKind
from skillyard.marketplace_sync.hub import versions
from skillyard.marketplace_sync.hub.values import Sender
from skillyard.marketplace_sync.hub.versions import ElsewhereError
from tests.marketplace_sync.hub.conftest import HubYard, skill_files

LICENSE = b"Do what you like with it, and tell others.\n"
SHARED = hashlib.sha256(LICENSE).hexdigest()


async def publish(yard: HubYard, key: str, *, sender: Sender | None = None) -> BundleDigest:
    name, _, number = key.partition("/")[2].partition("@")
    files = skill_files(name, number) | {"LICENSE": LICENSE}
    assert (await yard.publish(files, key, sender=sender)).result.code is None
    return BundleDigest(str((await yard.document(EntryKind.VERSION, key))["bundle"]))


async def test_a_file_stays_readable_behind_versions_of_others_that_may_not_be_read(
    yard: HubYard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "_HOLDERS", 2)
    monkeypatch.setattr(versions, "_MOST_PAGES", 2)
    by, stranger = Administrator.of(yard.operator), Sender(yard.other)
    await publish(yard, "acme/csv-report@1.0.0")
    newer = await publish(yard, "acme/csv-report@1.1.0")
    for key in ("zenith/table@1.0.0", "zenith/table@1.1.0", "zenith/zip@1.0.0", "zenith/zip@1.1.0"):
        await publish(yard, key, sender=stranger)
    await yard.hub.moderate("zenith", ModerationState.HELD, "who are they", by=by)
    _, place = await yard.hub.files.file(SHARED)
    assert place.read_bytes() == LICENSE
    # Of two versions that may be read, the one that this home has.
    (yard.runtime.settings.home / "marketplace" / "bundles" / newer.removeprefix("sha256:")).rename(
        yard.runtime.settings.home / "elsewhere"
    )
    _, place = await yard.hub.files.file(SHARED)
    assert place.read_bytes() == LICENSE
    await yard.hub.moderate("acme/csv-report@1.0.0", ModerationState.HELD, "wait", by=by)
    with pytest.raises(ElsewhereError):
        await yard.hub.files.file(SHARED)
    await yard.hub.moderate("acme", ModerationState.HELD, "wait", by=by)
    with pytest.raises(NotFoundError):
        await yard.hub.files.file(SHARED)


async def test_bundles_of_which_nothing_is_published_go_after_a_day(yard: HubYard) -> None:
    gone = await publish(yard, "acme/csv-report@1.0.0")
    kept = await publish(yard, "acme/csv-report@1.1.0")
    await yard.hub.say(yard.sender, "acme/csv-report@1.0.0", ModerationState.DELETED, "wrong")
    folder = yard.runtime.settings.home / "marketplace" / "bundles"
    assert await yard.hub.files.sweep() == 0
    for bundle in (gone, kept):
        os.utime(folder / bundle.removeprefix("sha256:"), (time.time() - 90_000,) * 2)
    assert await yard.hub.files.sweep() == 1
    assert not (folder / gone.removeprefix("sha256:")).exists()
    assert (await yard.hub.files.file(SHARED))[1].read_bytes() == LICENSE
