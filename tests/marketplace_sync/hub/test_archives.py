"""What other installers read of a hub: one index whichever server makes it, whatever became of a bundle on a disk."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from skillyard.errors import NotFoundError
from skillyard.ids import BundleDigest
from skillyard.marketplace_sync.catalogue.entry import EntryKind
from skillyard.marketplace_sync.hub import store as hub_store
from skillyard.marketplace_sync.hub.archive import BundleDamagedError
from skillyard.marketplace_sync.hub.tables import ArchiveRow
from skillyard.marketplace_sync.hub.versions import ElsewhereError
from skillyard.marketplace_sync.interop.indexes import Indexes
from skillyard.marketplace_sync.search.index import SearchIndex
from skillyard.settings import Settings
from sqlalchemy import delete
from tests.marketplace_sync.hub.conftest import HubYard, skill_files

GOOD, BAD = "acme/csv-report@1.0.0", "acme/table@1.0.0"


def indexes(yard: HubYard, **settings: str) -> Indexes:
    """As another server over the same database makes them."""
    database = yard.runtime.database
    return Indexes(database=database, search=SearchIndex(database), hub=yard.hub, settings=Settings(**settings))  # type: ignore[arg-type]


async def named(made: Indexes, publisher: str | None = None) -> dict[str, str]:
    """By name, the digest."""
    skills = orjson.loads(await made.well_known(publisher))["skills"]
    return {one["name"]: str(one["digest"]).removeprefix("sha256:") for one in skills}


async def place(yard: HubYard, key: str) -> Path:
    bundle = str((await yard.document(EntryKind.VERSION, key))["bundle"])
    return yard.runtime.settings.home / "marketplace" / "bundles" / bundle.removeprefix("sha256:")


@pytest.fixture
async def published(yard: HubYard) -> HubYard:
    for key, name in ((GOOD, "csv-report"), (BAD, "table")):
        assert (await yard.publish(skill_files(name), key)).result.code is None
    return yard


async def test_a_damaged_bundle_costs_its_own_archive_and_no_index(published: HubYard) -> None:
    whole = await named(indexes(published))
    assert whole.keys() == {"csv-report", "table"}
    file = await place(published, BAD) / "SKILL.md"
    file.chmod(0o644)
    file.write_bytes(b"something else")
    assert await named(indexes(published)) == whole
    archives = published.hub.archives
    with pytest.raises(BundleDamagedError):
        await archives.read(*await archives.find(BAD, whole["table"]))
    assert b"".join(await archives.read(*await archives.find(GOOD, whole["csv-report"])))
    with pytest.raises(NotFoundError):
        await archives.find(GOOD, whole["table"])


async def test_servers_with_homes_of_their_own_show_one_index(published: HubYard, tmp_path: Path) -> None:
    whole = await named(indexes(published))
    (await place(published, BAD)).rename(tmp_path / "elsewhere")
    assert await named(indexes(published)) == whole
    with pytest.raises(ElsewhereError):
        await published.hub.archives.find(BAD, whole["table"])


async def test_what_an_older_release_published_is_named_once_whoever_has_it_told_of_it(
    published: HubYard, tmp_path: Path
) -> None:
    whole = await named(indexes(published))
    async with published.runtime.database.transaction() as session:
        await session.execute(delete(ArchiveRow))
    away = await place(published, BAD)
    away.rename(tmp_path / "elsewhere")
    assert await named(indexes(published), "acme") == {"csv-report": whole["csv-report"]}
    assert await published.hub.archives.complete() == 0
    (tmp_path / "elsewhere").rename(away)
    assert await published.hub.archives.complete() == 1
    assert await named(indexes(published), "acme") == whole
    async with published.runtime.database.reading() as session:
        assert await hub_store.without_archive(session, after=BundleDigest(""), limit=9) == ()


async def test_addresses_are_what_the_operator_says_or_relative(published: HubYard) -> None:
    relative = orjson.loads(await indexes(published).claude())["plugins"]
    absolute = orjson.loads(await indexes(published, marketplace_url="https://skills.example.org/").claude())["plugins"]
    assert all(one["source"]["url"].startswith("/.well-known/") for one in relative)
    assert [one["source"]["url"] for one in absolute] == [
        f"https://skills.example.org{one['source']['url']}" for one in relative
    ]
