"""What moderators said of a publisher, a skill and a version, taken together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from skillyard.database import Session
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import ModerationDocument, ModerationState, read_document
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, EntryId, EntryKind

_ORDER = {state: place for place, state in enumerate(ModerationState)}


@dataclass(frozen=True, slots=True)
class Standing:
    """``state`` is the strictest word about a key or what it belongs to; ``stop`` the strictest that stops, if any:
    what is deleted may have been revoked as well. Each with the reason of the word that says so."""

    state: ModerationState = ModerationState.VISIBLE
    stop: ModerationState | None = None
    reason: str = ""
    stop_reason: str = ""

    @property
    def listed(self) -> bool:
        return self.state.listed and self.stop is None

    @property
    def installable(self) -> bool:
        return self.state.installable and self.stop is None


def levels(key: str) -> tuple[str, ...]:
    """A key with what it belongs to: ``acme``, ``acme/csv-report``, ``acme/csv-report@1.0.0``."""
    publisher, _, rest = key.partition("/")
    skill = key.partition("@")[0]
    return tuple(dict.fromkeys((publisher, skill, key) if rest else (publisher,)))


def stricter(one: ModerationState, other: ModerationState) -> bool:
    return _ORDER[one] > _ORDER[other]


def combined(words: Iterable[ModerationDocument]) -> Standing:
    """The standing that these words come to, in whatever order."""
    standing = Standing()
    for word in words:
        if stricter(word.state, standing.state):
            standing = replace(standing, state=word.state, reason=word.reason)
        if word.state.stops and (standing.stop is None or stricter(word.state, standing.stop)):
            standing = replace(standing, stop=word.state, stop_reason=word.reason)
    return standing


async def standings(session: Session, catalogue: CatalogueId, keys: Iterable[str]) -> Mapping[str, Standing]:
    """The standing of each key. Raises ``DocumentError`` where a word cannot be read."""
    wanted = {key: levels(key) for key in keys}
    ids = (EntryId(EntryKind.MODERATION, level) for of_key in wanted.values() for level in of_key)
    found = await store.get_many(session, catalogue, ids)
    words = {
        id_.key: read_document(ModerationDocument, entry.document)
        for id_, entry in found.items()
        if entry.document is not None
    }
    return {key: combined(words[level] for level in of_key if level in words) for key, of_key in wanted.items()}


async def standing_of(session: Session, catalogue: CatalogueId, key: str) -> Standing:
    return (await standings(session, catalogue, (key,)))[key]
