"""Published versions as archives with a known digest, for installers that read an index.

An archive's digest is found out when its version is published, and kept in the database: an index is made without any
files, and every server over one database makes the same. Of what an older release published it is found out by a
server whose home has the bundle: when an index wants it, or by upkeep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from pathlib import Path

import structlog

from skillyard.database import Database
from skillyard.errors import MachineError, NotFoundError
from skillyard.ids import BundleDigest
from skillyard.marketplace_sync.hub import archive
from skillyard.marketplace_sync.hub import store as hub_store
from skillyard.marketplace_sync.hub.versions import ElsewhereError, VersionFiles
from skillyard.skills.skill import Bundle

_PAGE = 500

_log = structlog.get_logger("skillyard.marketplace")


class Archives:
    """Archives of the versions of ``files``."""

    def __init__(self, *, database: Database, files: VersionFiles) -> None:
        self._database = database
        self._files = files

    async def digests(self, keys: Collection[str]) -> Mapping[str, str]:
        """By version, the SHA-256 of its archive. Those are left out of which nobody here can tell it."""
        async with self._database.reading() as session:
            bundles = await hub_store.bundles_of(session, keys)
            known = await hub_store.archives(session, set(bundles.values()))
        new = await self._find_out(sorted(set(bundles.values()) - known.keys()))
        return {key: found for key, one in bundles.items() if (found := known.get(one) or new.get(one)) is not None}

    async def complete(self) -> int:
        """Find out what is not known yet of bundles in this home; returns how many it was of."""
        found, after = 0, ""
        while True:
            async with self._database.reading() as session:
                page = await hub_store.without_archive(session, after=after, limit=_PAGE)
            found += len(await self._find_out(page))
            if len(page) < _PAGE:
                return found
            after = page[-1]

    async def find(self, key: str, digest: str) -> tuple[Path, Bundle]:
        """The version that an archive is of. Raises ``NotFoundError`` unless it may be installed and is what the digest
        names, ``ElsewhereError`` where another home has it."""
        folder, bundle = await self._files.folder(key)
        async with self._database.reading() as session:
            known = await hub_store.archives(session, (bundle.digest,))
        if known.get(bundle.digest) != digest:
            raise NotFoundError(f"there is no archive of {key} with this digest")
        return folder, bundle

    async def read(self, folder: Path, bundle: Bundle) -> Iterator[bytes]:
        """The archive piece by piece. All of it is packed and compared before the first. Raises ``MachineError``."""
        return await asyncio.to_thread(_begun, folder, bundle)

    async def _find_out(self, bundles: Collection[BundleDigest]) -> Mapping[BundleDigest, str]:
        if not bundles:
            return {}
        found: dict[BundleDigest, str] = {}
        async with self._database.reading() as session:
            versions = {one.bundle: one.key for one in await hub_store.versions_with(session, bundles)}
        for bundle, key in versions.items():
            try:
                found[bundle] = await self._packed(bundle, key)
            except ElsewhereError:
                continue  # The server that has it finds it out.
            except MachineError as error:
                _log.warning("archive_not_packed", version=key, bundle=bundle, reason=str(error))
        if found:
            async with self._database.transaction() as session:
                await hub_store.add_archives(session, found)
        return found

    async def _packed(self, digest: BundleDigest, key: str) -> str:
        folder = await self._files.place(digest)
        async with self._database.reading() as session:
            files = await hub_store.files_of(session, key)
        bundle = Bundle(digest, files, sum(one.size for one in files))
        return await asyncio.to_thread(archive.digest, folder, bundle)


def _begun(folder: Path, bundle: Bundle) -> Iterator[bytes]:
    chunks = archive.chunks(folder, bundle)
    return chain((next(chunks),), chunks)
