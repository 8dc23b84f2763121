"""What a new version changes in the catalogue: its own entry, its skill's, and a moderation word where it is held."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from skillyard.database import Session
from skillyard.governance.report import Verdict
from skillyard.governance.report_json import report_to_json
from skillyard.marketplace_sync.catalogue.documents import (
    ModerationDocument,
    ModerationState,
    PackageFact,
    SkillDocument,
    VersionDocument,
    checked,
    moment,
    read_document,
)
from skillyard.marketplace_sync.catalogue.entry import MAX_DOCUMENT_BYTES, Entry, EntryId, EntryKind
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.hub import store as hub_store
from skillyard.marketplace_sync.hub.channels import LATEST, latest_of
from skillyard.marketplace_sync.hub.ground import Ground
from skillyard.marketplace_sync.hub.latest import Latest, Shown, printable, with_text
from skillyard.marketplace_sync.hub.lookalikes import lookalike
from skillyard.marketplace_sync.hub.values import HubVersion, WantedVersion
from skillyard.marketplace_sync.hub.words import HUB, PUBLISHER, is_by, listed_of, word_of
from skillyard.runtime.install import Prepared
from skillyard.runtime.stored import locks_to_json, skill_to_json
from skillyard.skills.lock import closure_digest

_MOST_PACKAGES = 400
_VERDICTS = {Verdict.PASS: "PASS", Verdict.FLAG: "FLAG"}
"""What may be published. No other verdict has a name here."""


@dataclass(frozen=True, slots=True)
class WhyHeld:
    """Why a skill that is not there yet will be held, as far as the catalogue was looked through: up to ``seq``."""

    seq: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version that was looked at. ``body`` is its SKILL.md behind the frontmatter, ``archive`` the SHA-256 of what it
    is packed into."""

    kept: HubVersion
    prepared: Prepared
    wanted: WantedVersion
    body: str
    archive: str
    held: WhyHeld


class Listing:
    """Writes versions into the catalogue, in the caller's transaction."""

    def __init__(self, *, ground: Ground, latest: Latest) -> None:
        self._ground = ground
        self._latest_text = latest

    async def add(self, session: Session, new: NewVersion, *, at: datetime) -> Entry:
        """The version's entry. The skill's is made with the first version, and follows the latest."""
        now = moment(at)
        version = EntryId(EntryKind.VERSION, new.kept.key)
        skill = EntryId(EntryKind.SKILL, new.kept.skill)
        before = await self._ground.entry(session, skill)
        changes = [
            Change(version, _version_document(new, now).text, base_rev=0),
            Change(skill, (await self._skill_document(session, new, before, now)).text),
        ]
        held = None if before is not None else (await self.why_held(session, new.kept.skill, since=new.held)).reason
        word = await word_of(session, self._ground.id, new.kept.skill)
        if held is not None or (word is not None and word.state is ModerationState.DELETED):
            state = ModerationState.VISIBLE if held is None else ModerationState.HELD
            epoch = (await self._ground.catalogue(session)).moderation + 1
            said = ModerationDocument(
                state=state, reason=held or "published again", actor=f"{HUB} {HUB}", epoch=epoch, at=now
            )
            changes.append(Change(EntryId(EntryKind.MODERATION, new.kept.skill), said.text))
        await hub_store.add_version(
            session,
            new.kept,
            report_json=report_to_json(new.prepared.report).decode(),
            skill_json=skill_to_json(new.prepared.skill),
            lock_json=locks_to_json(new.prepared.locks),
            files=new.prepared.skill.bundle.files,
        )
        await hub_store.add_archives(session, {new.kept.bundle: new.archive})
        _, written = await self._ground.change(session, changes, at=at, moderated=len(changes) > 2)
        return next(one for one in written if one.id == version)

    async def deleted_by_publisher(self, session: Session, skill: str) -> bool:
        """Whether the skill's own publisher took it away, so that it may come back with another version."""
        word = await word_of(session, self._ground.id, skill)
        return word is not None and word.state is ModerationState.DELETED and is_by(word, PUBLISHER)

    async def _skill_document(
        self, session: Session, new: NewVersion, before: Entry | None, now: datetime
    ) -> SkillDocument:
        number = new.kept.number
        skill = new.prepared.skill
        old = None if before is None or before.document is None else read_document(SkillDocument, before.document)
        channels = {} if old is None else dict(old.channels)
        if new.wanted.channel is not None:
            channels[new.wanted.channel] = number
        if new.wanted.channel is None or LATEST not in channels:
            channels[LATEST] = await self._latest(session, new.kept.skill, number)
        fields = {**({} if old is None else old.model_dump()), "channels": channels, "updated_at": now}
        if channels[LATEST] == number:
            return with_text(fields, Shown(skill.description, skill.license, printable(new.body)))
        made = checked(SkillDocument, fields)
        same = old is not None and old.channels.get(LATEST) == channels[LATEST]
        return made if same else await self._latest_text.following(session, new.kept.skill, made)

    async def _latest(self, session: Session, skill: str, number: str) -> str:
        """The highest release of those that are shown and the new one."""
        versions = [one for one in await hub_store.versions_below(session, skill) if not one.deleted]
        return latest_of([number, *await listed_of(session, self._ground.id, versions)]) or number

    async def why_held(self, session: Session, skill: str, *, since: WhyHeld | None = None) -> WhyHeld:
        """Why a new skill waits for a moderator: its name, or its publisher's, looks like another's.

        Of a large catalogue that takes a while, so it is done before the transaction; in it, ``since`` then.
        """
        seq = (await self._ground.catalogue(session)).seq
        if since is not None and since.reason is not None:
            return since
        if await self._ground.entry(session, EntryId(EntryKind.SKILL, skill)) is not None:
            return WhyHeld(seq, None)
        keys = await hub_store.skill_keys(session, self._ground.id, after=0 if since is None else since.seq)
        return WhyHeld(seq, await asyncio.to_thread(_resemblance, skill, keys))


