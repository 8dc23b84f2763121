"""Publishers: who took which namespace, and the public keys their versions are signed with."""

from __future__ import annotations

from skillyard.database import Database, Session
from skillyard.errors import ConflictError, InputError, NotFoundError
from skillyard.governance import audit
from skillyard.governance.administrators import Administrator, require_admin
from skillyard.governance.audit import Action, AuditRecord
from skillyard.ids import WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.marketplace_sync.catalogue.documents import (
    ModerationDocument,
    ModerationState,
    PublicKeyFact,
    PublisherDocument,
    moment,
)
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind, entry_id
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.errors import NotAllowedError
from skillyard.marketplace_sync.hub import store as hub_store
from skillyard.marketplace_sync.hub.ground import Ground
from skillyard.marketplace_sync.hub.lookalikes import lookalike
from skillyard.marketplace_sync.hub.values import Namespace
from skillyard.marketplace_sync.hub.words import HUB
from skillyard.times import utcnow

MOST = 50
"""Namespaces of one workspace."""
_RESERVED = frozenset({"local", "skillyard", "marketplace"})
_MOST_KEYS = 20
_LONGEST = 64


class Namespaces:
    """Namespaces are taken by admins, first come, first served; one that looks like another waits for a moderator."""

    def __init__(self, *, database: Database, ground: Ground) -> None:
        self._database = database
        self._ground = ground

    async def take(self, name: str, display_name: str, *, by: Administrator) -> Namespace:
        """Raises ``ConflictError`` for a name that is taken or kept back."""
        id_ = entry_id(EntryKind.PUBLISHER, name)
        if name in _RESERVED or len(name) > _LONGEST:
            raise InputError("this name is kept back, or longer than 64 characters", field="name")
        async with self._database.transaction() as session:
            await require_admin(session, by)
            if await hub_store.namespace(session, name) is not None:
                raise ConflictError(f"the namespace {name} is taken")
            if len(await hub_store.namespaces(session, by.workspace)) >= MOST:
                raise ConflictError(f"a workspace has at most {MOST} namespaces")
            now = moment(utcnow())
            like = lookalike(name, await hub_store.namespace_names(session))
            made = await hub_store.add_namespace(session, name, workspace=by.workspace, by=by.person, at=now)
            changes = [Change(id_, PublisherDocument(display_name=display_name).text)]
            if like is not None:
                epoch = (await self._ground.catalogue(session)).moderation + 1
                reason = f"the name looks like that of {like.popular}: {name} {like.how}"
                word = ModerationDocument(
                    state=ModerationState.HELD, reason=reason, actor=f"{HUB} {HUB}", epoch=epoch, at=now
                )
                changes.append(Change(EntryId(EntryKind.MODERATION, name), word.text))
            await self._ground.change(session, changes, at=now, moderated=like is not None)
            await self._record(session, by, Action.MARKET_NAMESPACE_TAKEN, name, {"held": like is not None})
        return made

    async def of(self, workspace: WorkspaceId) -> tuple[Namespace, ...]:
        async with self._database.reading() as session:
            return await hub_store.namespaces(session, workspace)

    async def page(self, *, after: str, limit: int) -> tuple[Entry, ...]:
        """Publishers' entries by name, beginning behind ``after``."""
        async with self._database.reading() as session:
            return await self._ground.page(session, EntryKind.PUBLISHER, after=after, limit=limit)

    async def add_key(self, name: str, key: str, *, by: Administrator) -> PublisherDocument:
        """From now on versions are signed, with one of the publisher's keys. Adding a key again changes nothing."""
        async with self._database.transaction() as session:
            document = await self._own(session, name, by)
            known = {one.key: one for one in document.keys}
            if key in known and known[key].revoked_at is None:
                return document
            if key in known:
                raise ConflictError("this key was revoked; a revoked key is never taken again")
            if len(known) >= _MOST_KEYS:
                raise ConflictError(f"a publisher has at most {_MOST_KEYS} keys, revoked ones included")
            now = moment(utcnow())
            added = document.model_copy(update={"keys": (*document.keys, PublicKeyFact(key=key, added_at=now))})
            await self._ground.change(session, [Change(EntryId(EntryKind.PUBLISHER, name), added.text)], at=now)
            await self._record(session, by, Action.MARKET_KEY_ADDED, name, {"key": key})
        return added

    async def revoke_key(self, name: str, key: str, *, by: Administrator) -> PublisherDocument:
        """Signatures with it are not taken any more. Raises ``NotFoundError``."""
        async with self._database.transaction() as session:
            document = await self._own(session, name, by)
            if key not in {one.key for one in document.keys}:
                raise NotFoundError(f"{name} has no such key")
            now = moment(utcnow())
            keys = tuple(
                one.model_copy(update={"revoked_at": one.revoked_at or now}) if one.key == key else one
                for one in document.keys
            )
            changed = document.model_copy(update={"keys": keys})
            await self._ground.change(session, [Change(EntryId(EntryKind.PUBLISHER, name), changed.text)], at=now)
            await self._record(session, by, Action.MARKET_KEY_REVOKED, name, {"key": key})
        return changed

    async def _own(self, session: Session, name: str, by: Administrator) -> PublisherDocument:
        await require_admin(session, by)
        found = await hub_store.namespace(session, name)
        if found is None or found.workspace != by.workspace:
            raise NotAllowedError(f"the namespace {name} is not one of your workspace's")
        return (await self._ground.document(session, EntryId(EntryKind.PUBLISHER, name), PublisherDocument))[1]

    @staticmethod
    async def _record(
        session: Session, by: Administrator, action: Action, name: str, facts: dict[str, JsonValue]
    ) -> None:
        record = AuditRecord(by.workspace, utcnow(), by.actor, action, f"publisher/{name}", {**facts, **by.facts})
        await audit.append(session, record)
