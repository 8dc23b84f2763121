"""Publishing a version: put together, parsed strictly, resolved, scanned, and only then visible, all at once.

What a version is, is said by this hub: digest, lock, verdict are its own. A publisher sends files, a signature and a
channel. BLOCK and INDETERMINATE are refused, and nothing of them stays but the record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semver import Version

from skillyard.database import Session
from skillyard.governance import audit
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.report import Verdict
from skillyard.governance.signing import PublicKey
from skillyard.json_value import JsonValue
from skillyard.marketplace_sync.catalogue import standing
from skillyard.marketplace_sync.catalogue.documents import (
    ModerationState,
    PublisherDocument,
    SkillDocument,
    VersionDocument,
)
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind, entry_id
from skillyard.marketplace_sync.catalogue.statement import Statement, read_statement
from skillyard.marketplace_sync.errors import DocumentError, HubBusyError, RemovedError, ReservedError
from skillyard.marketplace_sync.hub import archive
from skillyard.marketplace_sync.hub import store as hub_store
from skillyard.marketplace_sync.hub.assembly import AssembledSource, FilesGoneError, require_manifest, same_files
from skillyard.marketplace_sync.hub.ground import Ground
from skillyard.marketplace_sync.hub.listing import Listing, NewVersion, WhyHeld
from skillyard.marketplace_sync.hub.values import HubVersion, Sender, WantedVersion
from skillyard.marketplace_sync.hub.versions import VersionFiles
from skillyard.runtime import bundle_stops
from skillyard.runtime.errors import ReportRefusedError
from skillyard.runtime.install import Prepared
from skillyard.runtime.runtime import Runtime
from skillyard.skills.errors import SkillError
from skillyard.skills.frontmatter import FILE
from skillyard.skills.manifest import read_manifest
from skillyard.skills.skill import BundleFile, ParseMode
from skillyard.skills.tolerance import Tolerance
from skillyard.times import utcnow

_AT_ONCE = 2
"""Publications that are scanned at the same time in one process; more wait."""
_MOST_WAITING = 32
"""Those included that are being scanned; more are told to come again."""
_LOOKS = 3
"""How often the files of a version are looked for, where some go away as they are being read."""


@dataclass(frozen=True, slots=True)
class Published:
    """A version that is in the catalogue; ``created`` is false where it was there before, just so."""

    entry: Entry
    created: bool


@dataclass(frozen=True, slots=True)
class MissingFiles:
    """SHA-256 of files that have to be sent first."""

    sha256: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was found out of a version: with the body of SKILL.md, and the SHA-256 of its archive."""

    prepared: Prepared
    body: str
    archive: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A version that was looked at and may be written down."""

    key: str
    wanted: WantedVersion
    scanned: Scanned
    held: WhyHeld


class Publishing:
    """Publishes versions. The scan runs outside any transaction; what it was based on is looked at again inside."""

    def __init__(self, *, runtime: Runtime, ground: Ground, files: VersionFiles, listing: Listing) -> None:
        self._runtime = runtime
        self._ground = ground
        self._files = files
        self._listing = listing
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def prepare(
        self, sender: Sender, key: str, wanted: WantedVersion, files: Sequence[BundleFile]
    ) -> Ready | Published | MissingFiles:
        """Everything that needs no transaction. Raises ``NotAllowedError``, ``ReservedError``, ``RemovedError``,
        ``ReportRefusedError``, and what parsing and resolving raise."""
        id_ = entry_id(EntryKind.VERSION, key)
        require_manifest(files)
        if not Version.is_valid(key.partition("@")[2]):
            raise DocumentError("not a Semantic Version, for example 1.0.0", field="key")
        async with self._runtime.database.reading() as session:
            await self._require_open(session, sender, key)
            known = await self._known(session, id_, wanted, files)
            held = await self._listing.why_held(session, key.partition("@")[0])
            if known is None:
                await self._stated(session, key, wanted.signature)
        if known is not None:
            return known
        left = _LOOKS
        while True:
            left -= 1
            places = await self._files.places(files, workspace=sender.workspace)
            missing = sorted({one.sha256 for one in files} - places.keys())
            if missing:
                return MissingFiles(tuple(missing))
            try:
                scanned = await self._in_turn(sender, key, files, places)
            except FilesGoneError:
                # Another publication of the workspace had one of them too, and is through: it is there under its name.
                if not left:
                    raise
            else:
                return Ready(key, wanted, scanned, held)

    async def _in_turn(
        self, sender: Sender, key: str, files: Sequence[BundleFile], places: Mapping[str, Path]
    ) -> Scanned:
        if self._waiting >= _MOST_WAITING:
            raise HubBusyError(f"{self._waiting} publications wait already; try again later")
        self._waiting += 1
        try:
            async with self._turns:
                return await self._scanned(sender, key, files, places)
        finally:
            self._waiting -= 1

    async def write(self, session: Session, sender: Sender, ready: Ready) -> Published:
        """Make it visible, in the caller's transaction: version, skill, channel, and whether it is held."""
        key, prepared = ready.key, ready.scanned.prepared
        await self._require_open(session, sender, key)
        id_ = EntryId(EntryKind.VERSION, key)
        known = await self._known(session, id_, ready.wanted, prepared.skill.bundle.files)
        if known is not None:
            return known
        stop = await bundle_stops.standing(session, sender.workspace, prepared.skill.bundle.digest)
        if stop is not None:
            raise RemovedError(f"this very content is {stop.state.value} here: {stop.reason}")
        await self._require_signer(session, ready)
        now = utcnow()
        kept = HubVersion(
            key=key,
            bundle=prepared.skill.bundle.digest,
            workspace=sender.workspace,
            published_by=sender.id,
            published_at=now,
            deleted=False,
        )
        new = NewVersion(kept, prepared, ready.wanted, ready.scanned.body, ready.scanned.archive, ready.held)
        entry = await self._listing.add(session, new, at=now)
        facts: dict[str, JsonValue] = {
            "bundle": kept.bundle,
            "verdict": prepared.report.verdict.name,
            "signed": ready.wanted.signature is not None,
            **sender.facts,
        }
        await self._record(session, sender, Action.MARKET_PUBLISHED, key, facts)
        return Published(entry, created=True)

    async def _scanned(
        self,
        sender: Sender,
        key: str,
        files: Sequence[BundleFile],
        places: Mapping[str, Path],
    ) -> Scanned:
        skill_key, _, number = key.partition("@")
        name = skill_key.partition("/")[2]
        source = AssembledSource(name, files, places, origin=f"marketplace:{key}")
        prepared = await self._runtime.prepare(source, mode=ParseMode.STRICT)
        skill = prepared.skill
        if not same_files(skill.bundle.files, files):
            raise DocumentError("the files that were sent are not those of the manifest", field="files")
        if skill.name != name:
            raise SkillError(f"is {skill.name!r}, published as {name!r}", file=FILE, field="name")
        if not skill.version_declared or skill.version != number:
            found = skill.version if skill.version_declared else "not there"
            raise SkillError(f"is {found}, published as {number}", file=FILE, field="metadata.version")
        if prepared.report.verdict >= Verdict.INDETERMINATE:
            await self._refuse(sender, key, prepared)
        kept = await asyncio.to_thread(self._files.keep, self._runtime.bundles.path(skill.bundle.digest), skill.bundle)
        manifest = await asyncio.to_thread(read_manifest, kept, Tolerance(ParseMode.LENIENT))
        return Scanned(prepared, manifest.body, await asyncio.to_thread(archive.digest, kept, skill.bundle))

    async def _refuse(self, sender: Sender, key: str, prepared: Prepared) -> None:
        report = prepared.report
        facts: dict[str, JsonValue] = {
            "bundle": report.bundle_digest,
            "verdict": report.verdict.name,
            "reasons": report.reasons[:20],
            **sender.facts,
        }
        async with self._runtime.database.transaction() as session:
            await self._record(session, sender, Action.MARKET_PUBLISH_REFUSED, key, facts)
        raise ReportRefusedError(report)

    async def _require_open(self, session: Session, sender: Sender, key: str) -> None:
        """The sender publishes there, and no moderator closed it."""
        skill = key.partition("@")[0]
        publisher = skill.partition("/")[0]
        await self._ground.require_owner(session, sender, publisher)
        found = await standing.standing_of(session, self._ground.id, skill)
        if found.stop is not None:
            raise RemovedError(f"{skill} is {found.stop.value} by a moderator: {found.stop_reason}")
        if found.state is ModerationState.DELETED and not await self._listing.deleted_by_publisher(session, skill):
            raise RemovedError(f"{skill} is deleted by a moderator: {found.reason}")

    async def _known(
        self, session: Session, id_: EntryId, wanted: WantedVersion, files: Sequence[BundleFile]
    ) -> Published | None:
        """The version as it is there, where it is the same. Raises ``ReservedError`` for any other."""
        before = await hub_store.version(session, id_.key)
        if before is None:
            return None
        if before.deleted:
            raise ReservedError(f"{id_.key} was published and deleted; its number is never given again")
        if not same_files(await hub_store.files_of(session, id_.key), files):
            raise ReservedError(f"{id_.key} is published with other content; a version never changes: give it another")
        entry, document = await self._ground.document(session, id_, VersionDocument)
        if wanted.signature is not None and wanted.signature != document.signature:
            raise ReservedError(f"{id_.key} is published with another signature, or with none; a version never changes")
        _, skill = await self._ground.document(session, EntryId(EntryKind.SKILL, before.skill), SkillDocument)
        if wanted.channel is not None and skill.channels.get(wanted.channel) != before.number:
            raise DocumentError(f"{id_.key} is published; move the channel {wanted.channel} to it", field="channel")
        return Published(entry, created=False)

    async def _require_signer(self, session: Session, ready: Ready) -> None:
        """Looked at before the scan as well, when the bundle was not known yet."""
        stated = await self._stated(session, ready.key, ready.wanted.signature)
        if stated is not None and stated.bundle != ready.scanned.prepared.skill.bundle.digest:
            raise DocumentError(f"is about {stated.version} ({stated.bundle})", field="signature")

    async def _stated(self, session: Session, key: str, signature: str | None) -> Statement | None:
        """A publisher who has keys signs with one of them; a signature by nobody we know is refused."""
        publisher = EntryId(EntryKind.PUBLISHER, key.partition("/")[0])
        _, document = await self._ground.document(session, publisher, PublisherDocument)
        keys = [PublicKey(bytes.fromhex(one.key)) for one in document.keys if one.revoked_at is None]
        if signature is None:
            if keys:
                raise DocumentError("this publisher signs its versions", field="signature")
            return None
        stated, _ = read_statement(signature, keys)
        if stated.version != key:
            raise DocumentError(f"is about {stated.version} ({stated.bundle})", field="signature")
        return stated

    async def settled(self, sender: Sender, files: Sequence[BundleFile]) -> None:
        """It is published: what was sent for it is not needed any more. Call it once that is committed."""
        await self._files.forget_sent(files, workspace=sender.workspace)

    @staticmethod
    async def _record(
        session: Session, sender: Sender, action: Action, key: str, facts: Mapping[str, JsonValue]
    ) -> None:
        await audit.append(session, AuditRecord(sender.workspace, utcnow(), sender.actor, action, key, facts))
