"""Remotes that have an index and no feed: all of it is read again, and what it names is fetched once.

Their index says too little to be believed from afar: no closure, no verdict, often no version. So every archive that it
names is fetched, checked against the digest that the index gives for it, and read by our own parser; what the version
says is what was found. Its verdict is INDETERMINATE, for nobody scanned it: here it is scanned when it is installed.

A cursor carries the hash of the index as its epoch. While that is the same there is nothing new; once it is another,
the cursor is gone, and the follower reads a snapshot over what it has: what is the same stays, what is missing is
forgotten. Archives are kept by their digest until the index names them no more. Their publisher is the remote's name.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import orjson
import structlog

from skillyard.errors import InputError, SkillyardError
from skillyard.ids import BundleDigest
from skillyard.marketplace_sync.catalogue.cursor import FeedCursor, parse_cursor
from skillyard.marketplace_sync.catalogue.documents import (
    MAX_BODY,
    Document,
    PublisherDocument,
    SkillDocument,
    VersionDocument,
    moment,
)
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind, entry_hash
from skillyard.marketplace_sync.errors import CursorGoneError, RemoteAnswerError, RemoteError, RemoteRefusedError
from skillyard.marketplace_sync.remotes.http import RemoteHttp, Trust, said
from skillyard.marketplace_sync.remotes.remote import (
    ChangePage,
    PushItem,
    PushResult,
    RemoteMarket,
    Unreadable,
)
from skillyard.settings import Settings
from skillyard.skills.manifest import NAME
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import BundleFile, Skill
from skillyard.skills.sources.archive import MAX_ARCHIVE_BYTES, ArchiveSource
from skillyard.threads import taken

MOST_ITEMS = 5000
MOST_ARCHIVES = 4 * 1024**3
"""Bytes of all archives that one index names; what goes beyond is set aside."""
_MOST_INDEX = 8 * 1024 * 1024
_AT_ONCE = 40
"""Entries of one page: each second one is an archive to be fetched."""

_log = structlog.get_logger("skillyard.marketplace")


@dataclass(frozen=True, slots=True)
class Item:
    """One skill that an index names. ``wrong`` says why it cannot be taken; then the rest may be empty."""

    name: str
    url: str = ""
    sha256: str = ""
    archive: bool = True
    raw: str = ""
    wrong: str | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """An index as it was read. ``epoch`` is made from its hash."""

    epoch: int
    items: tuple[Item, ...]

    @property
    def entries(self) -> int:
        """The publisher's, and a skill's and a version's for each item."""
        return 1 + 2 * len(self.items)


@dataclass(frozen=True, slots=True)
class Taken:
    """An archive, unpacked and read. ``at`` is when it was first fetched, for the index gives no time."""

    folder: Path
    skill: Skill
    body: str
    at: datetime


