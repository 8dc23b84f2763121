"""A skill of a remote as a ``Source``: what is missing here is fetched, and the whole has to be the bundle that was
promised before anybody looks into it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from skillyard.ids import BundleDigest
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind
from skillyard.marketplace_sync.errors import DocumentError, RemoteAnswerError, RemoteUnavailableError
from skillyard.marketplace_sync.follower.choice import Choice
from skillyard.marketplace_sync.hub.assembly import AssembledSource, require_manifest
from skillyard.marketplace_sync.remotes.remote import Remote, RemoteMarket
from skillyard.skills.bundle import MAX_BUNDLE_BYTES, make_bundle
from skillyard.skills.skill import BundleFile
from skillyard.skills.source import Fetched
from skillyard.skills.sources.staging import emptied_on_failure

_AT_ONCE: Final = 4
_TRIES: Final = 3
_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
_INCOMING: Final = ".incoming"


class RemoteSource:
    """The ``Source`` of a chosen version. ``connect`` gives a client, which is closed again; ``here`` says where files
    lie that this machine has, by SHA-256."""

    def __init__(self, choice: Choice, *, connect: Callable[[RemoteMarket], Remote], here: Mapping[str, Path]) -> None:
        self._choice = choice
        self._connect = connect
        self.here = here

    async def fetch(self, into: Path) -> Fetched:
        """See ``Source``. Raises ``RemoteError`` and its kinds beside."""
        choice = self._choice
        async with emptied_on_failure(into):
            incoming = into / _INCOMING
            incoming.mkdir()
            client = self._connect(choice.remote)
            try:
                files = await self._manifest(client)
                places = await self._places(client, files, incoming)
            finally:
                await client.close()
            source = AssembledSource(choice.name, files, places, origin=choice.origin)
            fetched = await source.fetch(into)
            await asyncio.to_thread(shutil.rmtree, incoming)
            bundle = await asyncio.to_thread(make_bundle, fetched.folder)
            if bundle.digest != choice.document.bundle:
                raise RemoteAnswerError(
                    f"the files of {choice.key} make {bundle.digest}, and not {choice.document.bundle} as promised"
                )
        return fetched

    async def _manifest(self, client: Remote) -> tuple[BundleFile, ...]:
        files = await client.manifest(EntryId(EntryKind.VERSION, self._choice.key))
        try:
            require_manifest(files)
        except DocumentError as error:
            raise RemoteAnswerError(f"the files of {self._choice.key}: {error}") from error
        size = sum(file.size for file in files)
        if size > MAX_BUNDLE_BYTES or size != self._choice.document.bundle_bytes:
            promised = self._choice.document.bundle_bytes
            raise RemoteAnswerError(
                f"the files of {self._choice.key} have {size} bytes, and not {promised} as promised"
            )
        return files

    async def _places(self, client: Remote, files: Sequence[BundleFile], incoming: Path) -> dict[str, Path]:
        places = {file.sha256: self.here[file.sha256] for file in files if file.sha256 in self.here}
        missing = {file.sha256: file for file in files if file.sha256 not in places}
        turns = asyncio.Semaphore(_AT_ONCE)

        async def bring(file: BundleFile) -> None:
            async with turns:
                await self._bring(client, file, incoming / file.sha256)

        tasks = [asyncio.create_task(bring(file)) for file in missing.values()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            # Nobody writes into the folder any more once this is left.
            await asyncio.gather(*tasks, return_exceptions=True)
        return places | {sha256: incoming / sha256 for sha256 in missing}

    async def _bring(self, client: Remote, file: BundleFile, place: Path) -> None:
        bundle = BundleDigest(self._choice.document.bundle)
        for left in reversed(range(_TRIES)):
            try:
                # What an earlier try brought is gone on from.
                await client.fetch_file(file, place, bundle=bundle)
            except RemoteUnavailableError as error:
                if left == 0:
                    raise
                await asyncio.sleep(min(error.retry_after or _PAUSE, _LONGEST_PAUSE))
            else:
                return
