"""Writing and reading the entries of catalogues. Everything happens in the caller's transaction.

The number of a change is taken inside the transaction that makes it, and transactions of writers follow one another
(the write lock of SQLite, the advisory lock on PostgreSQL), so numbers appear in the order of commits and none is
skipped over by a reader.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Protocol

import orjson
from sqlalchemy import (
    Row,
    String,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from skillyard.database import Session, copy_rows, tell
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.catalogue.entry import (
    MAX_DOCUMENT_BYTES,
    CatalogueId,
    Entry,
    EntryId,
    EntryKind,
    entry_hash,
    member,
)
from skillyard.marketplace_sync.catalogue.set_digest import EMPTY, SetDigest
from skillyard.marketplace_sync.catalogue.tables import CatalogueRow, EntryRow
from skillyard.marketplace_sync.errors import DocumentError, RevisionConflictError
from skillyard.threads import beside
from skillyard.times import in_utc


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A catalogue's state. ``digest`` is the state of its ``SetDigest``; ``workspace`` is ``None`` for the own one."""

    id: CatalogueId
    workspace: WorkspaceId | None
    feed_id: str
    epoch: int
    seq: int
    horizon: int
    moderation: int
    live: int
    digest: bytes
    changed_at: datetime

    @property
    def digest_hex(self) -> str:
        return SetDigest(self.digest).hex


@dataclass(frozen=True, slots=True)
class Change:
    """A wanted change of the own catalogue. ``document`` is canonical JSON, ``None`` deletes.

    ``base_rev`` is the revision that it was made from (0: it was not there); ``None`` asks for none.
    """

    id: EntryId
    document: str | None
    base_rev: int | None = None


class Projection(Protocol):
    """Whoever keeps an index over entries. Told in the transaction that changes them."""

    async def changed(self, session: Session, catalogue: CatalogueId, entries: Sequence[Entry]) -> None:
        """These entries are as given now; tombstones and left-out documents are to be forgotten."""

    async def cleared(self, session: Session, catalogue: CatalogueId) -> None:
        """All entries of the catalogue are gone."""

    async def settled(self, session: Session, catalogue: CatalogueId) -> None:
        """No more entries come for now: what waits for others is to be written."""


async def own(session: Session, *, at: datetime) -> Catalogue:
    """The instance's own catalogue, made where there is none yet."""
    row = await session.scalar(select(CatalogueRow).where(CatalogueRow.workspace_id.is_(None)))
    return _value(row) if row is not None else await create(session, None, at=at, feed_id=str(uuid.uuid4()), epoch=1)


async def create(
    session: Session, workspace: WorkspaceId | None, *, at: datetime, feed_id: str = "", epoch: int = 0
) -> Catalogue:
    """An empty catalogue. A mirror's has no feed until its remote said which."""
    row = CatalogueRow(
        workspace_id=workspace,
        feed_id=feed_id,
        epoch=epoch,
        seq=0,
        horizon=0,
        moderation=0,
        live=0,
        digest=EMPTY,
        changed_at=at,
    )
    session.add(row)
    await session.flush()
    return _value(row)


async def find(session: Session, catalogue: CatalogueId) -> Catalogue:
    query = select(CatalogueRow).where(CatalogueRow.id == catalogue).execution_options(populate_existing=True)
    return _value((await session.scalars(query)).one())


async def own_state(session: Session) -> tuple[int, int] | None:
    """Epoch and number of the own catalogue; ``None`` where there is none yet."""
    query = select(CatalogueRow.epoch, CatalogueRow.seq).where(CatalogueRow.workspace_id.is_(None))
    row = (await session.execute(query)).first()
    return None if row is None else (row[0], row[1])


async def claim_key(session: Session, catalogue: CatalogueId, public_key: str) -> str:
    """The key that a catalogue's heads are signed with: this one, where there was none yet."""
    held = await session.scalar(select(CatalogueRow.public_key).where(CatalogueRow.id == catalogue))
    if held is not None:
        return held
    await session.execute(
        update(CatalogueRow)
        .where(CatalogueRow.id == catalogue)
        .values(public_key=public_key)
        .execution_options(synchronize_session=False)
    )
    return public_key


