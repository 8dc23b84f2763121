"""Conflicts as use cases: what is found as a remote moves on, lists, and resolving by hand, many at once or none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from skillyard.database import Database, Session
from skillyard.errors import ConflictError, InputError
from skillyard.governance import audit
from skillyard.governance.administrators import Administrator, require_admin
from skillyard.governance.audit import Action, AuditRecord
from skillyard.ids import WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.marketplace_sync.catalogue import store as catalogue_store
from skillyard.marketplace_sync.catalogue.documents import SkillDocument, moment, read_document
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind, canonical
from skillyard.marketplace_sync.conflicts import store
from skillyard.marketplace_sync.conflicts.detect import detect_skill
from skillyard.marketplace_sync.conflicts.finding import ConflictUndecidedError, Finding, send
from skillyard.marketplace_sync.conflicts.settle import Send, Settlement, TakeTheirs, Wait, made_from, settle_skill
from skillyard.marketplace_sync.conflicts.values import MOST_AT_ONCE, Conflict, ConflictId, ConflictState, Strategy
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.remotes import store as remotes_store
from skillyard.marketplace_sync.remotes.remote import RemoteId, RemoteMarket
from skillyard.marketplace_sync.upwards import store as uploads_store
from skillyard.marketplace_sync.upwards.lost import say_again
from skillyard.marketplace_sync.upwards.values import DropReason, Upload, UploadDraft, UploadId, UploadState
from skillyard.times import utcnow


class ConflictRenewedError(ConflictError):
    """The remote has moved on since a conflict was found: look again. Nothing was resolved."""

    code = "conflict_renewed"


class Successors(Protocol):
    """Whoever can make a version that comes after two which claim one number."""

    async def successor(self, remote: RemoteMarket, upload: Upload, strategy: Strategy) -> UploadDraft:
        """What is to go up instead. Raises ``ConflictUndecidedError`` where nothing can be made of both."""


class Conflicts:
    """Finds, lists and resolves."""

    def __init__(self, *, database: Database, metrics: SyncMetrics) -> None:
        self._database = database
        self.finding = Finding(metrics=metrics)

    async def on_entries(self, session: Session, remote: RemoteMarket, entries: Sequence[Entry]) -> int:
        """For the follower, inside the transaction that applies these entries; see ``Finding``."""
        return await self.finding.on_entries(session, remote, entries)

    async def on_read_again(self, session: Session, remote: RemoteMarket) -> int:
        """For the follower, inside a transaction behind a whole reading; see ``upwards.lost``."""
        return await say_again(session, remote)

    # Looking

    async def list(
        self,
        workspace: WorkspaceId,
        *,
        state: ConflictState | None = None,
        remote: str | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> tuple[Conflict, ...]:
        """In the order they were found, beginning behind ``after``. Raises ``NotFoundError`` for an unknown remote."""
        async with self._database.reading() as session:
            named = None if remote is None else (await remotes_store.get(session, workspace, remote)).id
            return await store.list_conflicts(session, workspace, state=state, remote=named, after=after, limit=limit)

    async def get(self, workspace: WorkspaceId, conflict: ConflictId) -> Conflict:
        """Raises ``NotFoundError``."""
        async with self._database.reading() as session:
            (found,) = await store.get_many(session, workspace, [conflict])
            return found

    # Resolving by hand

    async def resolve(
        self,
        ids: Collection[ConflictId],
        *,
        by: Administrator,
        successors: Successors,
        strategy: Strategy | None = None,
        document: Mapping[str, object] | None = None,
    ) -> tuple[Conflict, ...]:
        """Settle conflicts by a strategy, or one of them by a document of a skill. All of them, or none.

        Raises ``NotFoundError``; ``ConflictError`` for one that is resolved already; ``ConflictUndecidedError`` where
        the strategy cannot settle one; ``ConflictRenewedError`` where a remote has moved on since.
        """
        chosen = _chosen(ids, strategy, document)
        async with self._database.reading() as session:
            before = await store.get_many(session, by.workspace, ids)
        _require_open(before)
        settlements = {one.id: await self._settlement(one, strategy, chosen, successors) for one in before}
        async with self._database.transaction() as session:
            await require_admin(session, by)
            found = await store.get_many(session, by.workspace, ids)
            _require_open(found)
            # Renewals are committed, so that who looks again sees what the conflict is about by now.
            renewed = [one.id for one, was in zip(found, before, strict=True) if await self._renewed(session, one, was)]
            if not renewed:
                for one in found:
                    await self._apply(session, one, settlements[one.id], strategy or Strategy.MANUAL, by)
        if renewed:
            named = ", ".join(map(str, renewed))
            raise ConflictRenewedError(f"the remote has moved on since conflict {named} was found; look again")
        async with self._database.reading() as session:
            return await store.get_many(session, by.workspace, ids)

    async def _settlement(
        self, conflict: Conflict, strategy: Strategy | None, chosen: str | None, successors: Successors
    ) -> TakeTheirs | Send:
        """Worked out before the transaction, because a version takes a scan."""
        found = await self._wanted(conflict, strategy, chosen, successors)
        if isinstance(found, Wait):
            raise ConflictUndecidedError(f"conflict {conflict.id}: {found.why}; choose a side or a document")
        return found

    async def _wanted(
        self, conflict: Conflict, strategy: Strategy | None, chosen: str | None, successors: Successors
    ) -> Settlement:
        if chosen is not None:
            if conflict.of_version:
                return Wait("a version is not chosen by a document")
            return Send(made_from(conflict.theirs, chosen))
        if strategy is None or strategy is Strategy.MANUAL:
            return Wait("it is resolved by remote_wins, local_wins or merge")
        if not conflict.of_version:
            return settle_skill(strategy, conflict.base, conflict.local, conflict.theirs)
        if strategy is Strategy.REMOTE_WINS:
            return TakeTheirs(conflict.theirs)
        async with self._database.reading() as session:
            upload = await _upload(session, conflict)
            remote = await remotes_store.find(session, RemoteId(conflict.remote))
        draft = await successors.successor(remote, upload, strategy)
        return Send(draft.document or "", draft)

    async def _renewed(self, session: Session, conflict: Conflict, before: Conflict) -> bool:
        """Whether the remote's side is another than the one that was decided about; then the conflict is renewed."""
        if conflict.remote_rev != before.remote_rev:
            return True
        entry = await _entry(session, conflict)
        if conflict.of_version or entry is None or entry.document is None or entry.rev <= conflict.remote_rev:
            return False
        if detect_skill(conflict.base, conflict.theirs, entry.document) is None:
            return False
        difference = detect_skill(conflict.base, conflict.local, entry.document)
        if difference is None:
            return False
        remote = RemoteId(conflict.remote)
        mark = store.fingerprint(remote, conflict.key, conflict.base, conflict.local, entry.rev)
        at = utcnow()
        await store.renew(session, conflict.id, difference, mark=mark, theirs=entry.document, rev=entry.rev, at=at)
        return True

    async def _apply(
        self,
        session: Session,
        conflict: Conflict,
        settlement: TakeTheirs | Send,
        strategy: Strategy,
        by: Administrator,
    ) -> None:
        upload = await _upload(session, conflict)
        remote = await remotes_store.find(session, RemoteId(conflict.remote))
        if isinstance(settlement, TakeTheirs):
            await uploads_store.drop(session, upload.id, DropReason.THEIRS, at=utcnow())
        else:
            rev = _seen(conflict, await _entry(session, conflict))
            await send(session, upload.id, settlement, rev=rev, theirs=conflict.theirs, before=None)
        actor = f"{by.actor.kind.value} {by.actor.id}"
        await self.finding.settled(session, remote, conflict.id, strategy, result=settlement.result, by=actor)
        facts: dict[str, JsonValue] = {"remote": remote.name, "key": conflict.key, "strategy": strategy.value}
        subject = f"conflict/{conflict.id}"
        record = AuditRecord(by.workspace, utcnow(), by.actor, Action.CONFLICT_RESOLVED, subject, {**facts, **by.facts})
        await audit.append(session, record)


