"""What a remote's moderators said, and what that does here: in the transaction of the page that brought it.

A word that stops something is kept apart from the mirror, and stays when it is merely not there any more: what was
revoked once does not become runnable because a hub was put back to an older state. A later word that is milder ends it;
what was stopped here stays so until a person of the workspace looks at it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
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
from skillyard.marketplace_sync.follower import store
from skillyard.marketplace_sync.follower.intake import Intake
from skillyard.marketplace_sync.follower.values import Word
from skillyard.marketplace_sync.remotes.remote import RemoteMarket
from skillyard.marketplace_sync.revocations import stop_installed, withdraw_stops
from skillyard.runtime.bundle_stops import StoppedVersion

STRICTNESS = tuple(ModerationState)
"""From what is said last in the list nothing is taken back by what is said before it."""
_MILD = (ModerationState.VISIBLE, ModerationState.YANKED, ModerationState.HELD)
_PAGE = 1000
_MOST_REASON = 500


@dataclass(frozen=True, slots=True)
class Stopped:
    """What was taken out of use, and why; to be enforced once the transaction is committed."""

    versions: tuple[StoppedVersion, ...]
    reason: str


def source_of(remote: RemoteMarket) -> str:
    """How the stops of a remote are named."""
    return f"remote {remote.id}"


def scopes(key: str) -> tuple[str, ...]:
    """What words may be about for them to count for a version: it, its skill, its publisher."""
    skill = key.partition("@")[0]
    return (key, skill, skill.partition("/")[0])


async def hear(
    session: Session, remote: RemoteMarket, intake: Intake, fresh: Sequence[Entry], *, at: datetime
) -> tuple[Stopped, ...]:
    """Act on the words and versions that a page brought; the mirror holds them already."""
    said = {entry.id.key: intake.moderation[entry.id] for entry in fresh if entry.id in intake.moderation}
    changed = await _note(session, remote, said, at=at)
    versions = {entry.id.key: intake.versions[entry.id] for entry in fresh if entry.id in intake.versions}
    if not changed and (not versions or not await store.any_word(session, remote.id)):
        return ()
    about = {key: BundleDigest(version.bundle) for key, version in versions.items()}
    for key in changed:
        about |= await bundles_under(session, remote, key)
    return await _act(session, remote, about)


async def _note(
    session: Session, remote: RemoteMarket, said: Mapping[str, ModerationDocument], *, at: datetime
) -> set[str]:
    """Keep words that stop, forget those that were taken back; what changed."""
    held = await store.words(session, remote.id, said)
    changed = set()
    for key, document in said.items():
        before = held.get(key)
        if document.state.stops:
            if before is not None and before.epoch > document.epoch and _stricter(before.state, document.state):
                continue
            await store.keep_word(session, remote, Word(key, document.state, document.reason, document.epoch), at=at)
            changed.add(key)
        elif before is not None and document.state in _MILD and document.epoch > before.epoch:
            await store.drop_word(session, remote.id, key)
            changed.add(key)
    return changed


async def _act(session: Session, remote: RemoteMarket, about: Mapping[str, BundleDigest]) -> tuple[Stopped, ...]:
    words = await store.words(session, remote.id, {scope for key in about for scope in scopes(key)})
    stops: dict[BundleDigest, Word] = {}
    free: set[BundleDigest] = set()
    for key, bundle in about.items():
        strictest = _strictest([words[scope] for scope in scopes(key) if scope in words])
        if strictest is None:
            free.add(bundle)
        elif bundle not in stops or _stricter(strictest.state, stops[bundle].state):
            stops[bundle] = strictest
    source = source_of(remote)
    if free := free - stops.keys():
        await withdraw_stops(session, remote.workspace, free - await _spoken_of(session, remote), source=source)
    grouped: defaultdict[Word, list[BundleDigest]] = defaultdict(list)
    for bundle, word in stops.items():
        grouped[word].append(bundle)
    done = []
    for word, bundles in grouped.items():
        reason = f"{remote.name} says of {word.key}: {word.reason}"[:_MOST_REASON]
        versions = await stop_installed(
            session, remote.workspace, bundles, reason=reason, by=SYSTEM, state=word.state, source=source
        )
        done.append(Stopped(versions, reason))
    return tuple(done)


async def _spoken_of(session: Session, remote: RemoteMarket) -> set[BundleDigest]:
    """Bundles that some word is about: the same content may be there under several names."""
    found: set[BundleDigest] = set()
    for key in await store.words(session, remote.id):
        found |= set((await bundles_under(session, remote, key)).values())
    return found


async def bundles_under(session: Session, remote: RemoteMarket, key: str) -> dict[str, BundleDigest]:
    """Versions that a word is about, with their bundles: of the mirror, and of what was installed from it."""
    found: dict[str, BundleDigest] = {}
    async for entry in _versions(session, remote.catalogue, key):
        if entry.document is not None:
            found[entry.id.key] = BundleDigest(read_document(VersionDocument, entry.document).bundle)
    # Of what filters left out, or the mirror lost since, only the place it was installed from tells.
    origin = f"remote:{remote.name}/{key}"
    separator = "" if "@" in key else "@" if "/" in key else "/"
    for number, bundle in enumerate(await store.installed_from(session, remote.workspace, origin + separator)):
        if bundle not in found.values():
            found[key if "@" in key else f"{key}{separator}{number}"] = bundle
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


def _strictest(words: Iterable[Word]) -> Word | None:
    return max(words, key=lambda word: STRICTNESS.index(word.state), default=None)


def _stricter(one: ModerationState, other: ModerationState) -> bool:
    return STRICTNESS.index(one) > STRICTNESS.index(other)
