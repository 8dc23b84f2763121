"""What every ``Remote`` promises, to a real Skillyard and the in-memory twin alike."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from skillyard.conformance import mismatches
from skillyard.governance.signing import PublicKey
from skillyard.ids import BundleDigest
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind, canonical, member
from skillyard.marketplace_sync.catalogue.envelope import HEAD_TYPE
from skillyard.marketplace_sync.catalogue.set_digest import SetDigest
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.errors import CursorGoneError, RemoteError, RemoteUnavailableError
from skillyard.marketplace_sync.remotes.remote import ChangePage, PushItem, PushStatus, Remote
from skillyard.marketplace_sync.remotes.skillyard import SkillyardRemote
from skillyard.marketplace_sync.remotes.testing import MemoryMarketplace, MemoryRemote
from skillyard.skills.skill import BundleFile
from skillyard.times import utcnow
from tests.api.conftest import Server, made, serving
from tests.marketplace_sync.envelopes import opened
from tests.marketplace_sync.hubs import category, emptied, remote_market, settings_of


@dataclass
class World:
    """A marketplace, and ways to it."""

    write: Callable[..., Awaitable[object]]
    open: Callable[[], Remote]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("hub") / "home") as running:
        with running.client(running.token) as client:
            made(client.post("/v1/marketplace/publishers", json={"name": "acme", "display_name": "Acme"}))
        yield running


@pytest.fixture(params=["skillyard", "memory"])
async def world(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "memory":
        market = MemoryMarketplace()
        yield World(market.write, lambda: MemoryRemote(market))
        return
    async with emptied(server) as hub:
        settings = settings_of(tmp_path / "follower")
        with server.client(server.token) as client:
            until = (utcnow() + timedelta(days=1)).isoformat()
            body = {"name": "follower", "scopes": ["read", "rate", "publish"], "expires_at": until}
            token = str(made(client.post("/v1/marketplace/tokens", json=body))["token"])
        yield World(hub.write, lambda: SkillyardRemote(remote_market(hub.server.url, token), settings))


@pytest.fixture
async def remote(world: World) -> AsyncIterator[Remote]:
    opened = world.open()
    yield opened
    await opened.close()


async def followed(remote: Remote, cursor: str | None, *, limit: int = 3) -> tuple[dict[str, Entry], ChangePage]:
    """Page by page to the head, as a follower does it."""
    held: dict[str, Entry] = {}
    while True:
        page = await remote.changes(cursor, limit=limit)
        assert len(page.entries) <= limit
        for entry in page.entries:
            held[str(entry.id)] = entry
        cursor = page.cursor
        if not page.more:
            return held, page


def digest_of(held: dict[str, Entry]) -> str:
    digest = SetDigest()
    digest.add_all(member(one.id, one.sha256) for one in held.values() if not one.deleted)
    return digest.hex


def names(held: dict[str, Entry]) -> dict[str, bool]:
    return {one.id.key: one.deleted for one in held.values()}


async def test_a_snapshot_is_all_that_there_is_and_the_head_says_so(world: World, remote: Remote) -> None:
    assert list(mismatches(remote, Remote)) == []
    await world.write(*(category(f"c{n}") for n in range(8)))
    await world.write(category("c0", "Another"), category("c1", None))
    held, page = await followed(remote, None)
    assert names(held) == {f"c{n}": False for n in range(8) if n != 1}
    assert page.unreadable == ()
    assert page.head is not None
    assert (page.head.seq, page.head.live, page.head.digest) == (10, 7, digest_of(held))
    assert opened(page.head.envelope, HEAD_TYPE, PublicKey(bytes.fromhex(page.head.public_key)))


async def test_a_feed_goes_on_from_its_cursor_with_deletions(world: World, remote: Remote) -> None:
    await world.write(*(category(f"c{n}") for n in range(5)))
    held, page = await followed(remote, None)
    await world.write(category("c2", None), category("c3", "Another"), category("c9"))
    later, last = await followed(remote, page.cursor, limit=2)
    assert names(later) == {"c2": True, "c3": False, "c9": False}
    assert last.head is not None
    assert last.head.digest == digest_of(held | later)
    again, _ = await followed(remote, last.cursor)
    assert again == {}


async def test_what_changes_while_a_snapshot_is_read_comes_behind_it(world: World, remote: Remote) -> None:
    await world.write(*(category(f"c{n}") for n in range(6)))
    first = await remote.changes(None, limit=2)
    await world.write(category("c1", None), category("c5", "Another"), category("c6"))
    held = {str(one.id): one for one in first.entries}
    later, last = await followed(remote, first.cursor, limit=2)
    held |= later
    assert last.head is not None
    assert (last.head.digest, last.more) == (digest_of(held), False)
    assert names(held)["c1"] is True


async def test_a_wait_ends_when_something_changes(world: World, remote: Remote) -> None:
    await world.write(category("a"))
    _, page = await followed(remote, None)
    waiting = asyncio.create_task(remote.changes(page.cursor, limit=10, wait=60))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await world.write(category("b"))
    async with asyncio.timeout(30):
        found = await waiting
    assert [one.id.key for one in found.entries] == ["b"]


async def test_a_cursor_of_somebody_else_is_gone(world: World, remote: Remote) -> None:
    await world.write(category("a"))
    other = MemoryRemote(MemoryMarketplace())
    foreign = (await other.changes(None, limit=1)).cursor
    # In the form of this marketplace's own cursors, where they have one.
    own = (await remote.changes(None, limit=10)).cursor
    with pytest.raises((CursorGoneError, RemoteError)):
        await remote.changes(foreign if ":" in own else own[:-6] + "AAAAAA", limit=10)


async def test_the_channel_tells_the_head_at_once_and_when_it_changes(world: World, remote: Remote) -> None:
    await world.write(category("a"))
    async with asyncio.timeout(60), aclosing(remote.heads()) as heads:  # type: ignore[type-var]
        assert await anext(heads) == 1
        await world.write(category("b"), category("c"))
        assert await anext(heads) == 3


async def test_nothing_is_left_open(world: World) -> None:
    await world.write(Change(category("a").id, category("a").document))
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        remote = world.open()
        await followed(remote, None)
        async with aclosing(remote.heads()) as heads:  # type: ignore[type-var]
            await anext(heads)
        await remote.close()
    await asyncio.sleep(0)
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


async def test_a_remote_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    remote = SkillyardRemote(remote_market("http://127.0.0.1:9", "x"), settings_of(tmp_path))
    with pytest.raises(RemoteUnavailableError):
        await remote.changes(None, limit=10)
    with pytest.raises(RemoteUnavailableError):
        await anext(remote.heads())
    await remote.close()


def rated(item: str, stars: int, *, ms: int) -> PushItem:
    document = canonical(
        {
            "stars": stars,
            "review": "Good.",
            "author": "somebody",
            "stamp": f"{ms:015d}-000000-follower",
            "at": "2026-05-01T00:00:00Z",
        }
    )
    return PushItem(item, EntryKind.RATING, "acme/tool#follower/person-1", None, document)


async def test_what_is_pushed_is_taken_once_and_answered_in_order(world: World) -> None:
    document = canonical({"description": "A tool.", "updated_at": "2026-05-01T00:00:00Z"})
    await world.write(Change(EntryId(EntryKind.SKILL, "acme/tool"), document))
    remote = world.open()
    try:
        first, later = rated("first", 4, ms=1_777_000_000_000), rated("later", 2, ms=1_777_000_000_001)
        assert [(one.item, one.status) for one in await remote.push((first, later))] == [
            ("first", PushStatus.APPLIED),
            ("later", PushStatus.APPLIED),
        ]
        (again,) = await remote.push((first,))
        assert again.status is PushStatus.DUPLICATE
        held, _ = await followed(remote, None)
        ratings = [one for one in held.values() if one.id.kind is EntryKind.RATING]
        assert [json.loads(one.document or "")["stars"] for one in ratings] == [2]
    finally:
        await remote.close()


async def test_a_version_names_the_files_that_are_missing_and_they_can_be_sent(world: World, tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(b"a line\n" * 100_000)
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"x")
    sha256 = hashlib.sha256(content.read_bytes()).hexdigest()
    remote = world.open()
    try:
        await remote.send_file(sha256, content)
        await remote.send_file(sha256, content)
        with pytest.raises(RemoteError):
            await remote.send_file(sha256[::-1], wrong)
        with pytest.raises(RemoteError):
            await remote.manifest(EntryId(EntryKind.VERSION, "acme/nothing@1.0.0"))
        missing = BundleFile("data.bin", "0" * 64, 5, executable=False)
        with pytest.raises(RemoteError):
            await remote.fetch_file(missing, tmp_path / "into", bundle=BundleDigest(f"sha256:{'0' * 64}"))
        assert not (tmp_path / "into").exists()
    finally:
        await remote.close()
