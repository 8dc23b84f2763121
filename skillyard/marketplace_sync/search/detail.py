"""Everything that a catalogue says of one skill, read from its entries: what search does not show as well."""

from __future__ import annotations

from dataclasses import dataclass

from skillyard.database import Session
from skillyard.errors import NotFoundError
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import (
    ModerationState,
    RatingDocument,
    SkillDocument,
    VersionDocument,
    read_document,
)
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, EntryId, EntryKind, entry_id
from skillyard.marketplace_sync.catalogue.standing import Standing, standings
from skillyard.marketplace_sync.errors import CursorError, DocumentError


@dataclass(frozen=True, slots=True)
class SkillSaid:
    """A skill's entry, and what moderators made of it."""

    key: str
    rev: int
    document: SkillDocument
    standing: Standing


@dataclass(frozen=True, slots=True)
class VersionSaid:
    """A version's entry. ``id`` is its number, by which lists go on."""

    id: str
    key: str
    document: VersionDocument
    standing: Standing


@dataclass(frozen=True, slots=True)
class RatingSaid:
    """A rating. ``id`` is ``ORIGIN/RATER``, by which lists go on."""

    id: str
    document: RatingDocument


async def skill(session: Session, catalogue: CatalogueId, key: str) -> SkillSaid:
    """Raises ``NotFoundError``: also for what is held, which nobody has seen yet, and for what was deleted."""
    entry = await store.get(session, catalogue, entry_id(EntryKind.SKILL.value, key))
    if entry is None or entry.document is None:
        raise NotFoundError(f"there is no skill {key}")
    standing = (await standings(session, catalogue, (key,)))[key]
    if standing.state in (ModerationState.HELD, ModerationState.DELETED):
        raise NotFoundError(f"there is no skill {key}")
    return SkillSaid(key, entry.rev, read_document(SkillDocument, entry.document), standing)


async def versions(
    session: Session, catalogue: CatalogueId, key: str, *, after: str, limit: int
) -> tuple[VersionSaid, ...]:
    """Versions of a skill by the text of their number. Raises ``NotFoundError`` and ``CursorError``."""
    await skill(session, catalogue, key)
    found = await _behind(session, catalogue, EntryKind.VERSION, f"{key}@", after=after, limit=limit)
    known = await standings(session, catalogue, [one for one, _ in found])
    return tuple(
        VersionSaid(one.partition("@")[2], one, read_document(VersionDocument, document), known[one])
        for one, document in found
    )


async def ratings(
    session: Session, catalogue: CatalogueId, key: str, *, after: str, limit: int
) -> tuple[RatingSaid, ...]:
    """Ratings of a skill by who gave them. Raises ``NotFoundError`` and ``CursorError``."""
    await skill(session, catalogue, key)
    found = await _behind(session, catalogue, EntryKind.RATING, f"{key}#", after=after, limit=limit)
    return tuple(RatingSaid(one.partition("#")[2], read_document(RatingDocument, document)) for one, document in found)


async def version(session: Session, catalogue: CatalogueId, key: str) -> VersionSaid | None:
    """One version, where the catalogue has its document."""
    entry = await store.get(session, catalogue, EntryId(EntryKind.VERSION, key))
    if entry is None or entry.document is None:
        return None
    standing = (await standings(session, catalogue, (key,)))[key]
    return VersionSaid(key.partition("@")[2], key, read_document(VersionDocument, entry.document), standing)


async def _behind(
    session: Session, catalogue: CatalogueId, kind: EntryKind, prefix: str, *, after: str, limit: int
) -> list[tuple[str, str]]:
    if after:
        try:
            entry_id(kind.value, f"{prefix}{after}")
        except DocumentError as error:
            raise CursorError("not a cursor of this list", field="cursor") from error
    start = f"{prefix}{after}" if after else ""
    found = await store.with_prefix(session, catalogue, kind, prefix, after=start, limit=limit)
    return [(entry.id.key, entry.document) for entry in found if entry.document is not None]
