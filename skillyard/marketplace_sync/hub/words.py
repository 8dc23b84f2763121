"""Words of moderators as the own catalogue holds them, and who said one."""

from __future__ import annotations

from skillyard.database import Session
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import ModerationDocument, read_document
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, EntryId, EntryKind

MODERATOR = "moderator"
PUBLISHER = "publisher"
HUB = "hub"
"""The first word of an ``actor``: an operator, the publisher, or the hub by a rule of its own."""


async def word_of(session: Session, catalogue: CatalogueId, key: str) -> ModerationDocument | None:
    """What was said of exactly this key."""
    entry = await store.get(session, catalogue, EntryId(EntryKind.MODERATION, key))
    if entry is None or entry.document is None:
        return None
    return read_document(ModerationDocument, entry.document)


def is_by(word: ModerationDocument, who: str) -> bool:
    return word.actor.startswith(f"{who} ")