async def write(
    session: Session, catalogue: Catalogue, changes: Sequence[Change], *, projection: Projection, at: datetime
) -> tuple[Catalogue, tuple[Entry, ...]]:
    """Make changes of the own catalogue, each with the next number. What changes nothing gets none, and is left out.

    Raises ``DocumentError`` for one that nobody would read, before anything is written, and ``RevisionConflictError``
    for the first whose ``base_rev`` is not the entry's; then nothing is to be committed.
    """
    for change in changes:
        if change.document is not None and len(change.document.encode()) > MAX_DOCUMENT_BYTES:
            raise DocumentError(f"{change.id} would be larger than {MAX_DOCUMENT_BYTES} bytes")
    before = await get_many(session, catalogue.id, (change.id for change in changes))
    latest = dict(before)
    seq = catalogue.seq
    for change in changes:
        now = latest.get(change.id)
        rev = 0 if now is None or now.deleted else now.rev
        if change.base_rev is not None and change.base_rev != rev:
            raise RevisionConflictError(f"{change.id} is at revision {rev}, not {change.base_rev}; read it again")
        if now is None and change.document is None:
            continue
        if now is not None and now.document == change.document and now.deleted == (change.document is None):
            continue
        seq += 1
        # Revisions go on behind a tombstone, so that what was deleted and comes back is newer than both.
        rev = (0 if now is None else now.rev) + 1
        deleted = change.document is None
        sha256 = entry_hash(change.id, rev, change.document, deleted=deleted)
        latest[change.id] = Entry(change.id, seq, rev, change.document, sha256, deleted, at)
    written = [entry for id_, entry in latest.items() if entry != before.get(id_)]
    written.sort(key=lambda entry: entry.seq)
    after = await _put(session, replace(catalogue, seq=seq, changed_at=at), written, before=before)
    await projection.changed(session, catalogue.id, written)
    if written:
        # One word about a publisher changes all its listings, and nothing that comes later settles them.
        await projection.settled(session, catalogue.id)
        # Followers that wait at other processes hear of it once it is committed.
        await tell(session)
    return after, tuple(written)


async def apply(
    session: Session, mirror: Catalogue, entries: Sequence[Entry], *, projection: Projection
) -> tuple[Catalogue, tuple[Entry, ...]]:
    """Take over entries of a remote as they are. One that the mirror has at the same or a later number is left out.

    ``mirror`` carries the checkpoint that is kept with them: feed, epoch, number. Returns what was new.
    """
    latest: dict[EntryId, Entry] = {}
    for entry in entries:
        if (seen := latest.get(entry.id)) is None or entry.seq > seen.seq:
            latest[entry.id] = entry
    before = await get_many(session, mirror.id, latest)
    fresh = [one for one in latest.values() if (held := before.get(one.id)) is None or one.seq > held.seq]
    fresh.sort(key=lambda entry: entry.seq)
    after = await _put(session, mirror, fresh, before=before)
    await projection.changed(session, mirror.id, fresh)
    return after, tuple(fresh)


async def clear(session: Session, catalogue: Catalogue, *, projection: Projection) -> Catalogue:
    """Forget all entries."""
    await session.execute(delete(EntryRow).where(EntryRow.catalogue_id == catalogue.id))
    await projection.cleared(session, catalogue.id)
    return await save(session, replace(catalogue, seq=0, horizon=0, live=0, digest=EMPTY))


async def save(session: Session, catalogue: Catalogue) -> Catalogue:
    """Keep a catalogue's state; the entries are not touched."""
    values = {
        "feed_id": catalogue.feed_id,
        "epoch": catalogue.epoch,
        "seq": catalogue.seq,
        "horizon": catalogue.horizon,
        "moderation": catalogue.moderation,
        "live": catalogue.live,
        "digest": catalogue.digest,
        "changed_at": catalogue.changed_at,
    }
    await session.execute(
        update(CatalogueRow)
        .where(CatalogueRow.id == catalogue.id)
        .values(values)
        .execution_options(synchronize_session=False)
    )
    return catalogue


