"""Where the reading of remotes stands, in the database. Everything happens in the caller's transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import datetime

from sqlalchemy import bindparam, delete, func, insert, select, tuple_, update

from skillyard.database import Session
from skillyard.governance.decision import SkillState
from skillyard.ids import BundleDigest, PersonId, WorkspaceId
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry, EntryId, EntryKind, member
from skillyard.marketplace_sync.catalogue.tables import EntryRow
from skillyard.marketplace_sync.follower.tables import MirrorRow, WordRow
from skillyard.marketplace_sync.follower.values import (
    Believed,
    Claim,
    Mirror,
    SetAside,
    SetAsideItem,
    Signer,
    Word,
)
from skillyard.marketplace_sync.remotes.remote import Filters, RemoteId, RemoteMarket
from skillyard.marketplace_sync.remotes.tables import SetAsideRow, SignerRow
from skillyard.runtime import store as runtime_store
from skillyard.runtime.stored import skill_from_json
from skillyard.runtime.tables import SkillVersionRow
from skillyard.runtime.values import SkillRef
from skillyard.skills.skill import Bundle

_AT_ONCE = 500
_READ_TOGETHER = 10_000
_MOST_RAW = 16 * 1024
_MOST_REASON = 500
_VERSIONS = 5
_RENEWED = ("seq", "after", "reason", "document", "member", "last_at")
UNSEEN = 0
"""The number of an entry that a snapshot has not brought yet. Feeds count from 1."""


async def mirror_of(session: Session, remote: RemoteId) -> Mirror | None:
    """Where the reading of a remote stands; ``None`` before it was begun."""
    row = await session.scalar(
        select(MirrorRow).where(MirrorRow.remote_id == remote).execution_options(populate_existing=True)
    )
    return None if row is None else _mirror(row)


async def keep(session: Session, remote: RemoteMarket, mirror: Mirror) -> None:
    """Write the checkpoint."""
    believed = mirror.believed
    values = {
        "workspace_id": remote.workspace,
        "phase": mirror.phase,
        "cursor": mirror.cursor,
        "filters_json": mirror.filters.text,
        "feed_id": None if believed is None else believed.feed_id,
        "epoch": None if believed is None else believed.epoch,
        "seq": None if believed is None else believed.seq,
        "moderation": None if believed is None else believed.moderation,
        "issued_at": None if believed is None else believed.issued_at,
        "checked_at": mirror.checked_at,
    }
    there = await session.scalar(select(MirrorRow.remote_id).where(MirrorRow.remote_id == remote.id))
    if there is None:
        await session.execute(insert(MirrorRow).values(remote_id=remote.id, **values))
        return
    await session.execute(
        update(MirrorRow)
        .where(MirrorRow.remote_id == remote.id)
        .values(values)
        .execution_options(synchronize_session=False)
    )


# Reading everything again


async def mark_unseen(session: Session, catalogue: CatalogueId, *, most: int) -> int:
    """Mark some entries that are not yet; returns how many."""
    some = (
        select(EntryRow.kind, EntryRow.key)
        .where(EntryRow.catalogue_id == catalogue, EntryRow.seq > UNSEEN)
        .order_by(EntryRow.seq)
        .limit(most)
    )
    found = [(kind, key) for kind, key in await session.execute(some)]
    if found:
        await _set_seq(session, catalogue, [(kind, key, UNSEEN) for kind, key in found])
    return len(found)


async def unseen(session: Session, catalogue: CatalogueId, *, most: int) -> tuple[EntryId, ...]:
    """Entries that the snapshot did not bring."""
    rows = await session.execute(
        select(EntryRow.kind, EntryRow.key)
        .where(EntryRow.catalogue_id == catalogue, EntryRow.seq == UNSEEN)
        .limit(most)
    )
    return tuple(EntryId(kind, key) for kind, key in rows)


async def forget(session: Session, catalogue: CatalogueId, ids: Sequence[EntryId]) -> None:
    """Remove rows; the catalogue's state is the caller's."""
    for begin in range(0, len(ids), _AT_ONCE):
        pairs = [(one.kind, one.key) for one in ids[begin : begin + _AT_ONCE]]
        await session.execute(
            delete(EntryRow)
            .where(EntryRow.catalogue_id == catalogue, tuple_(EntryRow.kind, EntryRow.key).in_(pairs))
            .execution_options(synchronize_session=False)
        )


async def live_members(session: Session, catalogue: CatalogueId) -> AsyncIterator[list[bytes]]:
    """What the digest of a catalogue counts, of every live entry; some at a time."""
    row = EntryRow
    rows = await session.stream(
        select(row.kind, row.key, row.sha256).where(row.catalogue_id == catalogue, row.deleted.is_(False)),
        execution_options={"yield_per": _READ_TOGETHER},
    )
    async for some in rows.partitions():
        yield [member(EntryId(kind, key), sha256) for kind, key, sha256 in some]


async def renumber(session: Session, catalogue: CatalogueId, entries: Sequence[Entry]) -> None:
    """Entries that are as they were, seen again: their numbers alone are new."""
    if entries:
        await _set_seq(session, catalogue, [(one.id.kind, one.id.key, one.seq) for one in entries])


async def _set_seq(session: Session, catalogue: CatalogueId, numbers: Sequence[tuple[EntryKind, str, int]]) -> None:
    table = EntryRow.__table__
    where = (
        table.c.catalogue_id == catalogue,
        table.c.kind == bindparam("the_kind", type_=table.c.kind.type),
        table.c.key == bindparam("the_key"),
    )
    rows = [{"the_kind": kind, "the_key": key, "the_seq": seq} for kind, key, seq in numbers]
    connection = await session.connection()
    await connection.execute(
        update(EntryRow.__table__).where(*where).values(seq=bindparam("the_seq")),  # type: ignore[arg-type]
        rows,
    )


# What was set aside


async def set_aside(
    session: Session, remote: RemoteMarket, items: Iterable[SetAside], *, after: int, at: datetime
) -> None:
    """Keep what could not be taken of a page behind a number; one that is there already is counted once more."""
    # One page may have the same twice: the last counts.
    kept = {(_plain(item.kind)[:40], _plain(item.key)[:300]): item for item in items}
    names = list(kept)
    known: set[tuple[str, str]] = set()
    for begin in range(0, len(names), _AT_ONCE):
        pair = tuple_(SetAsideRow.kind, SetAsideRow.key)
        query = select(SetAsideRow.kind, SetAsideRow.key).where(SetAsideRow.remote_id == remote.id)
        rows = await session.execute(query.where(pair.in_(names[begin : begin + _AT_ONCE])))
        known |= {(kind, key) for kind, key in rows}
    added, again = [], []
    for (kind, key), item in kept.items():
        values: dict[str, object] = {
            "seq": item.seq,
            "after": after,
            "reason": _plain(item.reason)[:_MOST_REASON],
            "document": _plain(item.raw)[:_MOST_RAW],
            "member": item.member,
            "last_at": at,
        }
        if (kind, key) in known:
            again.append({"the_kind": kind, "the_key": key, **{f"new_{name}": value for name, value in values.items()}})
        else:
            new = {"workspace_id": remote.workspace, "remote_id": remote.id, "kind": kind, "key": key}
            added.append({"first_at": at, "tries": 1, **new, **values})
    if added:
        await session.execute(insert(SetAsideRow), added)
    if again:
        table = SetAsideRow.__table__
        where = (
            table.c.remote_id == remote.id,
            table.c.kind == bindparam("the_kind"),
            table.c.key == bindparam("the_key"),
        )
        news = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in _RENEWED}
        connection = await session.connection()
        statement = update(table).where(*where).values(tries=table.c.tries + 1, **news)  # type: ignore[arg-type]
        await connection.execute(statement, again)


def _plain(text: str) -> str:
    """What a remote said, as both engines keep it: PostgreSQL has no NUL in texts."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


