"""The index of all catalogues: kept in step with their entries, and searched."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import structlog

from skillyard.database import Database, Session
from skillyard.marketplace_sync.catalogue.documents import (
    Document,
    ModerationDocument,
    SkillDocument,
    VersionDocument,
    read_document,
)
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry, EntryKind
from skillyard.marketplace_sync.errors import DocumentError
from skillyard.marketplace_sync.search import detail, lookup, marks, rows, store
from skillyard.marketplace_sync.search.detail import RatingSaid, SkillSaid, VersionSaid
from skillyard.marketplace_sync.search.kept_sets import KeptSets
from skillyard.marketplace_sync.search.listings import Tally, draft, found_by, searched, star_labels
from skillyard.marketplace_sync.search.query import Listing, Page, Query
from skillyard.marketplace_sync.search.settling import settle, settle_some

D = TypeVar("D", bound=Document)

_MENDED_TOGETHER: Final = 2000
_log = structlog.get_logger("skillyard.marketplace")


@dataclass(slots=True)
class _Batch:
    """What a batch of entries touches, and the documents that it brought itself, which are not read again."""

    skills: dict[str, SkillDocument | None] = field(default_factory=dict)
    versions: dict[str, VersionDocument | None] = field(default_factory=dict)
    moderation: dict[str, ModerationDocument | None] = field(default_factory=dict)
    publishers: set[str] = field(default_factory=set)
    anew: set[str] = field(default_factory=set)
    rated: set[str] = field(default_factory=set)
    counted: set[str] = field(default_factory=set)


class SearchIndex:
    """The projection that stores of catalogues are given, and the search over it. Holds nothing but the database, and
    in memory what ``kept_sets`` says."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._memory = KeptSets()

    async def changed(self, session: Session, catalogue: CatalogueId, entries: Sequence[Entry]) -> None:
        """Bring the listings of what these entries are about up to date, in the transaction that wrote them."""
        batch = _batch(entries)
        batch.anew.update(await store.of_publishers(session, catalogue, batch.publishers))
        touched = batch.anew | batch.rated | batch.counted
        if not touched:
            return
        before = await store.held(session, catalogue, touched)
        tallies = await _tallies(session, catalogue, batch, before)
        for key, was in before.items():
            # The average is a label too, by which lists are narrowed.
            if star_labels(tallies[key]) != star_labels(was.tally):
                batch.anew.add(key)
        made = await _made(session, catalogue, batch, before, tallies)
        kept = {one.draft.key for one in made}
        gone = [was for key, was in before.items() if key in batch.anew and key not in kept]
        await store.put(session, catalogue, made, before, gone)
        sums = {
            was.id: tallies[key] for key, was in before.items() if key not in batch.anew and tallies[key] != was.tally
        }
        await store.put_tallies(session, sums)
        await settle_some(session, catalogue, changed=len(touched))

    async def settled(self, session: Session, catalogue: CatalogueId) -> None:
        """No more entries come for now: write down what waits to be written together."""
        await settle(session, catalogue)

    async def cleared(self, session: Session, catalogue: CatalogueId) -> None:
        """Forget all listings of a catalogue."""
        await store.clear(session, catalogue)

    async def mend(self) -> None:
        """Make again what listings are found by, where it is missing: after a release that keeps it in another way.

        Piece by piece, each in a transaction of its own, so that whoever is interrupted goes on from there, and several
        processes share the work.
        """
        after, mended, catalogues = 0, 0, set[CatalogueId]()
        while True:
            async with self._database.reading() as session:
                bare = await store.without_terms(session, after=after, most=_MENDED_TOGETHER)
            if not bare:
                break
            if not mended:
                _log.warning("search_index_is_made_again")
            async with self._database.transaction() as session:
                mended += await self._mend(session, bare)
            after = bare[-1].id
            catalogues.update(one.catalogue for one in bare)
        for catalogue in sorted(catalogues):
            async with self._database.transaction() as session:
                await settle(session, catalogue)
        if catalogues:
            _log.warning("search_index_is_whole", listings=mended)

    async def _mend(self, session: Session, bare: Sequence[store.Bare]) -> int:
        mended = 0
        for catalogue in sorted({one.catalogue for one in bare}):
            keys = [one.key for one in bare if one.catalogue == catalogue]
            # As they are now: somebody else may have changed or mended some.
            held = {key: one for key, one in (await store.held(session, catalogue, keys)).items() if one.listed}
            there = await store.with_terms(session, [one.id for one in held.values()])
            wanted = {key: one for key, one in held.items() if one.id not in there}
            skills = await _readable(session, catalogue, wanted)
            terms = {wanted[key].id: found_by(key, wanted[key].labels, searched(one)) for key, one in skills.items()}
            await store.put_terms(session, catalogue, terms)
            await marks.leave(session, catalogue, marks.CHANGED)
            await settle_some(session, catalogue, changed=len(terms))
            mended += len(terms)
        return mended

    async def search(self, catalogues: Sequence[CatalogueId], query: Query) -> Page:
        """A page of what is looked for. Raises ``CursorError``."""
        return await self._database.look(lambda shot: lookup.search(shot, catalogues, query, memory=self._memory))

    async def listing(self, catalogue: CatalogueId, key: str) -> Listing | None:
        """One skill as search shows it; nothing for one that it does not show."""
        return await self._database.look(lambda shot: rows.one(shot, catalogue, key))

    async def said(self, catalogue: CatalogueId, key: str) -> tuple[SkillSaid, VersionSaid | None]:
        """Everything that a catalogue says of a skill, and of its latest version. Raises ``NotFoundError``."""
        async with self._database.reading() as session:
            skill = await detail.skill(session, catalogue, key)
            latest = skill.document.channels.get("latest")
            return skill, None if latest is None else await detail.version(session, catalogue, f"{key}@{latest}")

    async def versions(self, catalogue: CatalogueId, key: str, *, after: str, limit: int) -> tuple[VersionSaid, ...]:
        """See ``detail.versions``."""
        async with self._database.reading() as session:
            return await detail.versions(session, catalogue, key, after=after, limit=limit)

    async def ratings(self, catalogue: CatalogueId, key: str, *, after: str, limit: int) -> tuple[RatingSaid, ...]:
        """See ``detail.ratings``."""
        async with self._database.reading() as session:
            return await detail.ratings(session, catalogue, key, after=after, limit=limit)

    async def listed(self, catalogue: CatalogueId, *, after: str, limit: int) -> tuple[Listing, ...]:
        """What search shows, by key, beginning behind ``after``."""
        return await self._database.look(lambda shot: rows.by_key(shot, catalogue, after=after, limit=limit))