def _resemblance(skill: str, keys: Sequence[str]) -> str | None:
    publisher, _, name = skill.partition("/")
    others: dict[str, str] = {}
    same: list[str] = []
    for key in keys:
        their, _, other = key.partition("/")
        if their != publisher:
            others.setdefault(other, key)
            if other == name:
                same.append(their)
    if (found := lookalike(name, others)) is not None:
        return f"the name looks like that of {others[found.popular]}: {name} {found.how}"[:500]
    if (like := lookalike(publisher, same)) is not None:
        return f"the name is that of {like.popular}/{name}, and {publisher} {like.how}"[:500]
    return None


def _version_document(new: NewVersion, now: datetime) -> VersionDocument:
    """Names as many packages as a document holds, and says how many there are. Raises ``DocumentError``."""
    skill, locks = new.prepared.skill, new.prepared.locks
    packages = [
        {"ecosystem": lock.ecosystem, "name": one.name, "version": one.version}
        for lock in locks
        for one in lock.packages
    ]
    fields: dict[str, object] = {
        "bundle": skill.bundle.digest,
        "bundle_bytes": skill.bundle.size,
        "files": len(skill.bundle.files),
        "lock": closure_digest(locks),
        "kind": skill.kind,
        "ecosystems": tuple(lock.ecosystem for lock in locks),
        "packages_in_all": len(packages),
        "verdict": _VERDICTS[new.prepared.report.verdict],
        "scanned_at": moment(new.prepared.report.made_at),
        "published_at": now,
        "signature": new.wanted.signature,
    }
    room = MAX_DOCUMENT_BYTES - len(checked(VersionDocument, fields).text.encode())
    named: list[PackageFact] = []
    for package in packages[:_MOST_PACKAGES]:
        fact = checked(PackageFact, package)
        # And the comma behind it.
        room -= len(fact.text.encode()) + 1
        if room < 0:
            break
        named.append(fact)
    return checked(VersionDocument, {**fields, "packages": named})