async def claims(session: Session, remote: RemoteId) -> list[Claim]:
    """What everything that is set aside says that it is."""
    row = SetAsideRow
    rows = await session.execute(select(row.kind, row.key, row.seq, row.member).where(row.remote_id == remote))
    return [Claim(kind, key, seq, member) for kind, key, seq, member in rows]


async def taken_after_all(session: Session, remote: RemoteId, ids: Iterable[EntryId]) -> None:
    """These are good now."""
    every = [(one.kind.value, one.key) for one in ids]
    for begin in range(0, len(every), _AT_ONCE):
        await session.execute(
            delete(SetAsideRow)
            .where(
                SetAsideRow.remote_id == remote,
                tuple_(SetAsideRow.kind, SetAsideRow.key).in_(every[begin : begin + _AT_ONCE]),
            )
            .execution_options(synchronize_session=False)
        )


async def drop_set_aside(session: Session, remote: RemoteId, ids: Collection[int] | None = None) -> None:
    """Forget some, or all."""
    where = [SetAsideRow.remote_id == remote]
    if ids is not None:
        where.append(SetAsideRow.id.in_(ids))
    await session.execute(delete(SetAsideRow).where(*where).execution_options(synchronize_session=False))


async def unread_words(session: Session, remote: RemoteId, keys: Collection[str]) -> tuple[str, ...]:
    """Those of the keys that something which could not be taken is about: a moderator's word, or what a publisher says
    of its keys."""
    rows = await session.scalars(
        select(SetAsideRow.key)
        .where(
            SetAsideRow.remote_id == remote,
            SetAsideRow.kind.in_((EntryKind.MODERATION.value, EntryKind.PUBLISHER.value)),
            SetAsideRow.key.in_(sorted(keys)),
        )
        .order_by(SetAsideRow.key)
    )
    return tuple(rows)


