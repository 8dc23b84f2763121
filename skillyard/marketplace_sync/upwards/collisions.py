"""Two bundles under one number: what differs, and the version that comes after both.

A number that is given stays with its bundle. Where ours is to go up all the same, it goes up as the next patch above
both: as it is, or with the remote's files merged in where no file was changed by both. What comes out is parsed,
resolved and scanned like anything that is published.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from skillyard.database import Database, Session
from skillyard.errors import SkillyardError
from skillyard.ids import BundleDigest
from skillyard.marketplace_sync.catalogue import store as catalogue_store
from skillyard.marketplace_sync.catalogue.documents import PublisherDocument, VersionDocument, read_document
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind, canonical
from skillyard.marketplace_sync.conflicts.detect import VersionFacts, detect_version
from skillyard.marketplace_sync.conflicts.finding import ConflictUndecidedError, Sides
from skillyard.marketplace_sync.conflicts.merge import merge_map, next_version
from skillyard.marketplace_sync.conflicts.settle import Send, Settlement, TakeTheirs, Wait
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.errors import RemoteAnswerError, RemoteError, RemoteRefusedError
from skillyard.marketplace_sync.remotes.remote import Remote, RemoteMarket
from skillyard.marketplace_sync.upwards.manifest import Manifest, read_manifest
from skillyard.marketplace_sync.upwards.publishing import Publisher
from skillyard.marketplace_sync.upwards.values import Upload, UploadDraft
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
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._outgoing = publisher.outgoing
        self._connect = connect

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
        return Collision(sides, await self._settlement(remote, client, upload, sides))

    async def successor(self, remote: RemoteMarket, upload: Upload, strategy: Strategy) -> UploadDraft:
        """See ``Successors``; for who has no connection yet."""
        client = self._connect(remote)
        try:
            return await self._successor(remote, client, upload, strategy)
        finally:
            await client.close()

    async def _settlement(self, remote: RemoteMarket, client: Remote, upload: Upload, sides: Sides) -> Settlement:
        match remote.strategy:
            case Strategy.REMOTE_WINS:
                return TakeTheirs(sides.theirs)
            case Strategy.MANUAL:
                return Wait("this remote's conflicts are settled by hand")
            case strategy:
                try:
                    draft = await self._successor(remote, client, upload, strategy)
                except RemoteError:
                    raise
                except SkillyardError as error:
                    return Wait(str(error))
                return Send(draft.document or "", draft)

    async def _successor(self, remote: RemoteMarket, client: Remote, upload: Upload, strategy: Strategy) -> UploadDraft:
        skill, _, number = upload.key.partition("@")
        publisher, _, name = skill.partition("/")
        ours = read_manifest(upload.manifest_json or "")
        following = next_version(number, number, await self._taken(remote, skill))
        channel = orjson.loads(upload.document or "{}").get("channel")
        async with self._database.reading() as session:
            keys = await signing_keys(session, remote, publisher)
        with tempfile.TemporaryDirectory(prefix="skillyard-merge-") as scratch:
            folder = Path(scratch) / name
            await asyncio.to_thread(self._copy, ours, folder)
            if strategy is Strategy.MERGE:
                await self._merge_in(remote, client, upload.key, ours, folder)
            await asyncio.to_thread(_renumber, folder, following)
            version = await self._publisher.prepared(FolderSource(folder))
        return await self._publisher.draft(
            version,
            workspace=remote.workspace,
            publisher=publisher,
            channel=channel,
            created_by=upload.created_by,
            base=number,
            keys=keys,
        )

    async def _taken(self, remote: RemoteMarket, skill: str) -> list[str]:
        async with self._database.reading() as session:
            found = await catalogue_store.with_prefix(session, remote.catalogue, EntryKind.VERSION, f"{skill}@")
        return [one.id.key.partition("@")[2] for one in found]

    async def _merge_in(self, remote: RemoteMarket, client: Remote, key: str, ours: Manifest, folder: Path) -> None:
        """The remote's files, where ours are as they were. Raises ``ConflictUndecidedError``."""
        version = EntryId(EntryKind.VERSION, key)
        theirs = await client.manifest(version)
        base = await self._base(client, version, ours)
        was, local, there = (
            {file.path: (file.sha256, file.executable) for file in files} for files in (base, ours.files, theirs)
        )
        merged = merge_map(was, local, there)
        if merged.clashes:
            raise ConflictUndecidedError(f"both changed {', '.join(merged.clashes[:5])}")
        theirs_by_path = {file.path: file for file in theirs}
        digest = await self._digest(remote, version)
        for path in local.keys() | there.keys():
            target = folder / path
            if path not in merged.values:
                target.unlink(missing_ok=True)
            elif merged.values[path] != local.get(path):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                await client.fetch_file(theirs_by_path[path], target, bundle=digest)
                target.chmod(0o755 if theirs_by_path[path].executable else 0o644)

    async def _base(self, client: Remote, version: EntryId, ours: Manifest) -> tuple[BundleFile, ...]:
        skill, _, number = version.key.partition("@")
        if ours.base is None or ours.base == number:
            return ()
        return await client.manifest(EntryId(EntryKind.VERSION, f"{skill}@{ours.base}"))

    async def _digest(self, remote: RemoteMarket, version: EntryId) -> BundleDigest:
        async with self._database.reading() as session:
            entry = await catalogue_store.get(session, remote.catalogue, version)
        if entry is None or entry.document is None:
            raise ConflictUndecidedError(f"{version.key} is not in the mirror yet; sync first")
        return BundleDigest(read_document(VersionDocument, entry.document).bundle)

    def _copy(self, ours: Manifest, folder: Path) -> None:
        """A copy that can be written to: what is stored is read-only."""
        stored = self._outgoing.path(BundleDigest(ours.bundle))
        for file in ours.files:
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(stored / file.path, target)
            target.chmod(0o755 if file.executable else 0o644)


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
