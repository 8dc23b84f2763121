"""The feed over a database: pages and their head are of one moment, waiting ends with a change, deletions end too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from skillyard.database import Database, DatabaseUnavailableError, Kind, Session, open_database
from skillyard.governance.administrators import Administrator
from skillyard.governance.errors import AdminRoleError
from skillyard.governance.identity import Actor, ActorKind, Person
from skillyard.governance.signing import PublicKey
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.entry import Entry, member
from skillyard.marketplace_sync.catalogue.envelope import HEAD_TYPE, parse_envelope, sign
from skillyard.marketplace_sync.catalogue.set_digest import SetDigest
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.errors import CursorGoneError, DocumentError, TooManyListenersError
from skillyard.marketplace_sync.hub import store as hub_store
from skillyard.marketplace_sync.hub import upkeep
from skillyard.marketplace_sync.hub.feed import Feed
from skillyard.marketplace_sync.hub.ground import Ground
from skillyard.marketplace_sync.hub.head import HubKeyError, load_key
from skillyard.marketplace_sync.hub.upkeep import FeedUpkeep
from skillyard.marketplace_sync.live.broadcast import Bell
from skillyard.times import utcnow
from structlog.testing import capture_logs
from tests.marketplace_sync.envelopes import opened
from tests.marketplace_sync.hubs import Unindexed, category, settings_of
from tests.postgres import Cluster


async def write(database: Database, *changes: Change, days_ago: float = 0) -> None:
    at = utcnow() - timedelta(days=days_ago)
    async with database.transaction() as session:
        catalogue = await store.own(session, at=at)
        await store.write(session, catalogue, changes, projection=Unindexed(), at=at)


@pytest.fixture
async def bell(database: Database, admin: Person) -> AsyncIterator[Bell]:
    assert admin
    made = Bell(database=database, most=2)
    yield made
    await made.close()


@pytest.fixture
async def feed(database: Database, bell: Bell, tmp_path: Path) -> Feed:
    made = Feed(database=database, settings=settings_of(tmp_path), bell=bell)
    await made.start()
    return made


async def test_every_page_comes_with_the_head_of_its_moment_whoever_writes_meanwhile(
    feed: Feed, database: Database, tmp_path: Path
) -> None:
    other = await open_database(database.url)
    written = asyncio.Event()

    async def writer() -> None:
        for n in range(40):
            await write(other, category(f"c{n % 15}", None if n % 4 == 3 else f"title {n}"))
        written.set()

    writing = asyncio.create_task(writer())
    key = PublicKey(bytes.fromhex(feed.public_key))
    held: dict[str, Entry] = {}
    cursor: str | None = None
    compared = 0
    while True:
        done = written.is_set()
        page = await feed.changes(cursor, limit=1000)
        cursor = page.cursor
        held |= {str(one.id): one for one in page.entries}
        head = orjson.loads(opened(page.head.envelope, HEAD_TYPE, key) or "")
        live = [one for one in held.values() if not one.deleted]
        digest = SetDigest()
        digest.add_all(member(one.id, one.sha256) for one in live)
        assert (head["digest"], head["live"]) == (digest.hex, len(live))
        compared += 1
        if done:
            break
    await writing
    await other.close()
    assert compared > 1
    assert load_key(tmp_path).public.hex == feed.public_key


async def test_who_waits_hears_of_a_change_of_another_process_and_of_the_end(
    feed: Feed, bell: Bell, database: Database
) -> None:
    await write(database, category("a"))
    cursor = (await feed.snapshot(None, limit=10)).cursor
    other = await open_database(database.url)
    waiting = asyncio.create_task(feed.changes(cursor, limit=10, wait=60))
    await asyncio.sleep(0.3)
    await write(other, category("b"))
    async with asyncio.timeout(30):
        assert [one.id.key for one in (await waiting).entries] == ["b"]
    await other.close()
    last = (await feed.changes(cursor, limit=10)).cursor
    waiters = [asyncio.create_task(feed.changes(last, limit=10, wait=60)) for _ in range(2)]
    async with asyncio.timeout(30):
        while len(bell) < 2:  # noqa: ASYNC110 - who comes to listen tells nobody
            await asyncio.sleep(0.01)
    with pytest.raises(TooManyListenersError):
        await feed.changes(last, limit=10, wait=1)
    bell.shut()
    async with asyncio.timeout(30):
        assert [one.entries for one in await asyncio.gather(*waiters)] == [(), ()]
    assert len(bell) == 0


class Deaf:
    """Notices that never come."""

    async def heard(self, seconds: float) -> None:
        assert seconds > 0
        await asyncio.Event().wait()

    async def close(self) -> None: ...


async def test_a_change_of_this_process_is_heard_of_without_a_notice(
    database: Database, admin: Person, tmp_path: Path
) -> None:
    """A follower of one server on SQLite would otherwise wait until the file is looked at again."""
    assert admin
    bell = Bell(database=database, most=1, hear=lambda _: Deaf())
    feed = Feed(database=database, settings=settings_of(tmp_path), bell=bell)
    await feed.start()
    ground = Ground(database=database, projection=Unindexed(), on_change=bell.strike)
    await ground.begin()
    cursor = (await feed.changes(None, limit=10)).cursor
    waiting = asyncio.create_task(feed.changes(cursor, limit=10, wait=60))
    while bell.state is None:  # noqa: ASYNC110 - the first look is an event to nobody else
        await asyncio.sleep(0)
    async with database.transaction() as session:
        await ground.change(session, [category("a")], at=utcnow())
    async with asyncio.timeout(30):
        page = await waiting
    assert [entry.id.key for entry in page.entries] == ["a"]
    await bell.close()


async def test_who_listens_hears_on_after_the_database_could_not_be_read(
    bell: Bell, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their channel stays open whatever happens here, so they would wait for a poll, and nobody would see why."""
    failed: list[str] = []
    own_state = store.own_state

    async def fails_once(session: Session) -> tuple[int, int] | None:
        if not failed:
            failed.append("once")
            raise DatabaseUnavailableError("the database cannot be used now: locked")
        return await own_state(session)

    await write(database, category("a"))
    async with bell.listening() as ear, asyncio.timeout(30):
        assert await ear.rung()
        monkeypatch.setattr(store, "own_state", fails_once)
        bell.strike()
        while not failed:  # noqa: ASYNC110 - the look that fails tells nobody
            await asyncio.sleep(0.01)
        await write(database, category("b"))
        assert await ear.rung()
        assert ear.state == (1, 2)


