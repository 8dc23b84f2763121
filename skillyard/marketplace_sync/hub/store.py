"""Namespaces, published versions with their files, and pushes that were taken, in the database. Rows in, values out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from skillyard.database import Session
from skillyard.ids import BundleDigest, PersonId, WorkspaceId
from skillyard.marketplace_sync.catalogue.documents import SkillDocument, read_document
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, EntryKind
from skillyard.marketplace_sync.catalogue.tables import EntryRow
from skillyard.marketplace_sync.hub.tables import (
    ArchiveRow,
    HubFileRow,
    HubVersionRow,
    NamespaceRow,
    PushedRow,
    StrikeRow,
)
from skillyard.marketplace_sync.hub.values import Holder, HubVersion, Namespace
from skillyard.skills.skill import BundleFile

_AT_ONCE = 500


async def namespace(session: Session, name: str) -> Namespace | None:
    row = await session.get(NamespaceRow, name)
    return None if row is None else _namespace(row)


async def namespaces(session: Session, workspace: WorkspaceId) -> tuple[Namespace, ...]:
    query = select(NamespaceRow).where(NamespaceRow.workspace_id == workspace).order_by(NamespaceRow.name)
    return tuple(_namespace(row) for row in await session.scalars(query))


async def namespace_names(session: Session) -> tuple[str, ...]:
    return tuple(await session.scalars(select(NamespaceRow.name)))


async def add_namespace(
    session: Session, name: str, *, workspace: WorkspaceId, by: PersonId | None, at: datetime
) -> Namespace:
    row = NamespaceRow(name=name, workspace_id=workspace, created_by_id=by, created_at=at)
    session.add(row)
    await session.flush()
    return _namespace(row)


async def version(session: Session, key: str) -> HubVersion | None:
    """A version that was ever published under this key, deleted ones included."""
    row = await session.scalar(
        select(HubVersionRow).where(HubVersionRow.key == key).execution_options(populate_existing=True)
    )
    return None if row is None else _version(row)


async def report_json(session: Session, key: str) -> str:
    return (await session.scalars(select(HubVersionRow.report_json).where(HubVersionRow.key == key))).one()


async def skill_json(session: Session, key: str) -> str:
    return (await session.scalars(select(HubVersionRow.skill_json).where(HubVersionRow.key == key))).one()


async def add_version(
    session: Session,
    found: HubVersion,
    *,
    skill_json: str,
    lock_json: str,
    report_json: str,
    files: Sequence[BundleFile],
) -> None:
    session.add(
        HubVersionRow(
            key=found.key,
            bundle_digest=found.bundle,
            workspace_id=found.workspace,
            skill_json=skill_json,
            lock_json=lock_json,
            report_json=report_json,
            published_by=found.published_by,
            published_at=found.published_at,
            deleted=found.deleted,
        )
    )
    await session.flush()
    rows = [
        {
            "version_key": found.key,
            "path": one.path,
            "sha256": one.sha256,
            "size": one.size,
            "executable": one.executable,
        }
        for one in files
    ]
    await session.execute(insert(HubFileRow), rows)


async def versions_below(session: Session, key: str) -> tuple[HubVersion, ...]:
    """Every version of a publisher or a skill, or the version of that key itself; deleted ones included."""
    row = HubVersionRow
    if "@" in key:
        where = [row.key == key]
    else:
        # Behind the prefix comes the character that ends it, so that acme/csv is not taken for a part of acme/csv-x.
        prefix = f"{key}@" if "/" in key else f"{key}/"
        where = [row.key >= prefix, row.key < f"{prefix}\x7f"]
    return tuple(_version(one) for one in await session.scalars(select(row).where(*where).order_by(row.key)))


async def versions_with(session: Session, bundles: Collection[BundleDigest]) -> tuple[HubVersion, ...]:
    """Every version of these bundles, under whatever name."""
    wanted = sorted(set(bundles))
    found: list[HubVersion] = []
    for begin in range(0, len(wanted), _AT_ONCE):
        query = select(HubVersionRow).where(HubVersionRow.bundle_digest.in_(wanted[begin : begin + _AT_ONCE]))
        found += [_version(row) for row in await session.scalars(query.order_by(HubVersionRow.key))]
    return tuple(found)


async def set_deleted(session: Session, keys: Collection[str]) -> None:
    """Their numbers stay taken."""
    query = update(HubVersionRow).where(HubVersionRow.key.in_(list(keys))).values(deleted=True)
    await session.execute(query.execution_options(synchronize_session=False))


async def files_of(session: Session, key: str) -> tuple[BundleFile, ...]:
    query = select(HubFileRow).where(HubFileRow.version_key == key)
    found = (BundleFile(row.path, row.sha256, row.size, row.executable) for row in await session.scalars(query))
    return tuple(sorted(found, key=lambda one: one.path.encode()))


async def holders(session: Session, sha256: str, *, below: str | None, limit: int) -> tuple[Holder, ...]:
    """Versions that are not deleted and hold a file, the greatest keys first, all below ``below``."""
    row, version = HubFileRow, HubVersionRow
    query = (
        select(version.key, version.bundle_digest, row.path, row.size, row.executable)
        .join(row, row.version_key == version.key)
        .where(row.sha256 == sha256, version.deleted.is_(False))
        .order_by(row.version_key.desc())
        .limit(limit)
    )
    if below is not None:
        query = query.where(row.version_key < below)
    return tuple(
        Holder(key, BundleDigest(bundle), BundleFile(path, sha256, size, executable))
        for key, bundle, path, size, executable in await session.execute(query)
    )


async def bundles_in_use(session: Session, bundles: Collection[BundleDigest]) -> frozenset[BundleDigest]:
    """Those of the bundles that a version is of which is not deleted."""
    wanted = sorted(set(bundles))
    found: set[BundleDigest] = set()
    for begin in range(0, len(wanted), _AT_ONCE):
        query = select(HubVersionRow.bundle_digest).where(
            HubVersionRow.bundle_digest.in_(wanted[begin : begin + _AT_ONCE]), HubVersionRow.deleted.is_(False)
        )
        found.update(BundleDigest(one) for one in await session.scalars(query))
    return frozenset(found)


async def bundles_of(session: Session, keys: Collection[str]) -> Mapping[str, BundleDigest]:
    """By version; those that were never published are left out."""
    found: dict[str, BundleDigest] = {}
    wanted = sorted(set(keys))
    for begin in range(0, len(wanted), _AT_ONCE):
        query = select(HubVersionRow.key, HubVersionRow.bundle_digest)
        rows = await session.execute(query.where(HubVersionRow.key.in_(wanted[begin : begin + _AT_ONCE])))
        found |= {key: BundleDigest(bundle) for key, bundle in rows}
    return found


async def archives(session: Session, bundles: Collection[BundleDigest]) -> Mapping[BundleDigest, str]:
    """The digests of their archives, as far as they are known."""
    found: dict[BundleDigest, str] = {}
    wanted = sorted(set(bundles))
    for begin in range(0, len(wanted), _AT_ONCE):
        query = select(ArchiveRow.bundle_digest, ArchiveRow.sha256)
        rows = await session.execute(query.where(ArchiveRow.bundle_digest.in_(wanted[begin : begin + _AT_ONCE])))
        found |= {BundleDigest(bundle): sha256 for bundle, sha256 in rows}
    return found


async def add_archives(session: Session, found: Mapping[BundleDigest, str]) -> None:
    """What is known already stays: it is the same."""
    known = await archives(session, found.keys())
    rows = [{"bundle_digest": one, "sha256": sha256} for one, sha256 in found.items() if one not in known]
    if rows:
        await session.execute(insert(ArchiveRow), rows)


async def without_archive(session: Session, *, after: str, limit: int) -> tuple[BundleDigest, ...]:
    """Published bundles of whose archives the digest is not known, in order, beginning behind ``after``."""
    row = HubVersionRow
    query = select(row.bundle_digest).where(
        row.bundle_digest > after, row.bundle_digest.not_in(select(ArchiveRow.bundle_digest))
    )
    found = await session.scalars(query.distinct().order_by(row.bundle_digest).limit(limit))
    return tuple(BundleDigest(one) for one in found)


async def skill_keys(session: Session, catalogue: CatalogueId, *, after: int) -> tuple[str, ...]:
    """Keys of the live skills that changed behind a number; without their documents."""
    row = EntryRow
    query = select(row.key).where(
        row.catalogue_id == catalogue, row.kind == EntryKind.SKILL, row.deleted.is_(False), row.seq > after
    )
    return tuple(await session.scalars(query))


async def keys_with_prefix(session: Session, catalogue: CatalogueId, kind: EntryKind, prefix: str) -> tuple[str, ...]:
    """Keys of all live entries of a kind that begin so; without their documents."""
    row = EntryRow
    query = select(row.key).where(
        row.catalogue_id == catalogue,
        row.kind == kind,
        row.key >= prefix,
        row.key < f"{prefix}\x7f",
        row.deleted.is_(False),
    )
    return tuple(await session.scalars(query.order_by(row.key)))


async def skill_in_category(session: Session, catalogue: CatalogueId, slug: str) -> str | None:
    """Some live skill that names a category."""
    row = EntryRow
    query = select(row.key, row.document).where(
        row.catalogue_id == catalogue,
        row.kind == EntryKind.SKILL,
        row.deleted.is_(False),
        row.document.contains(f'"{slug}"', autoescape=True),
    )
    for key, document in await session.execute(query):
        if slug in read_document(SkillDocument, document or "").categories:
            return key
    return None


async def struck(session: Session, keys: Collection[str]) -> frozenset[str]:
    """Those of the keys whose review an operator took away."""
    found: set[str] = set()
    wanted = sorted(set(keys))
    for begin in range(0, len(wanted), _AT_ONCE):
        query = select(StrikeRow.key).where(StrikeRow.key.in_(wanted[begin : begin + _AT_ONCE]))
        found.update(await session.scalars(query))
    return frozenset(found)


async def add_strike(session: Session, key: str, *, at: datetime) -> None:
    session.add(StrikeRow(key=key, at=at))
    await session.flush()


async def remove_strike(session: Session, key: str) -> bool:
    """Whether there was one."""
    row = await session.get(StrikeRow, key)
    if row is not None:
        await session.delete(row)
        await session.flush()
    return row is not None


async def pushed(session: Session, sender: str, items: Collection[str]) -> dict[str, tuple[str, str]]:
    """By idempotency key, of what this sender sent before: the body's hash and the result."""
    row = PushedRow
    query = select(row.item, row.body_sha256, row.result_json).where(row.sender == sender, row.item.in_(list(items)))
    return {item: (body, result) for item, body, result in await session.execute(query)}