async def count_set_aside(session: Session, remote: RemoteId) -> int:
    query = select(func.count()).select_from(SetAsideRow).where(SetAsideRow.remote_id == remote)
    return int((await session.execute(query)).scalar_one())


async def set_aside_page(
    session: Session, remote: RemoteId, *, after: int = 0, limit: int = 100
) -> tuple[SetAsideItem, ...]:
    """What of a remote is set aside, in the order it came."""
    rows = await session.scalars(
        select(SetAsideRow)
        .where(SetAsideRow.remote_id == remote, SetAsideRow.id > after)
        .order_by(SetAsideRow.id)
        .limit(limit)
        .execution_options(populate_existing=True)
    )
    return tuple(_item(row) for row in rows)


async def longest_waiting(session: Session, remote: RemoteId, *, most: int) -> tuple[SetAsideItem, ...]:
    """Those that were tried longest ago."""
    rows = await session.scalars(
        select(SetAsideRow)
        .where(SetAsideRow.remote_id == remote)
        .order_by(SetAsideRow.last_at, SetAsideRow.id)
        .limit(most)
        .execution_options(populate_existing=True)
    )
    return tuple(_item(row) for row in rows)


# What moderators said


async def words(session: Session, remote: RemoteId, keys: Collection[str] | None = None) -> dict[str, Word]:
    """Words that stop something, by what they are about; all, or those about some."""
    query = select(WordRow).where(WordRow.remote_id == remote).execution_options(populate_existing=True)
    if keys is None:
        return {row.key: _word(row) for row in await session.scalars(query)}
    found: dict[str, Word] = {}
    every = sorted(keys)
    for begin in range(0, len(every), _AT_ONCE):
        rows = await session.scalars(query.where(WordRow.key.in_(every[begin : begin + _AT_ONCE])))
        found |= {row.key: _word(row) for row in rows}
    return found


async def any_word(session: Session, remote: RemoteId) -> bool:
    return await session.scalar(select(WordRow.key).where(WordRow.remote_id == remote).limit(1)) is not None


async def count_words(session: Session, remote: RemoteId) -> int:
    query = select(func.count()).select_from(WordRow).where(WordRow.remote_id == remote)
    return int((await session.execute(query)).scalar_one())


async def keep_word(session: Session, remote: RemoteMarket, word: Word, *, at: datetime) -> None:
    await drop_word(session, remote.id, word.key)
    values = {"state": word.state, "reason": word.reason[:_MOST_REASON], "epoch": word.epoch, "at": at}
    await session.execute(
        insert(WordRow).values(remote_id=remote.id, key=word.key, workspace_id=remote.workspace, **values)
    )


