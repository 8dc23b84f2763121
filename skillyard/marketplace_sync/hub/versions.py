"""The files of published versions: what is kept of them in this home, and who may read which."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

from skillyard.database import Database, Session
from skillyard.errors import MachineError, NotFoundError
from skillyard.governance.report import Report
from skillyard.governance.report_json import report_from_json
from skillyard.ids import BundleDigest, WorkspaceId
from skillyard.marketplace_sync.catalogue import standing
from skillyard.marketplace_sync.catalogue.entry import EntryKind, entry_id
from skillyard.marketplace_sync.hub import store as hub_store
from skillyard.marketplace_sync.hub.ground import Ground
from skillyard.marketplace_sync.hub.incoming import Incoming
from skillyard.marketplace_sync.hub.values import Holder
from skillyard.sandbox.gate import Gate
from skillyard.skills.bundle_store import BundleStore
from skillyard.skills.manifest import read_manifest
from skillyard.skills.skill import Bundle, BundleFile, ParseMode
from skillyard.skills.tolerance import Tolerance

_HOLDERS = 50
"""Versions that hold one file are looked at in pages of so many."""
_MOST_PAGES = 200
_SETTLED_SECONDS = 24 * 3600.0
"""A bundle is stored before it is published, and the two may be minutes apart."""
_GATE_SECONDS = 30.0


class ElsewhereError(MachineError):
    """The bytes are in the home of another server over this database, and not in this one's."""

    code = "file_elsewhere"


class VersionFiles:
    """Bundles of published versions, apart from those that workspaces installed: only ``sweep`` collects them."""

    def __init__(self, *, database: Database, ground: Ground, bundles: BundleStore, incoming: Incoming) -> None:
        self._database = database
        self._ground = ground
        self._bundles = bundles
        self._incoming = incoming

    def keep(self, folder: Path, bundle: Bundle) -> Path:
        """Where the bundle is kept from now on. Blocks on disk."""
        return self._bundles.put(folder, bundle)

    async def forget_sent(self, files: Iterable[BundleFile], *, workspace: WorkspaceId) -> None:
        """What a workspace sent, and published."""
        digests = {one.sha256 for one in files}
        await asyncio.to_thread(self._incoming.forget, digests, workspace=workspace)

    async def sweep(self) -> int:
        """Remove bundles of which nothing was published for a day, or nothing is left; returns how many."""
        old = await asyncio.to_thread(self._old)
        if not old:
            return 0
        # No publication takes one for granted meanwhile: it waits at the gate, and finds it gone or put anew.
        async with Gate(self._bundles.gate).alone(seconds=_GATE_SECONDS), self._database.reading() as session:
            needed = await hub_store.bundles_in_use(session, old)
            return await asyncio.to_thread(self._remove, sorted(frozenset(await asyncio.to_thread(self._old)) - needed))

    def _old(self) -> list[BundleDigest]:
        now = time.time()
        return [one for one in self._bundles.digests() if now - (self._bundles.last_put(one) or now) > _SETTLED_SECONDS]

    def _remove(self, digests: Iterable[BundleDigest]) -> int:
        gone = 0
        for one in digests:
            self._bundles.remove(one)
            gone += 1
        return gone

    async def places(self, files: Iterable[BundleFile], *, workspace: WorkspaceId) -> dict[str, Path]:
        """By SHA-256: where files lie, that the workspace sent, or that are published and may be read."""
        wanted = sorted({one.sha256 for one in files})
        found = await asyncio.to_thread(
            lambda: {
                one: place for one in wanted if (place := self._incoming.whole(one, workspace=workspace)) is not None
            }
        )
        async with self._database.reading() as session:
            for sha256 in wanted:
                if sha256 not in found and (kept := (await self._kept(session, sha256))[0]) is not None:
                    found[sha256] = kept[1]
        return found

    async def manifest(self, key: str) -> tuple[BundleFile, ...]:
        """The files of a version that may be installed. Raises ``NotFoundError`` for any other."""
        entry_id(EntryKind.VERSION, key)
        async with self._database.reading() as session:
            version = await hub_store.version(session, key)
            found = await standing.standing_of(session, self._ground.id, key)
            if version is None or version.deleted or not found.installable:
                raise NotFoundError(f"there is no version {key} to be installed")
            return await hub_store.files_of(session, key)

    async def folder(self, key: str) -> tuple[Path, Bundle]:
        """A version that may be installed, whole: where it lies, and what it is. Raises ``NotFoundError``."""
        files = await self.manifest(key)
        async with self._database.reading() as session:
            version = await hub_store.version(session, key)
        if version is None:
            raise NotFoundError(f"there is no version {key} to be installed")
        return await self.place(version.bundle), Bundle(version.bundle, files, sum(one.size for one in files))

    async def place(self, bundle: BundleDigest) -> Path:
        """Where a published bundle is kept, whoever may read it. Raises ``ElsewhereError``."""
        try:
            return await asyncio.to_thread(self._bundles.path, bundle)
        except NotFoundError as error:
            raise ElsewhereError(f"{bundle} is not in this home") from error

    async def body(self, session: Session, key: str) -> str:
        """A version's SKILL.md behind the frontmatter; nothing where it lies in another home."""
        version = await hub_store.version(session, key)
        if version is None or not await asyncio.to_thread(self._bundles.has, version.bundle):
            return ""
        folder = self._bundles.path(version.bundle)
        return (await asyncio.to_thread(read_manifest, folder, Tolerance(ParseMode.LENIENT))).body

    async def report(self, session: Session, key: str) -> Report:
        """The report that a version was published with, whatever is said of the version since."""
        version = await hub_store.version(session, key)
        if version is None or version.deleted:
            raise NotFoundError(f"there is no version {key}")
        return report_from_json((await hub_store.report_json(session, key)).encode())

    async def file(self, sha256: str) -> tuple[BundleFile, Path]:
        """A file of some version that may be installed, and where it lies. Raises ``NotFoundError``."""
        async with self._database.reading() as session:
            kept, elsewhere = await self._kept(session, sha256)
        if kept is not None:
            return kept
        if elsewhere is not None:
            raise ElsewhereError(f"{elsewhere.bundle} is not in this home")
        raise NotFoundError("no version that may be installed holds this file")

    async def _kept(self, session: Session, sha256: str) -> tuple[tuple[BundleFile, Path] | None, Holder | None]:
        """A file of the first version that may be installed and is in this home, and where it lies. Without one:
        a version that may be installed, and is not."""
        below: str | None = None
        elsewhere: Holder | None = None
        for _ in range(_MOST_PAGES):
            page = await hub_store.holders(session, sha256, below=below, limit=_HOLDERS)
            if not page:
                break
            last = standing.levels(page[-1].key)
            found = await standing.standings(session, self._ground.id, {*last, *(one.key for one in page)})
            for one in page:
                if not found[one.key].installable:
                    continue
                place = await asyncio.to_thread(self._place, one)
                if place is not None:
                    return (one.file, place), None
                elsewhere = elsewhere or one
            # What lies below a publisher or a skill that is held or stopped is skipped, however much it is: nobody
            # hides the files of others behind their own.
            closed = next((one for one in last if not found[one].installable), last[-1])
            below = {1: f"{closed}/", 2: f"{closed}@"}.get(len(standing.levels(closed)), closed)
        return None, elsewhere

    def _place(self, holder: Holder) -> Path | None:
        if not self._bundles.has(holder.bundle):
            return None
        place = self._bundles.path(holder.bundle) / holder.file.path
        return place if place.is_file() else None