async def remember(session: Session, sender: str, results: Sequence[tuple[str, str, str]], *, at: datetime) -> None:
    """``results`` are idempotency keys with the body's hash and the result."""
    rows = [
        {"sender": sender, "item": item, "body_sha256": body, "result_json": result, "at": at}
        for item, body, result in results
    ]
    if rows:
        await session.execute(insert(PushedRow), rows)


async def forget_pushes(session: Session, *, before: datetime, limit: int) -> int:
    """Forget idempotency keys from before a moment, at most so many; returns how many."""
    old = select(PushedRow.id).where(PushedRow.at < before).order_by(PushedRow.at).limit(limit)
    ids = list(await session.scalars(old))
    await session.execute(delete(PushedRow).where(PushedRow.id.in_(ids)))
    return len(ids)


def _namespace(row: NamespaceRow) -> Namespace:
    by = None if row.created_by_id is None else PersonId(row.created_by_id)
    return Namespace(row.name, WorkspaceId(row.workspace_id), by, row.created_at)


def _version(row: HubVersionRow) -> HubVersion:
    return HubVersion(
        key=row.key,
        bundle=BundleDigest(row.bundle_digest),
        workspace=WorkspaceId(row.workspace_id),
        published_by=row.published_by,
        published_at=row.published_at,
        deleted=row.deleted,
    )