class IndexedRemote(ABC):
    """``Remote`` over an index. Close it."""

    places: tuple[str, ...]
    """Paths at which the index may be, the likeliest first."""

    def __init__(self, market: RemoteMarket, settings: Settings, *, trust: Trust | None = None) -> None:
        self._http = RemoteHttp(market.url, token=market.token, settings=settings, trust=trust)
        self._publisher = market.name
        self._feed = str(uuid.uuid5(uuid.NAMESPACE_URL, market.url))
        self._cache = archives_of(settings.home) / str(int(market.id))
        self._kept_bytes: int | None = None
        self._failed: dict[tuple[str, str], str] = {}
        """Why an archive could not be had, by address and digest: it is asked for once by one client."""
        self._index: Index | None = None
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None
        self._taken: dict[str, Taken] = {}
        self._asked_for: set[str] = set()
        """Archives whose files somebody asked for; they stay unpacked."""

    @abstractmethod
    def read(self, value: object, base: httpx.URL) -> tuple[Item, ...]:
        """The items of an index. Raises ``RemoteAnswerError`` for what is none."""

    async def changes(self, cursor: str | None, *, limit: int, wait: float = 0.0) -> ChangePage:
        """See ``Remote``. There is nothing to wait for: it is asked again when it is due."""
        del wait
        place = None if cursor is None else self._place(cursor)
        received = 0
        if self._index is None or place is None or place.up_to is None:
            self._index, received = await self._read_index()
        index = self._index
        end = FeedCursor(self._feed, index.epoch, index.entries)
        if place is None:
            place = FeedCursor(self._feed, index.epoch, 0, up_to=index.entries)
        elif place.epoch != index.epoch:
            raise CursorGoneError("its index is another than it was")
        if place.up_to is None:
            return ChangePage((), (), str(end), False, None, received)
        until = min(place.seq + min(limit, _AT_ONCE), place.up_to, index.entries)
        entries, unreadable = [], []
        for position in range(place.seq, until):
            one = await self._entry(index, position)
            if isinstance(one, Entry):
                entries.append(one)
            else:
                unreadable.append(one)
        more = until < min(place.up_to, index.entries)
        following = FeedCursor(self._feed, index.epoch, until, up_to=place.up_to) if more else end
        if not more and place.up_to >= index.entries:
            await asyncio.to_thread(self._sweep, {item.sha256 for item in index.items})
        return ChangePage(tuple(entries), tuple(unreadable), str(following), more, None, received)

    async def manifest(self, version: EntryId) -> tuple[BundleFile, ...]:
        """The files of a version, read from its archive."""
        return (await self._version(version.key)).skill.bundle.files

    async def fetch_file(self, file: BundleFile, into: Path, *, bundle: BundleDigest) -> None:
        """From the archive that ``manifest`` of the same client fetched."""
        taken = next((one for one in self._taken.values() if one.skill.bundle.digest == bundle), None)
        if taken is None or file not in taken.skill.bundle.files:
            raise RemoteAnswerError(f"{said(file.path)} is in none of the archives that were asked for")
        await asyncio.to_thread(shutil.copyfile, taken.folder / file.path, into)

    async def push(self, items: Sequence[PushItem]) -> tuple[PushResult, ...]:
        del items
        raise RemoteRefusedError("it has an index and takes nothing")

    async def send_file(self, sha256: str, content: Path) -> None:
        del sha256, content
        raise RemoteRefusedError("it has an index and takes nothing")

    def heads(self) -> AsyncIterator[int]:
        """There is no live channel."""
        return _no_heads()

    async def close(self) -> None:
        unpacked, self._unpacked = self._unpacked, None
        self._taken.clear()
        if unpacked is not None:
            await asyncio.to_thread(unpacked.cleanup)
        await self._http.close()

    def _place(self, cursor: str) -> FeedCursor:
        try:
            place = parse_cursor(cursor)
        except InputError as error:
            raise CursorGoneError("the cursor is none of this index") from error
        if place.feed_id != self._feed:
            raise CursorGoneError("the cursor is of another index")
        return place

    async def _read_index(self) -> tuple[Index, int]:
        problem: RemoteError | None = None
        for path in self.places:
            try:
                received = await self._http.ask("GET", path, most_bytes=_MOST_INDEX)
            except RemoteAnswerError as error:
                problem = problem or error
                continue
            items = self.read(received.json(), httpx.URL(f"{self._http.base}{path}"))
            if len(items) > MOST_ITEMS:
                raise RemoteAnswerError(f"its index names more than {MOST_ITEMS} skills")
            # 56 bits, so that a cursor has room for it.
            epoch = int(hashlib.sha256(received.content).hexdigest()[:14], 16)
            return Index(epoch, _without_doubles(items)), received.wire_bytes
        raise problem or RemoteAnswerError("it has no index")

    async def _entry(self, index: Index, position: int) -> Entry | Unreadable:
        if position == 0:
            name = httpx.URL(self._http.base).host
            return _made(EntryId(EntryKind.PUBLISHER, self._publisher), 1, PublisherDocument(display_name=name[:100]))
        item = index.items[(position - 1) // 2]
        kind = EntryKind.SKILL if position % 2 else EntryKind.VERSION
        key = f"{self._publisher}/{item.name}"
        try:
            taken = await self._take(item)
        except (RemoteError, InputError) as error:
            # One bad item is set aside, and the others are taken.
            return Unreadable(kind.value, key[:300], position + 1, str(error)[:500], item.raw[:4000])
        document: Document = _skill_document(taken)
        if kind is EntryKind.VERSION:
            key, document = f"{key}@{taken.skill.version}", _version_document(taken)
            # The last that is said of it: of all that an index names, only one lies unpacked at a time.
            await self._let_go(item)
        return _made(EntryId(kind, key), position + 1, document)

    async def _version(self, key: str) -> Taken:
        if self._index is None:
            self._index, _ = await self._read_index()
        name, _, number = key.partition("/")[2].partition("@")
        for item in self._index.items:
            if item.name == name and item.wrong is None:
                taken = await self._take(item)
                if taken.skill.version == number:
                    self._asked_for.add(item.sha256)
                    return taken
        raise RemoteAnswerError(f"its index does not name {said(key)} any more")

    async def _take(self, item: Item) -> Taken:
        """Raises ``RemoteError``, and ``SkillError`` for what is no skill."""
        if item.wrong is not None:
            raise RemoteAnswerError(item.wrong)
        if item.sha256 not in self._taken:
            if (why := self._failed.get((item.url, item.sha256))) is not None:
                raise RemoteAnswerError(why)
            try:
                self._taken[item.sha256] = await self._read_from(item, await self._fetched(item))
            except (RemoteError, InputError) as error:
                self._failed[item.url, item.sha256] = str(error)
                raise
        taken = self._taken[item.sha256]
        if taken.skill.name != item.name:
            raise RemoteAnswerError(f"its SKILL.md calls itself {said(taken.skill.name)}, and not {said(item.name)}")
        return taken

    async def _let_go(self, item: Item) -> None:
        if item.sha256 in self._asked_for or self._unpacked is None:
            return
        if self._taken.pop(item.sha256, None) is not None:
            await asyncio.to_thread(shutil.rmtree, Path(self._unpacked.name) / item.sha256, ignore_errors=True)

    async def _fetched(self, item: Item) -> Path:
        """Where its archive is kept, fetched where it was not."""
        kept = self._cache / item.sha256
        if await asyncio.to_thread(kept.is_file):
            return kept
        if self._kept_bytes is None:
            named = () if self._index is None else tuple({one.sha256 for one in self._index.items})
            self._kept_bytes = await asyncio.to_thread(_sizes, self._cache, named)
        most = min(MAX_ARCHIVE_BYTES, MOST_ARCHIVES - self._kept_bytes)
        if most <= 0:
            raise RemoteAnswerError(f"what its index names comes to more than {MOST_ARCHIVES // 1024**3} GiB")
        received = await self._http.ask("GET", item.url, headers={"Accept": "*/*"}, most_bytes=most)
        found = hashlib.sha256(received.content).hexdigest()
        if found != item.sha256:
            raise RemoteAnswerError(f"what it gave has the digest {found}, and not {item.sha256} as its index says")
        await asyncio.to_thread(_keep, kept, received.content)
        self._kept_bytes += len(received.content)
        return kept

    async def _read_from(self, item: Item, kept: Path) -> Taken:
        """What a stranger's archive sets off is said of that archive alone; the disk's errors are not its fault."""
        try:
            return await self._unpacked_from(item, kept)
        except (SkillyardError, OSError):
            raise
        except Exception as error:
            _log.exception("index_item_not_read", publisher=self._publisher, skill=item.name, sha256=item.sha256)
            raise RemoteAnswerError(f"what it gave cannot be read ({type(error).__name__})") from error

    async def _unpacked_from(self, item: Item, kept: Path) -> Taken:
        if self._unpacked is None:
            making = partial(tempfile.TemporaryDirectory[str], prefix="skillyard-index-")
            self._unpacked = await taken(making, tempfile.TemporaryDirectory.cleanup)
        into = Path(self._unpacked.name) / item.sha256
        await asyncio.to_thread(into.mkdir)
        try:
            return await self._unpack(item, kept, into)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, into, ignore_errors=True)
            raise

    async def _unpack(self, item: Item, kept: Path, into: Path) -> Taken:
        if item.archive:
            folder = (await ArchiveSource(kept, name=f"{item.name}.tar.gz").fetch(into)).folder
        else:
            folder = into / item.name
            await asyncio.to_thread(_only_manifest, kept, folder)
        skill = await asyncio.to_thread(parse_skill, folder)
        text = await asyncio.to_thread((folder / "SKILL.md").read_text, "utf-8")
        at = datetime.fromtimestamp((await asyncio.to_thread(kept.stat)).st_mtime, UTC)
        # The frontmatter lies between the first two lines of three hyphens.
        body = text.split("\n---", 1)[-1].partition("\n")[2]
        return Taken(folder, skill, body[:MAX_BODY], moment(at))

    def _sweep(self, named: set[str]) -> None:
        """Forget archives that the index does not name any more."""
        with suppress(FileNotFoundError):
            for kept in list(self._cache.iterdir()):
                if kept.name not in named:
                    kept.unlink(missing_ok=True)


