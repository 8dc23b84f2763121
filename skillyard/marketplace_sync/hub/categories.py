"""The controlled list of categories. Operators keep it; skills name what is on it."""

from __future__ import annotations

from skillyard.database import Database, Session
from skillyard.errors import ConflictError, NotFoundError
from skillyard.governance import audit
from skillyard.governance.administrators import Administrator, require_operator
from skillyard.governance.audit import Action, AuditRecord
from skillyard.json_value import JsonValue
from skillyard.marketplace_sync.catalogue.documents import CategoryDocument
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryKind, entry_id
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.hub import store as hub_store
from skillyard.marketplace_sync.hub.ground import Ground
from skillyard.times import utcnow


class Categories:
    """Each change is an operator's."""

    def __init__(self, *, database: Database, ground: Ground) -> None:
        self._database = database
        self._ground = ground

    async def put(self, slug: str, document: CategoryDocument, *, by: Administrator) -> CategoryDocument:
        """Add a category, or give it another title and description."""
        id_ = entry_id(EntryKind.CATEGORY, slug)
        async with self._database.transaction() as session:
            await require_operator(session, by)
            await self._ground.change(session, [Change(id_, document.text)], at=utcnow())
            await self._record(session, by, slug, {"title": document.title})
        return document

    async def remove(self, slug: str, *, by: Administrator) -> None:
        """Raises ``NotFoundError``, and ``ConflictError`` while a skill names it."""
        id_ = entry_id(EntryKind.CATEGORY, slug)
        async with self._database.transaction() as session:
            await require_operator(session, by)
            if await self._ground.entry(session, id_) is None:
                raise NotFoundError(f"there is no category {slug}")
            user = await hub_store.skill_in_category(session, self._ground.id, slug)
            if user is not None:
                raise ConflictError(f"{user} is in the category {slug}; it cannot be removed while skills are")
            await self._ground.change(session, [Change(id_, None)], at=utcnow())
            await self._record(session, by, slug, {"removed": True})

    async def page(self, *, after: str, limit: int) -> tuple[Entry, ...]:
        """Categories' entries by slug, beginning behind ``after``."""
        async with self._database.reading() as session:
            return await self._ground.page(session, EntryKind.CATEGORY, after=after, limit=limit)

    @staticmethod
    async def _record(session: Session, by: Administrator, slug: str, facts: dict[str, JsonValue]) -> None:
        action, subject = Action.MARKET_CATEGORY_CHANGED, f"category/{slug}"
        await audit.append(
            session, AuditRecord(by.workspace, utcnow(), by.actor, action, subject, {**facts, **by.facts})
        )
