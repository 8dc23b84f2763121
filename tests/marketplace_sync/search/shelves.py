"""A catalogue that tests fill as they like, and the index over it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from skillyard.database import Database
from skillyard.governance.identity import Person
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import (
    CountsDocument,
    Document,
    ModerationDocument,
    ModerationState,
    RatingDocument,
    SkillDocument,
    VersionDocument,
)
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind, entry_hash
from skillyard.marketplace_sync.catalogue.store import Catalogue
from skillyard.marketplace_sync.search.index import SearchIndex
from skillyard.marketplace_sync.search.query import Listing, Page, Query
from skillyard.skills.skill import SkillKind
from skillyard.times import utcnow

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
DIGEST = "sha256:" + "0" * 64


class Shelf:
    """A catalogue, whatever is put into it, and the index over it."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self.database = database
        self.catalogue = catalogue
        self.index = SearchIndex(database)
        self.seq = 0

    def entry(self, kind: EntryKind, key: str, document: Document | None) -> Entry:
        self.seq += 1
        id_, text = EntryId(kind, key), None if document is None else document.text
        hashed = entry_hash(id_, self.seq, text, deleted=text is None)
        return Entry(id_, self.seq, self.seq, text, hashed, text is None, NOON)

    async def put(self, *entries: Entry) -> None:
        async with self.database.transaction() as session:
            mirror = replace(self.catalogue, seq=max(one.seq for one in entries))
            self.catalogue, _ = await store.apply(session, mirror, entries, projection=self.index)

    async def clear(self) -> None:
        async with self.database.transaction() as session:
            self.catalogue = await store.clear(session, self.catalogue, projection=self.index)

    async def search(self, text: str = "", **narrowed: object) -> Page:
        return await self.index.search([self.catalogue.id], Query(text=text, **narrowed))  # type: ignore[arg-type]

    async def found(self, text: str = "", **narrowed: object) -> list[str]:
        return [one.key for one in (await self.search(text, **narrowed)).items]

    async def one(self, key: str) -> Listing | None:
        return await self.index.listing(self.catalogue.id, key)

    def skill(self, key: str, description: str = "Does something.", **more: object) -> Entry:
        said = {"channels": {"latest": "1.0.0"}, "updated_at": NOON, "description": description} | more
        return self.entry(EntryKind.SKILL, key, SkillDocument.model_validate(said))

    def version(self, key: str, number: str = "1.0.0", **more: object) -> Entry:
        said = {
            "bundle": DIGEST,
            "bundle_bytes": 1,
            "files": 1,
            "lock": DIGEST,
            "kind": SkillKind.PYTHON,
            "verdict": "PASS",
            "scanned_at": NOON,
            "published_at": NOON,
        } | more
        return self.entry(EntryKind.VERSION, f"{key}@{number}", VersionDocument.model_validate(said))

    def both(self, key: str, description: str = "Does something.", **more: object) -> tuple[Entry, Entry]:
        """A skill with its version."""
        return self.skill(key, description, **more), self.version(key)

    def rating(self, key: str, rater: str, stars: int | None) -> Entry:
        stamp = f"{1:015d}-000000-here"
        said = None if stars is None else RatingDocument(stars=stars, stamp=stamp, at=NOON)
        return self.entry(EntryKind.RATING, f"{key}#here/{rater}", said)

    def counts(self, key: str, installs: int, origin: str = "here") -> Entry:
        return self.entry(EntryKind.COUNTS, f"{key}#{origin}", CountsDocument(installs=installs, calls=2, at=NOON))

    def word(self, key: str, state: ModerationState) -> Entry:
        said = ModerationDocument(state=state, reason="because", actor="person 1", epoch=self.seq + 1, at=NOON)
        return self.entry(EntryKind.MODERATION, key, said)


async def new_shelf(database: Database, admin: Person) -> Shelf:
    async with database.transaction() as session:
        return Shelf(database, await store.create(session, admin.workspace, at=utcnow()))