def archives_of(home: Path) -> Path:
    """Where archives are kept: below it, a folder for each remote, named by its number."""
    return home / "marketplace" / "archives"


async def _no_heads() -> AsyncIterator[int]:
    for nothing in tuple[int, ...]():
        yield nothing
    raise RemoteAnswerError("it has an index and no live channel")


def raw_of(row: object) -> str | None:
    """A row of an index as text; ``None`` where it is nested deeper than can be written."""
    try:
        return orjson.dumps(row).decode()
    except orjson.JSONEncodeError:
        return None


def read_item(name: object, url: object, digest: object, *, archive: bool, base: httpx.URL, raw: str) -> Item:
    """An item of an index, or what is wrong with it."""
    if not isinstance(name, str) or len(name) > 64 or NAME.fullmatch(name) is None:
        return Item(said(str(name)), raw=raw, wrong="its name is none of a skill")
    if not isinstance(digest, str) or len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        return Item(name, raw=raw, wrong="it has no SHA-256 digest")
    if not isinstance(url, str) or not 0 < len(url) <= 2000:
        return Item(name, raw=raw, wrong="it has no address")
    try:
        address = base.join(url)
        host = address.host
    except (httpx.InvalidURL, ValueError):
        return Item(name, raw=raw, wrong="its address is none")
    if address.scheme not in ("http", "https") or address.userinfo or not host:
        return Item(name, raw=raw, wrong="its address is none")
    return Item(name, str(address), digest, archive, raw)