async def _readable(session: Session, catalogue: CatalogueId, keys: Collection[str]) -> dict[str, SkillDocument]:
    """Documents of skills. One that an earlier release took and this one does not is said, and keeps no server from
    starting: its listing is not found by words."""
    try:
        return await store.documents(session, catalogue, EntryKind.SKILL, SkillDocument, keys)
    except DocumentError:
        found: dict[str, SkillDocument] = {}
        for key in keys:
            try:
                found |= await store.documents(session, catalogue, EntryKind.SKILL, SkillDocument, (key,))
            except DocumentError as error:
                _log.error("search_listing_not_made_again", skill=key, error=str(error))
        return found


def _batch(entries: Sequence[Entry]) -> _Batch:
    batch = _Batch()
    for entry in entries:
        key = entry.id.key
        match entry.id.kind:
            case EntryKind.SKILL:
                batch.skills[key] = _document(SkillDocument, entry)
                batch.anew.add(key)
            case EntryKind.VERSION:
                batch.versions[key] = _document(VersionDocument, entry)
                batch.anew.add(key.partition("@")[0])
            case EntryKind.MODERATION:
                batch.moderation[key] = _document(ModerationDocument, entry)
                if "/" in key:
                    batch.anew.add(key.partition("@")[0])
                else:
                    batch.publishers.add(key)
            case EntryKind.RATING:
                batch.rated.add(key.partition("#")[0])
            case EntryKind.COUNTS:
                batch.counted.add(key.partition("#")[0])
            case EntryKind.PUBLISHER | EntryKind.CATEGORY:
                pass
    return batch


def _document(kind: type[D], entry: Entry) -> D | None:
    return None if entry.deleted or entry.document is None else read_document(kind, entry.document)


async def _tallies(
    session: Session, catalogue: CatalogueId, batch: _Batch, before: Mapping[str, store.Held]
) -> dict[str, Tally]:
    """The sums of all that is touched. A rating may come before its skill: it counts when that is there."""
    new = {key for key in batch.anew if key not in before}
    rated = new | {key for key in batch.rated if key in before}
    counted = new | {key for key in batch.counted if key in before}
    stars = await store.summed(session, catalogue, EntryKind.RATING, ("stars", "stars"), rated)
    counts = await store.summed(session, catalogue, EntryKind.COUNTS, ("installs", "calls"), counted)
    found = {}
    for key in new | set(before):
        was = before[key].tally if key in before else Tally()
        given, _, number = stars.get(key, (0, 0, 0)) if key in rated else (was.stars, 0, was.ratings)
        installs, calls, _ = counts.get(key, (0, 0, 0)) if key in counted else (was.installs, was.calls, 0)
        found[key] = Tally(given, number, installs, calls)
    return found


async def _made(
    session: Session,
    catalogue: CatalogueId,
    batch: _Batch,
    before: Mapping[str, store.Held],
    tallies: Mapping[str, Tally],
) -> list[store.Made]:
    """Listings of what is to be made anew and has a skill's document."""
    skills = await _known(session, catalogue, EntryKind.SKILL, SkillDocument, brought=batch.skills, keys=batch.anew)
    latest = {key: f"{key}@{one.channels['latest']}" for key, one in skills.items() if "latest" in one.channels}
    versions = await _known(
        session, catalogue, EntryKind.VERSION, VersionDocument, brought=batch.versions, keys=set(latest.values())
    )
    about = {*latest.values(), *skills, *(key.partition("/")[0] for key in skills)}
    said = await _known(
        session, catalogue, EntryKind.MODERATION, ModerationDocument, brought=batch.moderation, keys=about
    )
    number = await store.next_id(session, catalogue)
    made = []
    for key, skill in skills.items():
        was = before.get(key)
        one = draft(key, skill, versions.get(latest.get(key, "")), said, tallies[key])
        same = was is not None and (was.listed, was.labels) == (one.listed, one.labels) and key not in batch.skills
        made.append(store.Made(number if was is None else was.id, one, tallies[key], words=not same))
        number += was is None
    return made


async def _known(
    session: Session,
    catalogue: CatalogueId,
    entries: EntryKind,
    kind: type[D],
    *,
    brought: Mapping[str, D | None],
    keys: Collection[str],
) -> dict[str, D]:
    """Documents by key: of the batch, and from the catalogue what it did not bring."""
    rest = [key for key in keys if key not in brought]
    found = await store.documents(session, catalogue, entries, kind, rest)
    found |= {key: one for key in keys if (one := brought.get(key)) is not None}
    return found
