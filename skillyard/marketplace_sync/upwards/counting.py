"""How often a remote's skills were installed and called here, from the rows of what happened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from skillyard.database import Session
from skillyard.ids import BundleDigest
from skillyard.marketplace_sync.catalogue.documents import CountsDocument, moment, read_document
from skillyard.marketplace_sync.remotes.remote import RemoteMarket
from skillyard.marketplace_sync.upwards.values import Upload, UploadDraft, UploadKind
from skillyard.runtime.tables import InvocationRow, PointerMoveRow, SkillVersionRow
from skillyard.sandbox.gate import Gate
from skillyard.skills.bundle_store import BundleStore
from skillyard.times import utcnow

SETTLING_SECONDS: Final = 3600.0
"""A bundle is kept before its upload is written down."""
_GATE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Counted:
    """Running totals. ``installs`` are versions that were put in use, ``calls`` the calls that were admitted."""

    installs: int
    calls: int


async def totals(session: Session, remote: RemoteMarket) -> Mapping[str, Counted]:
    """By ``publisher/name`` of the remote, of what was installed from it by name."""
    prefix = f"remote:{remote.name}/"
    # Not a range: which texts lie between two others goes by the database's collation.
    ours = (
        SkillVersionRow.workspace_id == remote.workspace,
        SkillVersionRow.origin.startswith(prefix, autoescape=True),
    )
    rows = await session.execute(select(SkillVersionRow.id, SkillVersionRow.origin).where(*ours))
    versions = {row.id: row.origin for row in rows}
    if not versions:
        return {}
    used = await session.scalars(
        select(PointerMoveRow.to_version_id)
        .join(SkillVersionRow, SkillVersionRow.id == PointerMoveRow.to_version_id)
        .where(*ours)
        .distinct()
    )
    calls = await session.execute(
        select(InvocationRow.skill_version_id, func.count())
        .join(SkillVersionRow, SkillVersionRow.id == InvocationRow.skill_version_id)
        .where(*ours)
        .group_by(InvocationRow.skill_version_id)
    )
    found: dict[str, Counted] = {}
    in_use, called = set(used), {row[0]: row[1] for row in calls}
    for id_, origin in versions.items():
        skill = origin.removeprefix(prefix).partition("@")[0]
        before = found.get(skill, Counted(0, 0))
        found[skill] = Counted(before.installs + (id_ in in_use), before.calls + called.get(id_, 0))
    return {skill: one for skill, one in found.items() if one.installs}


def news(key: str, counted: Counted, said: Upload | None) -> UploadDraft | None:
    """Totals to be told, where they are not what was ``said`` last. They never go down."""
    before = None if said is None or said.document is None else read_document(CountsDocument, said.document)
    installs = max(counted.installs, 0 if before is None else before.installs)
    calls = max(counted.calls, 0 if before is None else before.calls)
    if before is not None and (before.installs, before.calls) == (installs, calls):
        return None
    document = CountsDocument(installs=installs, calls=calls, at=moment(utcnow()))
    return UploadDraft(UploadKind.COUNTS, key, document.text, "system")


async def swept(outgoing: BundleStore, needed: Collection[str]) -> int:
    """Remove bundles that no upload needs and that were not put lately; returns how many."""
    if not await asyncio.to_thread(_settled, outgoing, needed):
        return 0
    # No upload takes one for granted meanwhile: its put waits at the gate, and finds it gone or puts it anew.
    async with Gate(outgoing.gate).alone(seconds=_GATE_SECONDS):
        return await asyncio.to_thread(_remove_settled, outgoing, needed)


def _settled(outgoing: BundleStore, needed: Collection[str]) -> list[BundleDigest]:
    now = time.time()
    old = (one for one in outgoing.digests() if now - (outgoing.last_put(one) or now) > SETTLING_SECONDS)
    return [one for one in old if one not in needed]


def _remove_settled(outgoing: BundleStore, needed: Collection[str]) -> int:
    found = _settled(outgoing, needed)
    for digest in found:
        outgoing.remove(digest)
    return len(found)
