"""What every part of the hub stands on: the instance's own catalogue, and the one way to change it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from skillyard.database import Database, Session, after_commit
from skillyard.errors import NotFoundError
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import Document, read_document
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry, EntryId, EntryKind
from skillyard.marketplace_sync.catalogue.store import Catalogue, Change, Projection
from skillyard.marketplace_sync.errors import NotAllowedError
from skillyard.marketplace_sync.hub import store as hub_store
from skillyard.marketplace_sync.hub import token_store
from skillyard.marketplace_sync.hub.values import InstancePrincipal, InstanceScope, Namespace, Sender
from skillyard.times import utcnow

D = TypeVar("D", bound=Document)


class Ground:
    """Reads and changes the own catalogue. Everything happens in the caller's transaction."""

    def __init__(self, *, database: Database, projection: Projection, on_change: Callable[[], None]) -> None:
        """``on_change`` is called once a change is committed."""
        self.database = database
        self._on_change = on_change
        self._projection = projection
        self._id: CatalogueId | None = None

    async def begin(self) -> None:
        """Make the catalogue where there is none yet."""
        async with self.database.transaction() as session:
            self._id = (await store.own(session, at=utcnow())).id

    @property
    def id(self) -> CatalogueId:
        if self._id is None:
            raise RuntimeError("the hub was not begun")
        return self._id

    async def catalogue(self, session: Session) -> Catalogue:
        return await store.find(session, self.id)

    async def change(
        self, session: Session, changes: Sequence[Change], *, at: datetime, moderated: bool = False
    ) -> tuple[Catalogue, tuple[Entry, ...]]:
        """Write to the catalogue: the only way. Whoever follows hears of it once it is committed.

        ``moderated`` raises the moderation epoch: a moderator said something, which the changes carry.
        Raises ``RevisionConflictError``.
        """
        now = await self.catalogue(session)
        if moderated:
            now = replace(now, moderation=now.moderation + 1)
        after, written = await store.write(session, now, changes, projection=self._projection, at=at)
        if written:
            after_commit(session, self._on_change)
        return after, written

    async def entry(self, session: Session, id_: EntryId) -> Entry | None:
        """The live entry."""
        found = await store.get(session, self.id, id_)
        return None if found is None or found.deleted else found

    async def document(self, session: Session, id_: EntryId, kind: type[D]) -> tuple[Entry, D]:
        """A live entry and its document. Raises ``NotFoundError``."""
        found = await self.entry(session, id_)
        if found is None or found.document is None:
            raise NotFoundError(f"there is no {id_}")
        return found, read_document(kind, found.document)

    async def page(self, session: Session, kind: EntryKind, *, after: str, limit: int) -> tuple[Entry, ...]:
        """Live entries of a kind by key, beginning behind ``after``."""
        return await store.with_prefix(session, self.id, kind, "", after=after, limit=limit)

    async def require_owner(self, session: Session, sender: Sender, publisher: str) -> Namespace:
        """The namespace, if the sender publishes there. Raises ``NotAllowedError``, also where nobody took it."""
        sender.require(InstanceScope.PUBLISH)
        if isinstance(sender.principal, InstancePrincipal):
            await token_store.require_valid(session, sender.principal, utcnow())
        found = await hub_store.namespace(session, publisher)
        if found is None or found.workspace != sender.workspace:
            raise NotAllowedError(f"the namespace {publisher} is not one of your workspace's")
        return found

    async def require_publisher(self, session: Session, sender: Sender) -> None:
        """The sender's workspace publishes at all. Raises ``NotAllowedError``."""
        sender.require(InstanceScope.PUBLISH)
        if not await hub_store.namespaces(session, sender.workspace):
            raise NotAllowedError("your workspace has no namespace to publish to; an admin takes one first")