def _without_doubles(items: Sequence[Item]) -> tuple[Item, ...]:
    seen: set[str] = set()
    found = []
    for item in items:
        double = item.name in seen and item.wrong is None
        found.append(Item(item.name, raw=item.raw, wrong="its name is there twice") if double else item)
        seen.add(item.name)
    return tuple(found)


def _made(id_: EntryId, seq: int, document: Document) -> Entry:
    text = document.text
    return Entry(id_, seq, 1, text, entry_hash(id_, 1, text, deleted=False), False, datetime.now(UTC))


def _skill_document(taken: Taken) -> SkillDocument:
    skill = taken.skill
    return SkillDocument(
        description=skill.description[:1024],
        license=None if skill.license is None else skill.license[:200],
        channels={"latest": skill.version},
        body=taken.body,
        updated_at=taken.at,
    )


def _version_document(taken: Taken) -> VersionDocument:
    skill = taken.skill
    return VersionDocument(
        bundle=skill.bundle.digest,
        bundle_bytes=skill.bundle.size,
        files=len(skill.bundle.files),
        kind=skill.kind,
        ecosystems=tuple(sorted({one.ecosystem for one in skill.declared})),
        verdict="INDETERMINATE",
        published_at=taken.at,
    )


def _sizes(folder: Path, names: Sequence[str]) -> int:
    total = 0
    for name in names:
        with suppress(FileNotFoundError):
            total += (folder / name).stat().st_size
    return total


def _keep(kept: Path, content: bytes) -> None:
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as file:
        file.write(content)
    Path(file.name).replace(kept)


def _only_manifest(kept: Path, folder: Path) -> None:
    folder.mkdir()
    shutil.copyfile(kept, folder / "SKILL.md")
