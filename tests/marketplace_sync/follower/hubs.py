"""A hub in a database of its own, and the way to it without a network: its pages are made by the real feed, written as
JSON and read as a client reads them. A test may put its hand into what comes by."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import orjson
from skillyard.database import Database, Session
from skillyard.governance.decision import SkillState
from skillyard.governance.signing import PublicKey
from skillyard.ids import BundleDigest, SkillVersionId
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import (
    CategoryDocument,
    ModerationDocument,
    ModerationState,
    PublisherDocument,
    RatingDocument,
    SkillDocument,
    VersionDocument,
)
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry, EntryId, EntryKind, member, member_of
from skillyard.marketplace_sync.catalogue.set_digest import SetDigest
from skillyard.marketplace_sync.catalogue.store import Catalogue, Change
from skillyard.marketplace_sync.follower.run import Run
from skillyard.marketplace_sync.follower.values import SyncReport
from skillyard.marketplace_sync.follower.words import Stopped
from skillyard.marketplace_sync.hub.feed import Feed, FeedPage
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import (
    ChangePage,
    Head,
    PushItem,
    PushResult,
    RemoteMarket,
    Unreadable,
)
from skillyard.marketplace_sync.remotes.rows import read_row
from skillyard.marketplace_sync.remotes.skillyard import _read_head
from skillyard.runtime.tables import SkillRow, SkillVersionRow
from skillyard.skills.skill import BundleFile, SkillKind
from skillyard.times import utcnow

AT = datetime.fromisoformat("2026-11-01T12:00:00+00:00")


class Unprojected:
    """No index: the entries alone are what is tested here."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    async def changed(self, session: Session, catalogue: CatalogueId, entries: Sequence[Entry]) -> None:
        assert session.in_transaction()
        assert catalogue
        self.removed += [entry.id.key for entry in entries if entry.deleted]

    async def cleared(self, session: Session, catalogue: CatalogueId) -> None:
        assert session.in_transaction()
        assert catalogue

    async def settled(self, session: Session, catalogue: CatalogueId) -> None:
        assert session.in_transaction()
        assert catalogue