async def get(session: Session, catalogue: CatalogueId, id_: EntryId) -> Entry | None:
    return (await get_many(session, catalogue, (id_,))).get(id_)


async def get_many(session: Session, catalogue: CatalogueId, ids: Iterable[EntryId]) -> dict[EntryId, Entry]:
    """Those of the entries that are there, tombstones included."""
    wanted: dict[EntryKind, list[str]] = {}
    for one in dict.fromkeys(ids):
        wanted.setdefault(one.kind, []).append(one.key)
    sqlite = session.get_bind().dialect.name == "sqlite"
    if not sqlite and sum(map(len, wanted.values())) >= _MANY:
        await session.execute(_PLAN_ANEW)
    found: dict[EntryId, Entry] = {}
    for kind, keys in wanted.items():
        given = orjson.dumps(keys).decode() if sqlite else keys
        query = _OF_KEYS_SQLITE if sqlite else _OF_KEYS_POSTGRESQL
        for row in await session.execute(query, {"in": catalogue, "of": kind, "given": given}):
            entry = _entry(row)
            found[entry.id] = entry
    return found


async def page(
    session: Session,
    catalogue: CatalogueId,
    *,
    after: int,
    limit: int,
    up_to: int | None = None,
    tombstones: bool = True,
) -> tuple[Entry, ...]:
    """Entries by the number of their last change, beginning behind ``after``."""
    query = select(*_COLUMNS).where(EntryRow.catalogue_id == catalogue, EntryRow.seq > after)
    if up_to is not None:
        query = query.where(EntryRow.seq <= up_to)
    if not tombstones:
        query = query.where(EntryRow.deleted.is_(False))
    rows = await session.execute(query.order_by(EntryRow.seq).limit(limit))
    return tuple(_entry(row) for row in rows)


async def with_prefix(
    session: Session, catalogue: CatalogueId, kind: EntryKind, prefix: str, *, after: str = "", limit: int = 1000
) -> tuple[Entry, ...]:
    """Live entries of a kind whose key begins so, by key, beginning behind ``after``."""
    # The character behind the last that keys have, so that the key's index serves it on both engines.
    query = select(*_COLUMNS).where(
        EntryRow.catalogue_id == catalogue,
        EntryRow.kind == kind,
        EntryRow.key >= prefix,
        EntryRow.key < f"{prefix}\x7f",
        EntryRow.deleted.is_(False),
    )
    if after:
        query = query.where(EntryRow.key > after)
    rows = await session.execute(query.order_by(EntryRow.key).limit(limit))
    return tuple(_entry(row) for row in rows)


async def purge(session: Session, catalogue: Catalogue, *, deleted_before: datetime) -> Catalogue:
    """Forget tombstones from before a moment, and move the horizon behind them."""
    old = and_(EntryRow.catalogue_id == catalogue.id, EntryRow.deleted.is_(True), EntryRow.changed_at < deleted_before)
    rows = (await session.execute(select(*_COLUMNS).where(old))).all()
    if not rows:
        return catalogue
    gone = [_entry(row) for row in rows]
    await session.execute(delete(EntryRow).where(old))
    horizon = max(catalogue.horizon, *(entry.seq for entry in gone))
    return await save(session, replace(catalogue, horizon=horizon))


async def _put(
    session: Session, catalogue: Catalogue, entries: Sequence[Entry], *, before: Mapping[EntryId, Entry]
) -> Catalogue:
    # Tombstones do not count: a snapshot has none, and a hub forgets its own sooner or later.
    gone = [held for one in entries if (held := before.get(one.id)) is not None and not held.deleted]
    come = [one for one in entries if not one.deleted]
    added = [one for one in entries if one.id not in before]
    changed = [
        {"in": catalogue.id, "of": one.id.kind, "named": one.id.key, **_state(one)}
        for one in entries
        if one.id in before
    ]
    # A few microseconds for each of many, while the database does its part.
    async with beside(partial(_digest, catalogue.digest, come, gone)) as digest:
        if added:
            await _insert(session, catalogue.id, added)
        if changed:
            await (await session.connection()).execute(_UPDATE, changed)
        return await save(session, replace(catalogue, digest=await digest, live=catalogue.live + len(come) - len(gone)))


