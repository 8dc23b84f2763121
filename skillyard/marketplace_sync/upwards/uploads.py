"""What a workspace sends to its remotes, as use cases: publishing, editing, rating, counting; and sending it.

Each is one transaction that writes an item of the outbox, and nothing else waits for the remote. ``send`` is what
brings the items up, now and then or on demand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

import orjson

from skillyard.database import Database, Session
from skillyard.errors import ConflictError, InputError, NotFoundError
from skillyard.governance import audit
from skillyard.governance.administrators import Administrator, require_admin
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.identity import PersonPrincipal
from skillyard.ids import WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.marketplace_sync.catalogue import store as catalogue_store
from skillyard.marketplace_sync.catalogue.documents import (
    ModerationState,
    RatingDocument,
    SkillDocument,
    moment,
    read_document,
)
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind, canonical, entry_id
from skillyard.marketplace_sync.conflicts.conflicts import Conflicts
from skillyard.marketplace_sync.conflicts.merge import skill_fields
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.remotes import store as remotes_store
from skillyard.marketplace_sync.remotes.remote import SKILLYARD, Remote, RemoteMarket
from skillyard.marketplace_sync.upwards import counting, store, words
from skillyard.marketplace_sync.upwards.collisions import Collisions, signing_keys
from skillyard.marketplace_sync.upwards.identity import origin_of
from skillyard.marketplace_sync.upwards.manifest import read_manifest
from skillyard.marketplace_sync.upwards.publishing import Publishable, Publisher
from skillyard.marketplace_sync.upwards.retrying import retry
from skillyard.marketplace_sync.upwards.sender import Sender
from skillyard.marketplace_sync.upwards.values import (
    Upload,
    UploadDraft,
    UploadId,
    UploadKind,
    UploadReport,
    UploadState,
)
from skillyard.runtime.values import SkillRef
from skillyard.settings import Settings
from skillyard.skills.source import Source
from skillyard.times import utcnow

EDITABLE: Final = frozenset({"description", "license", "topics", "categories", "channels", "deprecated"})
LATEST: Final = "latest"
KEPT: Final = timedelta(days=30)
"""How long what was sent or dropped can be looked at."""
FORGOTTEN_AT_ONCE: Final = 1000
RETRIED_AT_ONCE: Final = 1000


class Uploads:
    """All that goes upwards from this instance."""

    def __init__(
        self,
        *,
        database: Database,
        settings: Settings,
        lease: str,
        publisher: Publisher,
        connect: Callable[[RemoteMarket], Remote],
        conflicts: Conflicts,
        metrics: SyncMetrics,
    ) -> None:
        """``connect`` gives a client of a remote, to be closed by who asked for it. ``lease`` names this process."""
        self._database = database
        self._connect = connect
        self._share_counts = settings.marketplace_share_counts
        self.publisher = publisher
        self.collisions = Collisions(
            database=database,
            publisher=publisher,
            connect=connect,
            oldest=timedelta(hours=settings.marketplace_mirror_hours),
        )
        self._sender = Sender(
            database=database,
            conflicts=conflicts,
            collisions=self.collisions,
            outgoing=publisher.outgoing,
            metrics=metrics,
            lease=lease,
            max_age=timedelta(hours=settings.marketplace_upload_max_age_hours),
        )

    # Publishing

    async def publish(
        self, remote: str, source: Source, *, publisher: str, channel: str | None, by: Administrator
    ) -> Upload:
        """Publish a skill from a folder or an archive: scanned here first, then by the hub.

        Raises ``NotFoundError``, ``ReportRefusedError`` for a verdict that no hub makes visible, and what is wrong with
        the skill.
        """
        await self._writable(by.workspace, remote)
        version = await self.publisher.prepared(source)
        return await self._publish(version, remote=remote, publisher=publisher, channel=channel, by=by)

    async def publish_installed(self, remote: str, ref: SkillRef, *, channel: str | None, by: Administrator) -> Upload:
        """Publish a version that is installed here. Raises as ``publish``."""
        await self._writable(by.workspace, remote)
        version = await self.publisher.installed(by.workspace, ref)
        return await self._publish(version, remote=remote, publisher=ref.publisher, channel=channel, by=by)

    async def _publish(
        self, version: Publishable, *, remote: str, publisher: str, channel: str | None, by: Administrator
    ) -> Upload:
        workspace = by.workspace
        market = await self._writable(workspace, remote)
        skill = f"{publisher}/{version.skill.name}"
        entry_id(EntryKind.VERSION, f"{skill}@{version.skill.version}")
        async with self._database.reading() as session:
            base = await _channel(session, market, skill, channel or LATEST)
            keys = await signing_keys(session, market, publisher)
        draft = await self.publisher.draft(
            version,
            workspace=workspace,
            publisher=publisher,
            channel=channel,
            created_by=_name(by),
            base=base,
            keys=keys,
        )
        async with self._database.transaction() as session:
            await require_admin(session, by)
            market = await remotes_store.get(session, workspace, remote)
            before = await store.last_of(session, market.id, draft.kind, draft.key)
            if before is not None and before.state in (UploadState.WAITING, UploadState.CONFLICT):
                _require_same(before, draft)
                return before
            return await self._enqueue(session, market, draft, by)

    async def yank(self, remote: str, version: str, *, reason: str, by: Administrator) -> Upload:
        """Ask that a version be not found any more; who names it exactly still gets it."""
        return await self._moderate(remote, version, ModerationState.YANKED, reason, by=by)

    async def unyank(self, remote: str, version: str, *, reason: str, by: Administrator) -> Upload:
        """Take a yank back."""
        return await self._moderate(remote, version, ModerationState.VISIBLE, reason, by=by)

    async def _moderate(
        self, remote: str, version: str, state: ModerationState, reason: str, *, by: Administrator
    ) -> Upload:
        workspace = by.workspace
        entry_id(EntryKind.VERSION, version)
        if not 1 <= len(reason) <= 500:
            raise InputError("from 1 to 500 characters", field="reason")
        await self._writable(workspace, remote)
        draft = UploadDraft(
            kind=UploadKind.YANK,
            key=version,
            document=canonical({"state": state.value, "reason": reason}),
            created_by=_name(by),
        )
        async with self._database.transaction() as session:
            await require_admin(session, by)
            market = await remotes_store.get(session, workspace, remote)
            return await self._enqueue(session, market, draft, by)

    # Editing

    async def edit(self, remote: str, skill: str, fields: Mapping[str, object], *, by: Administrator) -> Upload:
        """Change what is said of a skill, from how the mirror has it. ``None`` takes a field away; ``channels`` maps
        names to versions, and names those alone that are to change.

        An edit that waits still is changed further, one that may be there already is gone on from. Raises
        ``InputError`` for a field that is none or changes nothing, ``NotFoundError`` for a skill that the mirror does
        not have.
        """
        if unknown := sorted(fields.keys() - EDITABLE):
            raise InputError(f"what can be changed is {', '.join(sorted(EDITABLE))}", field=unknown[0])
        await self._writable(by.workspace, remote)
        async with self._database.transaction() as session:
            await require_admin(session, by)
            market = await remotes_store.get(session, by.workspace, remote)
            entry = await _entry(session, market, EntryId(EntryKind.SKILL, skill))
            if entry.document is None:
                raise NotFoundError(f"{skill} is left out of the mirror by its filters")
            waiting = await store.last_edit(session, market.id, skill)
            rev, base, start = entry.rev, entry.document, entry.document
            if waiting is not None and waiting.document is not None:
                rev, start = waiting.base_rev or 0, waiting.document
                base = waiting.document if waiting.attempts else waiting.base_json or entry.document
            document = words.edited(start, fields)
            if skill_fields(document) == skill_fields(start):
                raise InputError("that is what it says already")
            draft = UploadDraft(
                kind=UploadKind.SKILL,
                key=skill,
                document=document,
                created_by=_name(by),
                base_rev=rev,
                base_json=base,
            )
            return await self._enqueue(session, market, draft, by)

    # Rating

    async def rate(
        self,
        remote: str,
        skill: str,
        *,
        stars: int,
        by: PersonPrincipal,
        review: str = "",
        author: str = "",
    ) -> Upload:
        """Say, or say anew, what somebody thinks of a remote's skill: 1 to 5 stars, and words. One word a person.

        ``author`` is the name it is shown with; nobody's goes up unless they give one. Raises ``NotFoundError`` for a
        skill that the mirror does not have, ``InputError``.
        """
        await self._writable(by.workspace, remote)
        async with self._database.transaction() as session:
            market = await remotes_store.get(session, by.workspace, remote)
            await _entry(session, market, EntryId(EntryKind.SKILL, skill))
            key, stamp = await words.next_word(session, market, skill, by)
            text = canonical(
                {
                    "stars": stars,
                    "review": review,
                    "author": author,
                    "stamp": str(stamp),
                    "at": moment(utcnow()).isoformat(),
                }
            )
            document = read_document(RatingDocument, text).text
            draft = UploadDraft(UploadKind.RATING, key, document, _name(by))
            return await self._enqueue(session, market, draft, by)

    async def unrate(self, remote: str, skill: str, *, by: PersonPrincipal) -> Upload:
        """Take a rating back. Raises ``NotFoundError`` where there is none of this person's."""
        await self._writable(by.workspace, remote)
        async with self._database.transaction() as session:
            market = await remotes_store.get(session, by.workspace, remote)
            key = await words.rating_key(session, market, skill, by)
            last = await store.last_of(session, market.id, UploadKind.RATING, key)
            there = await catalogue_store.get(session, market.catalogue, EntryId(EntryKind.RATING, key))
            said = last is not None and last.document is not None
            if not said and (last is not None or there is None or there.deleted):
                raise NotFoundError(f"there is no rating of yours for {skill}")
            draft = UploadDraft(UploadKind.RATING, key, None, _name(by))
            return await self._enqueue(session, market, draft, by)

    async def ratings(
        self, workspace: WorkspaceId, remote: str, *, after: int = 0, limit: int = 100
    ) -> tuple[words.GivenRating, ...]:
        """What persons of the workspace said, in the order they said it; of what was said anew, only the last."""
        async with self._database.reading() as session:
            market = await remotes_store.get(session, workspace, remote)
            found = await store.last_words(session, market.id, UploadKind.RATING, after=after, limit=limit)
        return tuple(words.given(market, one) for one in found)

    # Counting

    async def enqueue_counts(self, remote: RemoteMarket) -> int:
        """Tell a remote how often its skills were installed and called here, as running totals; returns of how many
        skills that is news. Only where ``marketplace_share_counts`` is on; else nothing is even counted."""
        if not self._share_counts or remote.kind != SKILLYARD:
            return 0
        async with self._database.transaction() as session:
            own = await catalogue_store.own(session, at=utcnow())
        origin = origin_of(own.feed_id, remote.workspace)
        async with self._database.reading() as session:
            counted = {f"{skill}#{origin}": one for skill, one in (await counting.totals(session, remote)).items()}
            said = await store.last_of_many(session, remote.id, UploadKind.COUNTS, counted)
        drafts = [
            draft for key, one in counted.items() if (draft := counting.news(key, one, said.get(key))) is not None
        ]
        if drafts:
            async with self._database.transaction() as session:
                await store.enqueue(session, remote, drafts, at=utcnow())
        return len(drafts)

    # Sending

    async def send(self, remote: RemoteMarket) -> UploadReport:
        """Send everything that is due to a remote. Raises ``RemoteError``, also for one that nothing is to be sent to,
        and ``UploadBrokenError``, after what was kept from going is put off."""
        if remote.kind != SKILLYARD:
            return UploadReport()
        await self._sender.require_open(remote.id)
        client = self._connect(remote)
        try:
            return await self._sender.send(remote, client)
        finally:
            await client.close()

    async def forget(self) -> int:
        """Delete items that ended long ago, and the bundles that nothing waits for any more."""
        gone, more = 0, True
        while more:
            async with self._database.transaction() as session:
                found = await store.forget(session, ended_before=utcnow() - KEPT, limit=FORGOTTEN_AT_ONCE)
            gone, more = gone + found, found == FORGOTTEN_AT_ONCE
        await self._sweep()
        return gone

    # Looking and mending

    async def list(
        self,
        workspace: WorkspaceId,
        *,
        remote: str | None = None,
        kind: UploadKind | None = None,
        state: UploadState | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> tuple[tuple[Upload, str], ...]:
        """Items with their remotes' names, in the order they were made, beginning behind ``after``."""
        async with self._database.reading() as session:
            named = None if remote is None else (await remotes_store.get(session, workspace, remote)).id
            found = await store.list_uploads(
                session, workspace, remote=named, kind=kind, state=state, after=after, limit=limit
            )
            names = {one.id: one.name for one in await remotes_store.list_remotes(session, workspace)}
        return tuple((one, names[one.remote]) for one in found)

    async def retry(self, upload: UploadId, *, by: Administrator) -> Upload:
        """Let a dead item be tried again. Raises ``NotFoundError``, ``ConflictError``."""
        async with self._database.transaction() as session:
            await require_admin(session, by)
            revived = await retry(session, by.workspace, upload, at=utcnow())
            await _record(session, by, Action.UPLOAD_RETRIED, f"upload/{upload}", {"key": revived.key})
            return revived

    async def retry_all(self, *, remote: str | None = None, by: Administrator) -> tuple[UploadId, ...]:
        """Let all dead items be tried again, up to ``RETRIED_AT_ONCE``; what newer ones overtook stays."""
        revived = []
        async with self._database.transaction() as session:
            await require_admin(session, by)
            named = None if remote is None else (await remotes_store.get(session, by.workspace, remote)).id
            for upload in await store.dead(session, by.workspace, named, limit=RETRIED_AT_ONCE):
                try:
                    await retry(session, by.workspace, upload, at=utcnow())
                except ConflictError:
                    continue
                revived.append(upload)
            await _record(session, by, Action.UPLOAD_RETRIED, "uploads", {"uploads": len(revived)})
        return tuple(revived)

    # Inside

    async def _writable(self, workspace: WorkspaceId, remote: str) -> RemoteMarket:
        """The remote, if anything can be sent to it. Raises ``NotFoundError``, ``InputError``."""
        async with self._database.reading() as session:
            market = await remotes_store.get(session, workspace, remote)
        if market.kind != SKILLYARD:
            raise InputError(f"{remote} is an index that is read only; nothing can be sent to it", field="remote")
        return market

    async def _enqueue(
        self, session: Session, remote: RemoteMarket, draft: UploadDraft, by: Administrator | PersonPrincipal
    ) -> Upload:
        await store.enqueue(session, remote, [draft], at=utcnow())
        upload = await store.last_of(session, remote.id, draft.kind, draft.key)
        assert upload is not None  # noqa: S101 - it was written a line before
        facts: dict[str, JsonValue] = {"remote": remote.name, "kind": draft.kind.value, "key": draft.key}
        await _record(session, by, Action.UPLOAD_QUEUED, f"upload/{upload.id}", facts)
        return upload

    async def _sweep(self) -> None:
        async with self._database.reading() as session:
            needed = {read_manifest(text).bundle for text in await store.bundles_needed(session)}
        await counting.swept(self.publisher.outgoing, needed)


def _require_same(waiting: Upload, draft: UploadDraft) -> None:
    """One number goes up with one content, and one channel. Raises ``ConflictError``."""
    bundles = [read_manifest(one.manifest_json or "").bundle for one in (waiting, draft)]
    if bundles[0] != bundles[1]:
        raise ConflictError(f"upload {waiting.id} of {draft.key} waits already, with other content")
    channels = [orjson.loads(one.document or "{}").get("channel") for one in (waiting, draft)]
    if channels[0] != channels[1]:
        named = "without a channel" if channels[0] is None else f"for the channel {channels[0]}"
        raise ConflictError(
            f"upload {waiting.id} of {draft.key} waits already, {named}; move channels with an edit once it is there"
        )


async def _channel(session: Session, remote: RemoteMarket, skill: str, channel: str) -> str | None:
    entry = await catalogue_store.get(session, remote.catalogue, EntryId(EntryKind.SKILL, skill))
    if entry is None or entry.document is None:
        return None
    return read_document(SkillDocument, entry.document).channels.get(channel)


async def _entry(session: Session, remote: RemoteMarket, id_: EntryId) -> Entry:
    found = await catalogue_store.get(session, remote.catalogue, entry_id(id_.kind.value, id_.key))
    if found is None or found.deleted:
        raise NotFoundError(f"{remote.name} has no {id_}, as far as its mirror goes; sync first")
    return found


async def _record(
    session: Session,
    by: Administrator | PersonPrincipal,
    action: Action,
    subject: str,
    facts: Mapping[str, JsonValue],
) -> None:
    more = by.facts if isinstance(by, Administrator) else {}
    await audit.append(session, AuditRecord(by.workspace, utcnow(), by.actor, action, subject, {**facts, **more}))


def _name(by: Administrator | PersonPrincipal) -> str:
    return f"{by.actor.kind.value} {by.actor.id}"
