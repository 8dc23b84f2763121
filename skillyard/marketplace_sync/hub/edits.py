"""What a publisher says of a skill beside its versions: description, topics, categories, channels, deprecation."""

from __future__ import annotations

from collections.abc import Callable

from skillyard.database import Session
from skillyard.governance import audit
from skillyard.governance.audit import Action, AuditRecord
from skillyard.json_value import JsonValue
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import SkillDocument, moment
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.errors import DocumentError, RevisionConflictError
from skillyard.marketplace_sync.hub import store as hub_store
from skillyard.marketplace_sync.hub.channels import LATEST
from skillyard.marketplace_sync.hub.ground import Ground
from skillyard.marketplace_sync.hub.latest import Latest
from skillyard.marketplace_sync.hub.values import Sender
from skillyard.times import utcnow

_FIELDS = ("description", "license", "topics", "categories", "channels", "deprecated")


class Edits:
    """Edits in the caller's transaction, each made from a revision that must be the present one."""

    def __init__(self, *, ground: Ground, latest: Latest) -> None:
        self._ground = ground
        self._latest = latest

    async def replace(
        self, session: Session, sender: Sender, key: str, wanted: SkillDocument, *, base_rev: int
    ) -> tuple[Entry, bool]:
        """The skill as a publisher wants it, and whether that changed anything. Raises ``RevisionConflictError``."""
        return await self._edit(session, sender, key, lambda _: wanted, base_rev=base_rev)

    async def change(
        self,
        session: Session,
        sender: Sender,
        key: str,
        edit: Callable[[SkillDocument], SkillDocument],
        *,
        base_rev: int | None = None,
    ) -> tuple[Entry, bool]:
        """The same for one field; without a revision, of whatever is there."""
        return await self._edit(session, sender, key, edit, base_rev=base_rev)

    async def _edit(
        self,
        session: Session,
        sender: Sender,
        key: str,
        edit: Callable[[SkillDocument], SkillDocument],
        *,
        base_rev: int | None,
    ) -> tuple[Entry, bool]:
        await self._ground.require_owner(session, sender, key.partition("/")[0])
        id_ = EntryId(EntryKind.SKILL, key)
        entry, before = await self._ground.document(session, id_, SkillDocument)
        wanted = edit(before)
        if base_rev is not None and base_rev != entry.rev:
            raise RevisionConflictError(f"{id_} is at revision {entry.rev}, not {base_rev}; read it again")
        if wanted.body != before.body:
            raise DocumentError("comes from the latest version's SKILL.md, and is changed by publishing", field="body")
        await self._require_known(session, key, wanted)
        changed = [name for name in _FIELDS if getattr(wanted, name) != getattr(before, name)]
        if not changed:
            return entry, False
        now = moment(utcnow())
        document = wanted.model_copy(update={"updated_at": now})
        if wanted.channels[LATEST] != before.channels.get(LATEST):
            document = await self._latest.following(session, key, document, kept=changed)
        _, (written,) = await self._ground.change(session, [Change(id_, document.text)], at=now)
        facts: dict[str, JsonValue] = {"changed": changed, "channels": dict(wanted.channels), **sender.facts}
        record = AuditRecord(sender.workspace, now, sender.actor, Action.MARKET_SKILL_CHANGED, key, facts)
        await audit.append(session, record)
        return written, True

    async def _require_known(self, session: Session, key: str, wanted: SkillDocument) -> None:
        """Channels name versions that are there, categories are on the list, a successor is not the skill itself."""
        if LATEST not in wanted.channels:
            raise DocumentError("there is always a latest version", field="channels")
        numbers = {one.number for one in await hub_store.versions_below(session, key) if not one.deleted}
        for channel, number in wanted.channels.items():
            if number not in numbers:
                raise DocumentError(f"{channel} names {number}, and there is no such version", field="channels")
        ids = [EntryId(EntryKind.CATEGORY, slug) for slug in wanted.categories]
        there = await store.get_many(session, self._ground.id, ids)
        for id_ in ids:
            if id_ not in there or there[id_].deleted:
                raise DocumentError(f"there is no category {id_.key}", field="categories")
        if wanted.deprecated is not None and wanted.deprecated.successor == key:
            raise DocumentError("a skill is not its own successor", field="deprecated.successor")
