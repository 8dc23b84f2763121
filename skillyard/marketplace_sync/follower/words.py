"""What a remote's moderators said, and what that does here: in the transaction of the page that brought it.

A word that stops something is kept apart from the mirror, and stays when it is merely not there any more: what was
revoked once does not become runnable because a hub was put back to an older state. A later word that is milder ends it;
what was stopped here stays so until a person of the workspace looks at it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from skillyard.database import Session
from skillyard.governance.identity import SYSTEM
from skillyard.ids import BundleDigest
from skillyard.marketplace_sync.catalogue import store as entries_of
from skillyard.marketplace_sync.catalogue.documents import (
    ModerationDocument,
    ModerationState,
    VersionDocument,
    read_document,
)
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry, EntryId, EntryKind
from skillyard.marketplace_sync.catalogue.standing import levels, stricter
from skillyard.marketplace_sync.follower import store
from skillyard.marketplace_sync.follower.intake import Intake
from skillyard.marketplace_sync.follower.values import Word
from skillyard.marketplace_sync.remotes.remote import RemoteMarket, stop_source
from skillyard.marketplace_sync.revocations import stop_installed, withdraw_word
from skillyard.runtime.bundle_stops import StoppedVersion

_STRICTNESS = tuple(ModerationState)
_MILD = (ModerationState.VISIBLE, ModerationState.YANKED, ModerationState.HELD)
_PAGE = 1000
_MOST_REASON = 500
_UNREAD = "something that this release cannot read; until it can, nothing of it is run"


@dataclass(frozen=True, slots=True)
class Stopped:
    """What was taken out of use, and why; to be enforced once the transaction is committed."""

    versions: tuple[StoppedVersion, ...]
    reason: str


async def hear(
    session: Session, remote: RemoteMarket, intake: Intake, fresh: Sequence[Entry], *, at: datetime
) -> tuple[Stopped, ...]:
    """Act on the words and versions that a page brought; the mirror holds them already."""
    said = {entry.id.key: intake.moderation[entry.id] for entry in fresh if entry.id in intake.moderation}
    kept, dropped = await _note(session, remote, said, at=at)
    kept += await _note_unread(session, remote, intake, at=at)
    for key in dropped:
        await withdraw_word(session, remote.workspace, source=stop_source(remote.id), key=key)
    about: defaultdict[Word, set[BundleDigest]] = defaultdict(set)
    for word in kept:
        about[word] |= await bundles_under(session, remote, word.key)
    versions = {entry.id.key: intake.versions[entry.id] for entry in fresh if entry.id in intake.versions}
    if versions and await store.any_word(session, remote.id):
        words = await store.words(session, remote.id, {level for key in versions for level in levels(key)})
        for key, version in versions.items():
            for level in levels(key):
                if level in words:
                    about[words[level]].add(BundleDigest(version.bundle))
    return await _stop(session, remote, about)


async def _note(
    session: Session, remote: RemoteMarket, said: Mapping[str, ModerationDocument], *, at: datetime
) -> tuple[list[Word], list[str]]:
    """Keep words that stop, and forget those that were taken back."""
    held = await store.words(session, remote.id, said)
    kept, dropped = [], []
    for key, document in said.items():
        before = held.get(key)
        if document.state.stops:
            if before is not None and before.epoch > document.epoch and stricter(before.state, document.state):
                continue
            word = Word(key, document.state, document.reason, document.epoch)
            await store.keep_word(session, remote, word, at=at)
            kept.append(word)
        elif before is not None and document.state in _MILD and document.epoch > before.epoch:
            await store.drop_word(session, remote.id, key)
            dropped.append(key)
    return kept, dropped


async def _note_unread(session: Session, remote: RemoteMarket, intake: Intake, *, at: datetime) -> list[Word]:
    """What a moderator said and this release cannot read may be that something must not run, so that is how it is
    taken until a word comes that can be read, which may be the same one read by a later release."""
    if not intake.unread:
        return []
    held = await store.words(session, remote.id, {id_.key for id_ in intake.unread})
    # One that was said since, and was taken, is not undone by an older page that comes again.
    mirrored = await entries_of.get_many(session, remote.catalogue, intake.unread)
    numbers = {item.key: item.seq for item in intake.set_aside if item.kind == EntryKind.MODERATION.value}
    kept = []
    for id_, epoch in intake.unread.items():
        since = mirrored.get(id_)
        if id_.key in held or (since is not None and since.seq >= numbers[id_.key]):
            continue
        word = Word(id_.key, ModerationState.QUARANTINED, _UNREAD, epoch - 1)
        await store.keep_word(session, remote, word, at=at)
        kept.append(word)
    return kept


async def _stop(session: Session, remote: RemoteMarket, about: Mapping[Word, set[BundleDigest]]) -> tuple[Stopped, ...]:
    """The strictest first, so that each version changes once."""
    done = []
    for word in sorted(about, key=lambda word: (-_STRICTNESS.index(word.state), word.key)):
        reason = f"{remote.name} says of {word.key}: {word.reason}"[:_MOST_REASON]
        versions = await stop_installed(
            session,
            remote.workspace,
            about[word],
            reason=reason,
            by=SYSTEM,
            state=word.state,
            source=stop_source(remote.id),
            key=word.key,
        )
        if versions:
            done.append(Stopped(versions, reason))
    return tuple(done)


async def bundles_under(session: Session, remote: RemoteMarket, key: str) -> set[BundleDigest]:
    """Bundles of the versions that a word is about: of the mirror, and of what was installed from it."""
    found: set[BundleDigest] = set()
    async for entry in _versions(session, remote.catalogue, key):
        if entry.document is not None:
            found.add(BundleDigest(read_document(VersionDocument, entry.document).bundle))
    # Of what filters left out, or the mirror lost since, only the place it was installed from tells.
    separator = "" if "@" in key else "@" if "/" in key else "/"
    found |= await store.installed_from(session, remote.workspace, f"remote:{remote.name}/{key}{separator}")
    return found


async def _versions(session: Session, catalogue: CatalogueId, key: str) -> AsyncIterator[Entry]:
    if "@" in key:
        entry = await entries_of.get(session, catalogue, EntryId(EntryKind.VERSION, key))
        if entry is not None:
            yield entry
        return
    prefix, after = f"{key}@" if "/" in key else f"{key}/", ""
    while page := await entries_of.with_prefix(session, catalogue, EntryKind.VERSION, prefix, after=after, limit=_PAGE):
        for entry in page:
            yield entry
        after = page[-1].id.key
