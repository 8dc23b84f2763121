"""The files of published versions: what is kept of them in this home, and who may read which."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from skillyard.database import Database, Session
from skillyard.errors import MachineError, NotFoundError
from skillyard.governance.report import Report
from skillyard.governance.report_json import report_from_json
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.catalogue import standing
from skillyard.marketplace_sync.catalogue.entry import EntryKind, entry_id
from skillyard.marketplace_sync.hub import store as hub_store
from skillyard.marketplace_sync.hub.ground import Ground
from skillyard.marketplace_sync.hub.incoming import Incoming
from skillyard.marketplace_sync.hub.values import HubVersion
from skillyard.skills.bundle_store import BundleStore
from skillyard.skills.skill import Bundle, BundleFile

_MOST_HOLDERS = 50
"""Versions that hold one file, of which the first that may be read is taken."""


class ElsewhereError(MachineError):
    """The bytes are in the home of another server over this database, and not in this one's."""

    code = "file_elsewhere"


class VersionFiles:
    """Bundles of published versions, apart from those that workspaces installed: nothing collects them."""

    def __init__(self, *, database: Database, ground: Ground, bundles: BundleStore, incoming: Incoming) -> None:
        self._database = database
        self._ground = ground
        self._bundles = bundles
        self._incoming = incoming

    def keep(self, folder: Path, bundle: Bundle) -> Path:
        """Where the bundle is kept from now on. Blocks on disk."""
        return self._bundles.put(folder, bundle)

    async def places(self, files: Iterable[BundleFile], *, workspace: WorkspaceId) -> dict[str, Path]:
        """By SHA-256: where files lie, that the workspace sent, or that are published and may be read."""
        wanted = sorted({one.sha256 for one in files})
        found = await asyncio.to_thread(
            lambda: {
                one: place for one in wanted if (place := self._incoming.whole(one, workspace=workspace)) is not None
            }
        )
        async with self._database.reading() as session:
            kept = await self._readable(session, [one for one in wanted if one not in found])
        for sha256, (version, file) in kept.items():
            place = await asyncio.to_thread(self._place, version, file)
            if place is not None:
                found[sha256] = place
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
        if not await asyncio.to_thread(self._bundles.has, version.bundle):
            raise ElsewhereError(f"{version.bundle} is not in this home")
        return self._bundles.path(version.bundle), Bundle(version.bundle, files, sum(one.size for one in files))

    async def report(self, session: Session, key: str) -> Report:
        """The report that a version was published with, whatever is said of the version since."""
        version = await hub_store.version(session, key)
        if version is None or version.deleted:
            raise NotFoundError(f"there is no version {key}")
        return report_from_json((await hub_store.report_json(session, key)).encode())

    async def file(self, sha256: str) -> tuple[BundleFile, Path]:
        """A file of some version that may be installed, and where it lies. Raises ``NotFoundError``."""
        async with self._database.reading() as session:
            kept = await self._readable(session, [sha256])
        if sha256 not in kept:
            raise NotFoundError("no version that may be installed holds this file")
        version, file = kept[sha256]
        place = await asyncio.to_thread(self._place, version, file)
        if place is None:
            raise ElsewhereError(f"{version.bundle} is not in this home")
        return file, place

    async def _readable(self, session: Session, digests: Sequence[str]) -> dict[str, tuple[HubVersion, BundleFile]]:
        held = await hub_store.holders(session, digests, limit=_MOST_HOLDERS)
        keys = {version.key for of_file in held.values() for version, _ in of_file}
        found = await standing.standings(session, self._ground.id, keys)
        readable = {}
        for sha256, of_file in held.items():
            for version, file in of_file:
                if found[version.key].installable:
                    readable[sha256] = version, file
                    break
        return readable

    def _place(self, version: HubVersion, file: BundleFile) -> Path | None:
        if not self._bundles.has(version.bundle):
            return None
        place = self._bundles.path(version.bundle) / file.path
        return place if place.is_file() else None
