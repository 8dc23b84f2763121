"""Two bundles under one number: what differs, and the version that comes after both.

A number that is given stays with its bundle. Where ours is to go up all the same, it goes up as the next patch above
both: as it is, or with the remote's files merged in where no file was changed by both. Those are signed by us and
published in our name, so they have to be what anybody would install: of the bundle that the remote's signed feed names,
and by the signer that is believed here. What comes out is parsed, resolved and scanned like anything that is published.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import orjson

from skillyard.database import Database, Session
from skillyard.errors import MachineError, NotFoundError, SkillyardError
from skillyard.marketplace_sync.catalogue import store as catalogue_store
from skillyard.marketplace_sync.catalogue.documents import PublisherDocument, VersionDocument, read_document
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind, canonical
from skillyard.marketplace_sync.conflicts.detect import VersionFacts, detect_version
from skillyard.marketplace_sync.conflicts.finding import ConflictUndecidedError, Sides
from skillyard.marketplace_sync.conflicts.merge import merge_map, next_version
from skillyard.marketplace_sync.conflicts.settle import Send, Settlement, TakeTheirs, Wait
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.errors import RemoteAnswerError, RemoteError, RemoteRefusedError
from skillyard.marketplace_sync.follower.address import RemoteAddress
from skillyard.marketplace_sync.follower.choice import choose
from skillyard.marketplace_sync.follower.signers import Signers
from skillyard.marketplace_sync.follower.source import RemoteSource
from skillyard.marketplace_sync.hub.assembly import AssembledSource
from skillyard.marketplace_sync.remotes.remote import Remote, RemoteMarket
from skillyard.marketplace_sync.upwards.manifest import Manifest, kept_files, read_manifest
from skillyard.marketplace_sync.upwards.publishing import Publisher
from skillyard.marketplace_sync.upwards.values import Upload, UploadDraft
from skillyard.skills.bundle import make_bundle
from skillyard.skills.frontmatter import FILE
from skillyard.skills.normalise import normalise
from skillyard.skills.skill import BundleFile
from skillyard.skills.sources.folder import FolderSource


@dataclass(frozen=True, slots=True)
class Collision:
    """A conflict about a version, and what the remote's strategy makes of it."""

    sides: Sides
    settlement: Settlement