class Heard:
    """Who has to know what a remote changed, here: what it was told."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    async def on_entries(self, session: Session, remote: RemoteMarket, entries: Sequence[Entry]) -> None:
        assert session.in_transaction()
        assert remote
        self.entries += entries

    async def on_read_again(self, session: Session, remote: RemoteMarket) -> None:
        assert session.in_transaction()
        assert remote


Row = dict[str, object]


class Hub:
    """A hub and the client of it in one: ``Remote`` over its feed."""

    def __init__(self, database: Database, feed: Feed) -> None:
        self.database = database
        self.feed = feed
        self.meddle: Callable[[Row], Row | None] = lambda row: row
        """What happens to each row on its way; ``None`` takes it out."""
        self.meddle_page: Callable[[list[Row]], list[Row]] = lambda rows: rows
        self.meddle_cursor: Callable[[str], str] = lambda cursor: cursor
        self.meddle_head: Callable[[Head], Head] = lambda head: head
        self.before_page: Callable[[int], object] = lambda _number: None
        self.limit = 1000
        self.asked = 0

    # What its people do

    async def write(self, *changes: Change) -> Catalogue:
        async with self.database.transaction() as session:
            catalogue = await store.own(session, at=utcnow())
            words = sum(change.id.kind is EntryKind.MODERATION for change in changes)
            catalogue = await store.save(session, replace(catalogue, moderation=catalogue.moderation + words))
            catalogue, _ = await store.write(session, catalogue, changes, projection=Unprojected(), at=utcnow())
            return catalogue

    async def catalogue(self) -> Catalogue:
        async with self.database.reading() as session:
            return await store.own(session, at=utcnow())

    async def put_back(self, catalogue: Catalogue, entries: Sequence[Entry], *, epoch: int) -> None:
        """As an operator does who restores a backup; with another epoch where they say so."""
        async with self.database.transaction() as session:
            now = await store.own(session, at=utcnow())
            empty = await store.clear(session, now, projection=Unprojected())
            restored = replace(
                empty, epoch=epoch, seq=catalogue.seq, moderation=catalogue.moderation, horizon=catalogue.horizon
            )
            await store.apply(session, restored, entries, projection=Unprojected())

    async def entries(self) -> tuple[Entry, ...]:
        async with self.database.reading() as session:
            own = await store.own(session, at=utcnow())
            return await store.page(session, own.id, after=0, limit=100_000)

    async def sign_as_it_comes(self) -> None:
        """The hub itself is wrong, and not the way to it: what is meddled with is what its head counts."""
        rows = [met for one in await self.entries() if not one.deleted and (met := self.meddle(_wire(one))) is not None]
        members = [
            member_of(str(row["kind"]), str(row["key"]), str(row["sha256"])) for row in rows if not row["deleted"]
        ]
        digest = SetDigest()
        digest.add_all(members)
        self.meddle_head = lambda head: replace(head, digest=digest.hex, live=len(members))

    # The way to it

    async def changes(self, cursor: str | None, *, limit: int, wait: float = 0.0) -> ChangePage:
        self.asked += 1
        self.before_page(self.asked)
        limit = min(limit, self.limit)
        page = await (
            self.feed.snapshot(None, limit=limit)
            if cursor is None
            else self.feed.changes(cursor, limit=limit, wait=wait)
        )
        return self._read(page)

    def _read(self, page: FeedPage) -> ChangePage:
        envelope = orjson.loads(page.head.envelope)
        payload = base64.b64decode(envelope["payload"])
        key = PublicKey(bytes.fromhex(self.feed.public_key))
        head = self.meddle_head(_read_head(payload, key, page.head.envelope))
        entries: list[Entry] = []
        unreadable: list[Unreadable] = []
        text = orjson.dumps([_wire(entry) for entry in page.entries])
        for row in self.meddle_page(orjson.loads(text)):
            if (met := self.meddle(row)) is None:
                continue
            entry, wrong = read_row(met, head)
            if entry is not None:
                entries.append(entry)
            elif wrong is not None:
                unreadable.append(wrong)
        return ChangePage(
            tuple(entries), tuple(unreadable), self.meddle_cursor(page.cursor), page.more, head, len(text)
        )

    async def manifest(self, version: EntryId) -> tuple[BundleFile, ...]:
        raise AssertionError(f"nobody asked for the files of {version}")

    async def fetch_file(self, file: BundleFile, into: Path, *, bundle: BundleDigest) -> None:
        raise AssertionError(f"nobody asked for {file} of {bundle} in {into}")

    async def push(self, items: Sequence[PushItem]) -> tuple[PushResult, ...]:
        raise AssertionError(f"nobody pushes {items}")

    async def send_file(self, sha256: str, content: Path) -> None:
        raise AssertionError(f"nobody sends {sha256} from {content}")

    def heads(self) -> AsyncIterator[int]:
        raise AssertionError("nobody listens")

    async def close(self) -> None:
        return


def _wire(entry: Entry) -> Row:
    return {
        "kind": entry.id.kind.value,
        "key": entry.id.key,
        "seq": entry.seq,
        "rev": entry.rev,
        "document": entry.document,
        "sha256": entry.sha256,
        "deleted": entry.deleted,
        "changed_at": entry.changed_at.isoformat(),
    }


# Documents


def publisher(name: str) -> Change:
    return Change(EntryId(EntryKind.PUBLISHER, name), PublisherDocument(display_name=name).text)


def category(name: str) -> Change:
    return Change(EntryId(EntryKind.CATEGORY, name), CategoryDocument(title=name).text)


def skill(
    key: str, text: str = "Reads CSV files.", *, categories: tuple[str, ...] = (), latest: str = "1.0.0"
) -> Change:
    document = SkillDocument(description=text, categories=categories, channels={"latest": latest}, updated_at=AT)
    return Change(EntryId(EntryKind.SKILL, key), document.text)


def bundle_of(key: str) -> str:
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def version(key: str, *, bundle: str | None = None, kind: SkillKind = SkillKind.PYTHON) -> Change:
    document = VersionDocument(
        bundle=bundle or bundle_of(key),
        bundle_bytes=100,
        files=1,
        lock=bundle_of("no packages"),
        kind=kind,
        verdict="PASS",
        scanned_at=AT,
        published_at=AT,
    )
    return Change(EntryId(EntryKind.VERSION, key), document.text)


def moderation(key: str, state: ModerationState, epoch: int = 1) -> Change:
    document = ModerationDocument(state=state, reason="It steals keys.", actor="mo", epoch=epoch, at=AT)
    return Change(EntryId(EntryKind.MODERATION, key), document.text)


def rating(key: str, *, stars: int = 5, stamp: str = "001700000000000-000000-there") -> Change:
    document = RatingDocument(stars=stars, stamp=stamp, at=AT)
    return Change(EntryId(EntryKind.RATING, f"{key}#there/1"), document.text)


def gone(change: Change) -> Change:
    return Change(change.id, None)


# The following end


class Here:
    """The following end: one remote of one workspace, and runs of it."""

    def __init__(self, database: Database, hub: Hub, remote: RemoteMarket) -> None:
        self.database = database
        self.hub = hub
        self.remote = remote
        self.projection = Unprojected()
        self.heard = Heard()
        self.stopped: list[Stopped] = []

    async def sync(self) -> SyncReport:
        return await self.run().to_the_head()

    def run(self) -> Run:
        async def on_stopped(stopped: Stopped) -> None:
            self.stopped.append(stopped)

        return Run(
            self.remote,
            self.hub,
            database=self.database,
            projection=self.projection,
            listener=self.heard,
            on_stopped=on_stopped,
        )

    async def market(self) -> RemoteMarket:
        async with self.database.reading() as session:
            return await remote_store.find(session, self.remote.id)

    async def catalogue(self) -> Catalogue:
        async with self.database.reading() as session:
            return await store.find(session, self.remote.catalogue)

    async def entries(self) -> tuple[Entry, ...]:
        async with self.database.reading() as session:
            return await store.page(session, self.remote.catalogue, after=-1, limit=100_000)

    async def keys(self) -> set[str]:
        return {str(entry.id) for entry in await self.entries() if not entry.deleted}


async def install(here: Here, *, bundle: str, origin: str = "/somewhere", name: str = "tool") -> SkillVersionId:
    """An installed version, as far as a moderator's word is about one."""
    async with here.database.transaction() as session:
        row = SkillRow(workspace_id=here.remote.workspace, publisher="local", name=name, created_at=AT)
        session.add(row)
        await session.flush()
        version = SkillVersionRow(
            workspace_id=here.remote.workspace,
            skill_id=row.id,
            version="1.0.0",
            bundle_digest=bundle,
            bundle_bytes=1,
            lock_digest=bundle_of("no packages"),
            lock_json="[]",
            report_json="{}",
            skill_json="{}",
            state=SkillState.ACTIVE,
            origin=origin,
            installed_at=AT,
        )
        session.add(version)
        await session.flush()
        return SkillVersionId(version.id)