def _digest(before: bytes, come: Sequence[Entry], gone: Sequence[Entry]) -> bytes:
    digest = SetDigest(before)
    for one in gone:
        digest.remove(member(one.id, one.sha256))
    digest.add_all(member(one.id, one.sha256) for one in come)
    return digest.state


_COLUMNS = (
    EntryRow.kind,
    EntryRow.key,
    EntryRow.seq,
    EntryRow.rev,
    EntryRow.document,
    EntryRow.sha256,
    EntryRow.deleted,
    EntryRow.changed_at,
)


_OF_KIND = and_(EntryRow.catalogue_id == bindparam("in"), EntryRow.kind == bindparam("of"))
_OF_KEYS_SQLITE = select(*_COLUMNS).where(
    _OF_KIND, EntryRow.key.in_(select(func.json_each(bindparam("given", type_=Text)).table_valued("value").c.value))
)
"""Entries of one kind by their keys, which are one value, however many there are."""

# Of a list of values PostgreSQL believes, as long as it has no statistics, that it names nearly everything, and reads
# the whole catalogue for every page of a first sync. What has a limit is looked up key by key.
_GIVEN = select(func.unnest(bindparam("given", type_=ARRAY(String)), type_=String).column_valued("key")).subquery()
_OF_KEY = select(*_COLUMNS).where(_OF_KIND, EntryRow.key == _GIVEN.c.key).limit(1).correlate(_GIVEN).lateral()
_OF_KEYS_POSTGRESQL = select(*_OF_KEY.c).select_from(_GIVEN).join(_OF_KEY, true())

_MANY = 50
_PLAN_ANEW = text("SET LOCAL plan_cache_mode = force_custom_plan")
"""A plan that was made for an empty mirror, by whichever index, would be kept while that grows to any size."""

_INSERT_SQLITE = insert(EntryRow.__table__)  # type: ignore[arg-type]  # declared as any FromClause, and is a table
_STATE = ("seq", "rev", "document", "sha256", "deleted", "changed_at")
_UPDATE = (
    update(EntryRow.__table__)  # type: ignore[arg-type]
    .where(_OF_KIND, EntryRow.key == bindparam("named"))
    .values({name: bindparam(name) for name in _STATE})
)


def _entry(row: Row[EntryKind, str, int, int, str | None, str, bool, datetime]) -> Entry:
    kind, key, seq, rev, document, sha256, deleted, changed_at = row
    return Entry(EntryId(kind, key), seq, rev, document, sha256, deleted, changed_at)


async def _insert(session: Session, catalogue: CatalogueId, entries: Sequence[Entry]) -> None:
    """Past the unit of work: no objects are to be kept in step, and a page of a first sync has a thousand rows."""
    connection = await session.connection()
    if connection.dialect.name == "sqlite":
        given = [{"catalogue_id": catalogue, "kind": one.id.kind, "key": one.id.key, **_state(one)} for one in entries]
        await connection.execute(_INSERT_SQLITE, given)
        return
    rows = ((catalogue, one.id.kind.value, one.id.key, *_state(one).values()) for one in entries)
    await copy_rows(session, EntryRow.__tablename__, ("catalogue_id", "kind", "key", *_STATE), rows)


def _state(entry: Entry) -> dict[str, object]:
    return {
        "seq": entry.seq,
        "rev": entry.rev,
        "document": entry.document,
        "sha256": entry.sha256,
        "deleted": entry.deleted,
        "changed_at": in_utc(entry.changed_at),
    }


def _value(row: CatalogueRow) -> Catalogue:
    return Catalogue(
        id=CatalogueId(row.id),
        workspace=None if row.workspace_id is None else WorkspaceId(row.workspace_id),
        feed_id=row.feed_id,
        epoch=row.epoch,
        seq=row.seq,
        horizon=row.horizon,
        moderation=row.moderation,
        live=row.live,
        digest=row.digest,
        changed_at=row.changed_at,
    )
