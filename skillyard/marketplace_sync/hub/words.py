"""Words of moderators as the own catalogue holds them, and who said one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from skillyard.database import Session
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import ModerationDocument, read_document
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, EntryId, EntryKind
from skillyard.marketplace_sync.hub.values import HubVersion

MODERATOR = "moderator"
PUBLISHER = "publisher"
HUB = "hub"
"""The first word of an ``actor``: an operator, the publisher, or the hub by a rule of its own."""


async def word_of(session: Session, catalogue: CatalogueId, key: str) -> ModerationDocument | None:
    """What was said of exactly this key."""
    return (await words_of(session, catalogue, (key,))).get(key)


async def words_of(session: Session, catalogue: CatalogueId, keys: Iterable[str]) -> dict[str, ModerationDocument]:
    """What was said of exactly these keys, where anything was."""
    found = await store.get_many(session, catalogue, (EntryId(EntryKind.MODERATION, key) for key in keys))
    return {
        id_.key: read_document(ModerationDocument, entry.document)
        for id_, entry in found.items()
        if entry.document is not None
    }


async def listed_of(session: Session, catalogue: CatalogueId, versions: Sequence[HubVersion]) -> list[str]:
    """The numbers of those of a skill's versions that are shown, as far as the words about them go: whether the skill
    itself is held says nothing about which of its versions is the latest."""
    words = await words_of(session, catalogue, [one.key for one in versions])
    return [one.number for one in versions if one.key not in words or words[one.key].state.listed]


def is_by(word: ModerationDocument, who: str) -> bool:
    return word.actor.startswith(f"{who} ")