async def state_of(here: Here, version: SkillVersionId) -> SkillState:
    async with here.database.reading() as session:
        return (await session.get_one(SkillVersionRow, version)).state


async def require_sound(here: Here) -> None:
    """The mirror's figures are those of its entries, wherever its process ended."""
    catalogue = await here.catalogue()
    live = [entry for entry in await here.entries() if not entry.deleted]
    digest = SetDigest()
    digest.add_all(member(entry.id, entry.sha256) for entry in live)
    assert (catalogue.live, catalogue.digest_hex) == (len(live), digest.hex)


async def fill(hub: Hub, skills: int = 12) -> None:
    """A small catalogue of everything."""
    await hub.write(publisher("acme"), category("data"))
    names = [f"acme/s{number}" for number in range(skills)]
    await hub.write(*(skill(name) for name in names), *(version(f"{name}@1.0.0") for name in names))
    await hub.write(*(rating(name) for name in names[:3]))


async def same(here: Here, hub: Hub) -> None:
    """The mirror is what the hub has."""
    ours, theirs = await here.catalogue(), await hub.catalogue()
    assert (ours.digest_hex, ours.live, ours.seq) == (theirs.digest_hex, theirs.live, theirs.seq)
    live = [entry for entry in await hub.entries() if not entry.deleted]
    assert [entry for entry in await here.entries() if not entry.deleted] == live
