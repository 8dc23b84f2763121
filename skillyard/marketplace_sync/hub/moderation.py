"""What moderators say: yank, hold, quarantine, revoke, delete, and letting something back, each with reason and actor.

A word is an entry of its own beside what the publisher says, so that no edit of content undoes it. Operators moderate;
a publisher yanks and deletes what is theirs, takes back what they yanked, and nothing that a moderator said.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from skillyard.database import Session
from skillyard.errors import ConflictError, InputError, NotFoundError
from skillyard.governance import audit
from skillyard.governance.administrators import Administrator, require_operator
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.identity import Actor
from skillyard.ids import BundleDigest, WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.marketplace_sync import revocations
from skillyard.marketplace_sync.catalogue import standing
from skillyard.marketplace_sync.catalogue.documents import (
    ModerationDocument,
    ModerationState,
    SkillDocument,
    moment,
    read_document,
)
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind, entry_id
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.errors import NotAllowedError, RemovedError
from skillyard.marketplace_sync.hub import store as hub_store
from skillyard.marketplace_sync.hub.channels import LATEST, latest_of
from skillyard.marketplace_sync.hub.ground import Ground
from skillyard.marketplace_sync.hub.latest import Latest
from skillyard.marketplace_sync.hub.values import HubVersion, Sender
from skillyard.marketplace_sync.hub.words import MODERATOR, PUBLISHER, is_by, listed_of, word_of
from skillyard.runtime.bundle_stops import StoppedVersion
from skillyard.runtime.runtime import Runtime
from skillyard.times import utcnow

_BY_PUBLISHERS = (ModerationState.YANKED, ModerationState.VISIBLE, ModerationState.DELETED)
_LOOKED_AT = 500
_PAGES = 10
"""Of so many words each that one request looks through for those of a state."""
_KINDS = {0: EntryKind.PUBLISHER, 1: EntryKind.SKILL, 2: EntryKind.VERSION}


@dataclass(frozen=True, slots=True)
class Moderated:
    """The word as it stands in the catalogue, and what it stopped here."""

    entry: Entry
    document: ModerationDocument
    stopped: tuple[StoppedVersion, ...]


class Moderation:
    """Each word is one transaction; what it stops is stopped after the commit."""

    def __init__(self, *, runtime: Runtime, ground: Ground, latest: Latest) -> None:
        self._runtime = runtime
        self._ground = ground
        self._latest = latest

    async def moderate(self, key: str, state: ModerationState, reason: str, *, by: Administrator) -> Moderated:
        """An operator's word about a publisher, a skill or a version. Raises ``NotFoundError`` for what is not there,
        ``ConflictError`` for deleting what is revoked: that would let followers that slept run it on."""
        async with self._runtime.database.transaction() as session:
            person = await require_operator(session, by)
            said = f"{MODERATOR} {person.name}"
            done = await self.say(session, key, state, reason, said=said, by=by.actor)
            facts: dict[str, JsonValue] = {"state": state.value, "reason": reason, **by.facts}
            await self._record(session, by.workspace, by.actor, key, facts)
        await revocations.enforce(self._runtime, done.stopped)
        return done

    async def by_publisher(
        self, session: Session, sender: Sender, key: str, state: ModerationState, reason: str
    ) -> Moderated:
        """A publisher's own word about a skill or version, in the caller's transaction: it stops nothing.

        Raises ``NotAllowedError`` for any other word than these, and over what a moderator said.
        """
        publisher, slash, _ = key.partition("/")
        await self._ground.require_owner(session, sender, publisher)
        if state not in _BY_PUBLISHERS or not slash:
            raise NotAllowedError("publishers yank and delete their skills and versions; moderators do the rest")
        before = await word_of(session, self._ground.id, key)
        if before is not None and before.state is not ModerationState.VISIBLE and not is_by(before, PUBLISHER):
            raise NotAllowedError(f"{key} is {before.state.value} by a moderator: {before.reason}")
        if before is not None and before.state is ModerationState.DELETED:
            raise RemovedError(f"{key} is deleted; publish a new version")
        done = await self.say(session, key, state, reason, said=f"{PUBLISHER} {publisher}", by=sender.actor)
        facts: dict[str, JsonValue] = {"state": state.value, "reason": reason, **sender.facts}
        await self._record(session, sender.workspace, sender.actor, key, facts)
        return done

    async def page(
        self, session: Session, *, after: str, limit: int, state: ModerationState | None
    ) -> tuple[tuple[Entry, ...], str | None]:
        """Words by key, beginning behind ``after``, of one state or all; and the key to go on behind, where there may
        be more: fewer than ``limit`` where many others had to be looked through."""
        found: list[Entry] = []
        for _ in range(_PAGES):
            page = await self._ground.page(session, EntryKind.MODERATION, after=after, limit=_LOOKED_AT)
            for one in page:
                if state is not None and _read(one).state is not state:
                    continue
                if len(found) == limit:
                    return tuple(found), found[-1].id.key
                found.append(one)
            if len(page) < _LOOKED_AT:
                return tuple(found), None
            after = page[-1].id.key
        return tuple(found), after

    async def say(
        self, session: Session, key: str, state: ModerationState, reason: str, *, said: str, by: Actor
    ) -> Moderated:
        """Write a word, in the caller's transaction, with all that follows from it."""
        if not reason.strip() or len(reason) > 500:
            raise InputError("a reason of 1 to 500 characters is needed", field="reason")
        now = moment(utcnow())
        id_ = entry_id(EntryKind.MODERATION, key)
        subject = EntryId(_KINDS[len(standing.levels(key)) - 1], key)
        before = await word_of(session, self._ground.id, key)
        await self._require_sayable(session, subject, state, before)
        catalogue = await self._ground.catalogue(session)
        document = ModerationDocument(
            state=state, reason=reason, actor=said[:100], epoch=catalogue.moderation + 1, at=now
        )
        changes = [Change(id_, document.text)]
        versions = await hub_store.versions_below(session, key)
        if state is ModerationState.DELETED:
            changes += await self._tombstones(session, subject, versions)
        _, written = await self._ground.change(session, changes, at=now, moderated=True)
        was = ModerationState.VISIBLE if before is None else before.state
        await self._follow(session, subject, state, now, other_text=was.installable != state.installable)
        stopped = await self._stop(session, versions, by=by)
        return Moderated(next(one for one in written if one.id == id_), document, stopped)

    async def _require_sayable(
        self, session: Session, subject: EntryId, state: ModerationState, before: ModerationDocument | None
    ) -> None:
        there = await self._ground.entry(session, subject)
        if there is None and (before is None or state is ModerationState.DELETED):
            raise NotFoundError(f"there is no {subject}")
        if there is None and subject.kind is EntryKind.VERSION:
            raise RemovedError(f"{subject} is deleted for good; publish a new version")
        if state is not ModerationState.DELETED:
            return
        if subject.kind is EntryKind.PUBLISHER:
            raise InputError("a publisher is held or revoked; only skills and versions are deleted", field="state")
        if before is not None and before.state.stops:
            raise ConflictError(
                f"{subject} is {before.state.value}: deleting it would take that back for who has not heard of it yet"
            )

    async def _tombstones(self, session: Session, subject: EntryId, versions: tuple[HubVersion, ...]) -> list[Change]:
        """Deletes a skill with all that hangs on it, or a version, whose channels go with it."""
        live = [one.key for one in versions if not one.deleted]
        await hub_store.set_deleted(session, live)
        changes = [Change(EntryId(EntryKind.VERSION, key), None) for key in live]
        if subject.kind is EntryKind.SKILL:
            changes.append(Change(subject, None))
            for kind in (EntryKind.RATING, EntryKind.COUNTS):
                keys = await hub_store.keys_with_prefix(session, self._ground.id, kind, f"{subject.key}#")
                changes += [Change(EntryId(kind, key), None) for key in keys]
        return changes

    async def _follow(
        self, session: Session, subject: EntryId, state: ModerationState, at: datetime, *, other_text: bool
    ) -> None:
        """``latest`` of a skill names the newest version that is shown, and the skill shows that version's text; other
        channels leave what is deleted. ``other_text``: whether the subject's own text is to be seen changed."""
        if subject.kind is not EntryKind.VERSION:
            return
        skill = EntryId(EntryKind.SKILL, subject.key.partition("@")[0])
        entry = await self._ground.entry(session, skill)
        if entry is None or entry.document is None:
            return
        before = read_document(SkillDocument, entry.document)
        versions = [one for one in await hub_store.versions_below(session, skill.key) if not one.deleted]
        there = {one.number for one in versions}
        channels = {name: number for name, number in before.channels.items() if number in there}
        listed = await listed_of(session, self._ground.id, versions)
        latest = latest_of(listed)
        released = state is ModerationState.VISIBLE and subject.key == f"{skill.key}@{latest}"
        if latest is not None and (released or channels.get(LATEST) not in listed):
            channels[LATEST] = latest
        document = before.model_copy(update={"channels": channels})
        target = channels.get(LATEST)
        if target != before.channels.get(LATEST) or (other_text and subject.key == f"{skill.key}@{target}"):
            document = await self._latest.following(session, skill.key, document)
        if document != before:
            document = document.model_copy(update={"updated_at": at})
            await self._ground.change(session, [Change(skill, document.text)], at=at)

    async def _stop(
        self, session: Session, versions: tuple[HubVersion, ...], *, by: Actor
    ) -> tuple[StoppedVersion, ...]:
        """Bring what this instance's workspaces may run in line with what is said of these versions now.

        The reason is that of the word that stops, whoever spoke last.
        """
        bundles = {one.bundle for one in versions}
        everywhere = await hub_store.versions_with(session, bundles)
        found = await standing.standings(session, self._ground.id, [one.key for one in everywhere])
        strictest: dict[BundleDigest, tuple[ModerationState, str]] = {}
        for one in everywhere:
            said = found[one.key]
            held = strictest.get(one.bundle)
            if said.stop is not None and (held is None or standing.stricter(said.stop, held[0])):
                strictest[one.bundle] = said.stop, said.stop_reason
        stopped: list[StoppedVersion] = []
        for state, reason in dict.fromkeys(strictest.values()):
            some = [bundle for bundle, stop in strictest.items() if stop == (state, reason)]
            stopped += await revocations.stop_installed(session, None, some, reason=reason, by=by, state=state)
        await revocations.withdraw_stops(session, None, bundles - strictest.keys())
        return tuple(stopped)

    @staticmethod
    async def _record(
        session: Session, workspace: WorkspaceId, by: Actor, key: str, facts: dict[str, JsonValue]
    ) -> None:
        await audit.append(session, AuditRecord(workspace, utcnow(), by, Action.MARKET_MODERATED, key, facts))


def _read(entry: Entry) -> ModerationDocument:
    return read_document(ModerationDocument, entry.document or "")