async def drop_word(session: Session, remote: RemoteId, key: str) -> None:
    await session.execute(
        delete(WordRow)
        .where(WordRow.remote_id == remote, WordRow.key == key)
        .execution_options(synchronize_session=False)
    )


async def installed_from(session: Session, workspace: WorkspaceId, origin: str) -> set[BundleDigest]:
    """Bundles of versions that were installed from an origin, or from one below it where it ends with a separator."""
    below = origin.endswith(("/", "@"))
    row = SkillVersionRow
    named = row.origin.startswith(origin, autoescape=True) if below else row.origin == origin
    rows = await session.scalars(
        select(row.bundle_digest)
        .where(row.workspace_id == workspace, row.state != SkillState.REMOVED, named)
        .distinct()
    )
    return {BundleDigest(one) for one in rows}


async def installed_bundles(session: Session, workspace: WorkspaceId, skill: SkillRef) -> tuple[Bundle, ...]:
    """What the versions of a skill that were installed last consist of."""
    rows = await runtime_store.newest_versions(session, workspace, skill, limit=_VERSIONS)
    return tuple(skill_from_json(row.skill_json).bundle for row in rows)


# Whose signatures are believed


async def signer(session: Session, remote: RemoteId, publisher: str) -> str | None:
    """The key (hex) that a publisher's versions have to be signed with; ``None`` where none was seen yet."""
    return await session.scalar(
        select(SignerRow.key).where(SignerRow.remote_id == remote, SignerRow.publisher == publisher)
    )


async def keep_signer(
    session: Session, remote: RemoteMarket, publisher: str, key: str, *, by: int | None, at: datetime
) -> None:
    await session.execute(
        delete(SignerRow)
        .where(SignerRow.remote_id == remote.id, SignerRow.publisher == publisher)
        .execution_options(synchronize_session=False)
    )
    await session.execute(
        insert(SignerRow).values(
            remote_id=remote.id,
            publisher=publisher,
            workspace_id=remote.workspace,
            key=key,
            accepted_at=at,
            accepted_by_id=by,
        )
    )


async def signers(session: Session, remote: RemoteId, *, after: str, limit: int) -> tuple[Signer, ...]:
    """Publishers whose signer is known, by name."""
    rows = await session.scalars(
        select(SignerRow)
        .where(SignerRow.remote_id == remote, SignerRow.publisher > after)
        .order_by(SignerRow.publisher)
        .limit(limit)
        .execution_options(populate_existing=True)
    )
    return tuple(
        Signer(
            row.publisher,
            row.key,
            row.accepted_at,
            None if row.accepted_by_id is None else PersonId(row.accepted_by_id),
        )
        for row in rows
    )


# What people see


async def live_counts(session: Session, catalogue: CatalogueId) -> tuple[dict[str, int], int]:
    """Live entries by kind, and how many of all are without their document."""
    row = EntryRow
    rows = await session.execute(
        select(row.kind, func.count(), func.count(row.document))
        .where(row.catalogue_id == catalogue, row.deleted.is_(False))
        .group_by(row.kind)
    )
    counts, without = {kind.value: 0 for kind in EntryKind}, 0
    for kind, every, documents in rows:
        counts[kind.value] = every
        without += every - documents
    return counts, without


def _mirror(row: MirrorRow) -> Mirror:
    believed = None
    if row.feed_id is not None:
        if row.epoch is None or row.seq is None or row.moderation is None or row.issued_at is None:
            raise ValueError("a believed head that is not whole")
        believed = Believed(row.feed_id, row.epoch, row.seq, row.moderation, row.issued_at)
    return Mirror(
        remote=RemoteId(row.remote_id),
        phase=row.phase,
        cursor=row.cursor,
        filters=Filters.parse(row.filters_json),
        believed=believed,
        checked_at=row.checked_at,
    )


def _word(row: WordRow) -> Word:
    return Word(row.key, row.state, row.reason, row.epoch)


def _item(row: SetAsideRow) -> SetAsideItem:
    return SetAsideItem(
        id=row.id,
        kind=row.kind,
        key=row.key,
        seq=row.seq,
        after=row.after,
        reason=row.reason,
        document=row.document,
        first_at=row.first_at,
        last_at=row.last_at,
        tries=row.tries,
    )