async def _upload(session: Session, conflict: Conflict) -> Upload:
    """Our side, which waits. Raises ``ConflictError`` where it does not any more."""
    if conflict.upload is None:
        raise ConflictUndecidedError(f"our side of conflict {conflict.id} is not kept any more")
    upload = await uploads_store.get(session, conflict.workspace, UploadId(conflict.upload))
    if upload.state is not UploadState.CONFLICT:
        raise ConflictError(f"upload {upload.id} of conflict {conflict.id} is {upload.state} already")
    return upload


async def _entry(session: Session, conflict: Conflict) -> Entry | None:
    """The remote's side as the mirror has it now."""
    remote = await remotes_store.find(session, RemoteId(conflict.remote))
    kind = EntryKind.VERSION if conflict.of_version else EntryKind.SKILL
    return await catalogue_store.get(session, remote.catalogue, EntryId(kind, conflict.key))


def _seen(conflict: Conflict, entry: Entry | None) -> int:
    """The newest revision that says what was decided about. Anything else nobody has seen, and the remote answers what
    was made from an older one with a conflict."""
    if conflict.of_version or entry is None or entry.document is None or entry.rev <= conflict.remote_rev:
        return conflict.remote_rev
    return conflict.remote_rev if detect_skill(entry.document, conflict.theirs, entry.document) else entry.rev


def _chosen(
    ids: Collection[ConflictId], strategy: Strategy | None, document: Mapping[str, object] | None
) -> str | None:
    """The chosen document as canonical JSON. Raises ``InputError``."""
    if not 1 <= len(ids) <= MOST_AT_ONCE:
        raise InputError(f"from 1 to {MOST_AT_ONCE} conflicts at once", field="ids")
    if (strategy is None) == (document is None):
        raise InputError("either a strategy or a document", field="strategy")
    if document is None:
        return None
    if len(ids) != 1:
        raise InputError("a document is chosen for one conflict", field="document")
    text = canonical({"updated_at": moment(utcnow()).isoformat(), **document})
    read_document(SkillDocument, text)
    return text


def _require_open(conflicts: Sequence[Conflict]) -> None:
    for one in conflicts:
        if one.state is not ConflictState.OPEN:
            raise ConflictError(f"conflict {one.id} is resolved already, by {one.resolved_by}")