@pytest.mark.database(Kind.POSTGRESQL)
async def test_who_listens_hears_on_after_the_server_let_nobody_in(
    bell: Bell, database: Database, postgres: Cluster
) -> None:
    name = database.url.rpartition("/")[2]
    await write(database, category("a"))
    with capture_logs() as logs:
        async with bell.listening() as ear, asyncio.timeout(60):
            assert await ear.rung()
            await postgres.run(
                f"ALTER DATABASE {name} CONNECTION LIMIT 0",
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
            )
            bell.strike()
            while not any(log["event"] == "bell_cannot_look" for log in logs):  # noqa: ASYNC110 - a log tells nobody
                await asyncio.sleep(0.01)
            await postgres.run(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
            await write(database, category("b"))
            assert await ear.rung()
            assert ear.state == (1, 2)


async def test_a_wait_without_a_change_ends_at_its_time(feed: Feed, database: Database) -> None:
    await write(database, category("a"))
    cursor = (await feed.changes(None, limit=10)).cursor
    async with asyncio.timeout(30):
        assert (await feed.changes(cursor, limit=10, wait=0.3)).entries == ()


async def test_deletions_are_forgotten_after_their_time_and_the_digest_does_not_mind(
    feed: Feed, database: Database, tmp_path: Path
) -> None:
    await write(database, category("a"), category("b"), category("c"), days_ago=200)
    early = (await feed.changes(None, limit=1)).cursor
    await write(database, category("a", None), days_ago=100)
    await write(database, category("b", None), days_ago=10)
    before = await feed.changes(None, limit=10)
    assert [(one.id.key, one.deleted) for one in before.entries] == [("c", False), ("a", True), ("b", True)]
    purged = await FeedUpkeep(database=database, settings=settings_of(tmp_path), further=()).forget()
    assert (purged.horizon, purged.live) == (4, 1)
    with pytest.raises(CursorGoneError):
        await feed.changes(early, limit=10)
    after = await feed.changes(before.cursor, limit=10)
    assert (after.entries, after.head.seq) == ((), 5)
    key = PublicKey(bytes.fromhex(feed.public_key))
    digests = [orjson.loads(opened(one.head.envelope, HEAD_TYPE, key) or "")["digest"] for one in (before, after)]
    assert digests[0] == digests[1]


async def test_only_an_operator_says_that_a_feed_was_put_back(
    feed: Feed, database: Database, admin: Person, tmp_path: Path
) -> None:
    assert feed
    upkeep = FeedUpkeep(database=database, settings=settings_of(tmp_path), further=())
    agent = Administrator(admin.workspace, admin.id, Actor(ActorKind.AGENT, 1))
    with pytest.raises(AdminRoleError, match="agent"):
        await upkeep.put_back("because", by=agent)


async def test_a_second_home_without_the_key_signs_nothing(feed: Feed, database: Database, tmp_path: Path) -> None:
    elsewhere = Feed(
        database=database, settings=settings_of(tmp_path / "elsewhere"), bell=Bell(database=database, most=1)
    )
    await elsewhere.start()
    with pytest.raises(HubKeyError, match=r"keys/hub\.ed25519"):
        await elsewhere.head()
    assert (await feed.head()).seq == 0


def test_an_envelope_is_what_it_is_of_its_type_alone(tmp_path: Path) -> None:
    key = load_key(tmp_path)
    text = sign(HEAD_TYPE, b"{}", key)
    assert opened(text, HEAD_TYPE, key.public) == b"{}"
    other = text.replace(HEAD_TYPE, "application/other")
    assert opened(other, "application/other", key.public) is None
    for wrong in ("", "[]", "{}", text[:-5], text.replace('"sig":"', '"sig":"!'), text + " " * 20_000):
        with pytest.raises(DocumentError):
            parse_envelope(wrong, HEAD_TYPE)


async def test_upkeep_forgets_in_parts_and_does_not_end_at_a_failure(
    database: Database, tmp_path: Path, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert admin
    async with database.transaction() as session:
        await store.own(session, at=utcnow())
        for days, item in ((100, "a"), (95, "b"), (91, "c"), (1, "d")):
            await hub_store.remember(session, "instance 1", [(item, "", "{}")], at=utcnow() - timedelta(days=days))
    swept = asyncio.Event()
    failures = [RuntimeError("a bug")]

    async def sweep() -> int:
        if failures:
            raise failures.pop()
        swept.set()
        return 0

    for name, value in (("_AT_ONCE", 2), ("_FIRST_SECONDS", 0.0), ("_EVERY_SECONDS", 0.0)):
        monkeypatch.setattr(upkeep, name, value)
    made = FeedUpkeep(database=database, settings=settings_of(tmp_path), further=(sweep,))
    made.start()
    await asyncio.wait_for(swept.wait(), 30)
    await made.close()
    async with database.reading() as session:
        assert list(await hub_store.pushed(session, "instance 1", "abcd")) == ["d"]