class Collisions:
    """Looks at both bundles. Talks to the remote: never inside a transaction."""

    def __init__(
        self,
        *,
        database: Database,
        publisher: Publisher,
        connect: Callable[[RemoteMarket], Remote],
        oldest: timedelta,
    ) -> None:
        """``oldest`` is how long ago the mirror of a remote may have been read whose files are merged."""
        self._database = database
        self._publisher = publisher
        self._outgoing = publisher.outgoing
        self._connect = connect
        self._signers = Signers(database=database)
        self._oldest = oldest

    async def look(self, remote: RemoteMarket, client: Remote, upload: Upload, current: Entry) -> Collision:
        """The remote has another bundle under the number of an upload. Raises ``RemoteError``, and
        ``ConflictUndecidedError`` where it is the same bundle."""
        ours = read_manifest(upload.manifest_json or "")
        local = read_document(VersionDocument, upload.document or "")
        theirs = read_document(VersionDocument, current.document or "")
        files = await _files(client, current.id)
        hashes = None if files is None else {path: file.sha256 for path, file in files.items()}
        same_manifest = hashes is not None and hashes.get(FILE) == ours.hashes.get(FILE)
        mine = VersionFacts.of(local, ours.hashes, None if same_manifest else ours.parameters)
        difference = detect_version(mine, VersionFacts.of(theirs, hashes))
        if difference is None:
            raise ConflictUndecidedError(f"{upload.key} is the same bundle on both sides")
        sides = Sides(
            difference=difference,
            key=upload.key,
            base=None,
            local=_shown(upload.document or "", ours.hashes),
            theirs=_shown(current.document or "", hashes),
            rev=current.rev,
        )
        return Collision(sides, await self._settlement(remote, upload, sides))

    async def successor(self, remote: RemoteMarket, upload: Upload, strategy: Strategy) -> UploadDraft:
        """See ``Successors``. Raises ``RemoteError`` beside, and what is wrong with the skill that comes out."""
        skill, _, number = upload.key.partition("@")
        publisher, _, name = skill.partition("/")
        ours = read_manifest(upload.manifest_json or "")
        following = next_version(number, number, await self._taken(remote, skill))
        channel = orjson.loads(upload.document or "{}").get("channel")
        async with self._database.reading() as session:
            keys = await signing_keys(session, remote, publisher)
        kept = await asyncio.to_thread(kept_files, self._outgoing, ours)
        files, places = ours.files, {file.sha256: kept / file.path for file in ours.files}
        with tempfile.TemporaryDirectory(prefix="skillyard-merge-") as scratch:
            if strategy is Strategy.MERGE:
                files, places = await self._merged(remote, upload.key, ours, places, Path(scratch))
            made = Path(scratch) / "made"
            made.mkdir()
            fetched = await AssembledSource(name, files, places, origin=f"collision:{upload.key}").fetch(made)
            await asyncio.to_thread(_renumber, fetched.folder, following)
            version = await self._publisher.prepared(FolderSource(fetched.folder))
        return await self._publisher.draft(
            version,
            workspace=remote.workspace,
            publisher=publisher,
            channel=channel,
            created_by=upload.created_by,
            base=number,
            keys=keys,
        )

    async def _settlement(self, remote: RemoteMarket, upload: Upload, sides: Sides) -> Settlement:
        match remote.strategy:
            case Strategy.REMOTE_WINS:
                return TakeTheirs(sides.theirs)
            case Strategy.MANUAL:
                return Wait("this remote's conflicts are settled by hand")
            case strategy:
                try:
                    draft = await self.successor(remote, upload, strategy)
                except (RemoteError, MachineError):
                    # Neither says anything about what was to be made of both.
                    raise
                except SkillyardError as error:
                    return Wait(str(error))
                return Send(draft.document or "", draft)

    async def _taken(self, remote: RemoteMarket, skill: str) -> list[str]:
        async with self._database.reading() as session:
            found = await catalogue_store.with_prefix(session, remote.catalogue, EntryKind.VERSION, f"{skill}@")
        return [one.id.key.partition("@")[2] for one in found]

    async def _merged(
        self, remote: RemoteMarket, key: str, ours: Manifest, here: Mapping[str, Path], scratch: Path
    ) -> tuple[tuple[BundleFile, ...], dict[str, Path]]:
        """Our files with the remote's, where ours are as they were, and where each lies by its SHA-256. Raises
        ``ConflictUndecidedError``."""
        theirs, places = await self._promised(remote, key, here, scratch / "theirs")
        skill, _, number = key.partition("@")
        base: tuple[BundleFile, ...] = ()
        if ours.base is not None and ours.base != number:
            base, _ = await self._promised(remote, f"{skill}@{ours.base}", {**here, **places}, scratch / "base")
        was, local, there = (
            {file.path: (file.sha256, file.executable) for file in files} for files in (base, ours.files, theirs)
        )
        merged = merge_map(was, local, there)
        if merged.clashes:
            raise ConflictUndecidedError(f"both changed {', '.join(merged.clashes[:5])}")
        sizes = {file.sha256: file.size for file in (*ours.files, *theirs)}
        files = [
            BundleFile(path, sha256, sizes[sha256], executable) for path, (sha256, executable) in merged.values.items()
        ]
        return tuple(files), {**here, **places}

    async def _promised(
        self, remote: RemoteMarket, key: str, here: Mapping[str, Path], into: Path
    ) -> tuple[tuple[BundleFile, ...], dict[str, Path]]:
        """A version of the remote, as one that is installed: what its signed feed promised, from its publisher."""
        skill, _, number = key.partition("@")
        publisher, _, name = skill.partition("/")
        try:
            async with self._database.reading() as session:
                address = RemoteAddress(remote.name, publisher, name, number)
                choice = await choose(session, remote.workspace, address, oldest=self._oldest)
        except NotFoundError as error:
            raise ConflictUndecidedError(f"nothing can be merged: {error}; sync first") from error
        await self._signers.require(choice)
        await asyncio.to_thread(into.mkdir)
        fetched = await RemoteSource(choice, connect=self._connect, here=here).fetch(into)
        bundle = await asyncio.to_thread(make_bundle, fetched.folder)
        return bundle.files, {file.sha256: fetched.folder / file.path for file in bundle.files}


async def signing_keys(session: Session, remote: RemoteMarket, publisher: str) -> tuple[str, ...]:
    """The keys that a publisher signs with at a remote, as far as the mirror knows."""
    entry = await catalogue_store.get(session, remote.catalogue, EntryId(EntryKind.PUBLISHER, publisher))
    if entry is None or entry.document is None:
        return ()
    document = read_document(PublisherDocument, entry.document)
    return tuple(one.key for one in document.keys if one.revoked_at is None)


def _renumber(folder: Path, number: str) -> None:
    text, _ = normalise(folder, version=number)
    (folder / FILE).write_text(text, encoding="utf-8")


async def _files(client: Remote, version: EntryId) -> Mapping[str, BundleFile] | None:
    """The remote's files; ``None`` where it does not tell."""
    try:
        return {file.path: file for file in await client.manifest(version)}
    except (RemoteAnswerError, RemoteRefusedError):
        return None


def _shown(document: str, files: Mapping[str, str] | None) -> str:
    """A version's document with its files, as conflicts keep it."""
    value = {name: one for name, one in orjson.loads(document).items() if name != "signature"}
    return canonical(value if files is None else {**value, "files": dict(files)})
