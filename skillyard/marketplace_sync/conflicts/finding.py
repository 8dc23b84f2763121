"""Finding conflicts and settling them by a remote's strategy, in the transaction of whoever learnt of them.

A conflict is written down once, with all sides, in the very transaction that settles the upload it is about.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from skillyard.database import Session, after_commit
from skillyard.errors import ConflictError
from skillyard.governance import workspaces
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryKind
from skillyard.marketplace_sync.conflicts import store
from skillyard.marketplace_sync.conflicts.detect import Difference, detect_skill
from skillyard.marketplace_sync.conflicts.merge import Side, merge_skill, skill_fields
from skillyard.marketplace_sync.conflicts.settle import Send, Settlement, TakeTheirs, Wait, settle_skill
from skillyard.marketplace_sync.conflicts.values import Conflict, ConflictId, Strategy
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.remotes.remote import RemoteMarket
from skillyard.marketplace_sync.upwards import store as uploads_store
from skillyard.marketplace_sync.upwards.backoff import full_jitter
from skillyard.marketplace_sync.upwards.values import DropReason, Upload, UploadId, UploadKind
from skillyard.times import utcnow

SYSTEM: Final = "system"
SETTLED_AT_MOST: Final = 3
"""How often a remote's answers about one upload are settled by themselves: a remote whose answers never end, and one
that moves on faster than anything is sent, are for somebody to look at."""


class ConflictUndecidedError(ConflictError):
    """A conflict cannot be settled like this; choose a side or a document. Nothing was resolved."""

    code = "conflict_undecided"


@dataclass(frozen=True, slots=True)
class Sides:
    """A conflict that was found. ``theirs`` is at revision ``rev`` of the remote's entry."""

    difference: Difference
    key: str
    base: str | None
    local: str
    theirs: str
    rev: int


class Finding:
    """Writes conflicts down. What is counted is counted after the caller's commit."""

    def __init__(self, *, metrics: SyncMetrics) -> None:
        self._metrics = metrics

    async def on_entries(self, session: Session, remote: RemoteMarket, entries: Sequence[Entry]) -> int:
        """Entries of the remote are being applied: settle what waits to go up and was made from an older state.

        Returns how many conflicts were found.
        """
        moved: dict[str, Entry] = {}
        for one in entries:
            newer = one.id.key not in moved or moved[one.id.key].rev < one.rev
            if one.id.kind is EntryKind.SKILL and one.document is not None and newer:
                moved[one.id.key] = one
        touched = await uploads_store.touched_by(session, remote.id, UploadKind.SKILL, moved)
        return sum([await self._on_entry(session, remote, upload, moved[upload.key]) for upload in touched])

    async def on_answer(self, session: Session, remote: RemoteMarket, upload: Upload, current: Entry) -> None:
        """The remote answered an edit of a skill with a conflict. Raises ``ConflictUndecidedError``, ``DocumentError``
        where there is nothing to compare."""
        if upload.document is None or current.document is None:
            raise ConflictUndecidedError(f"{upload.key} is not there to be compared with")
        if await _goes_on(session, upload, current):
            return
        difference = detect_skill(upload.base_json, upload.document, current.document)
        if difference is None:
            await uploads_store.drop(session, upload.id, DropReason.SAME, at=utcnow())
            return
        sides = Sides(difference, upload.key, upload.base_json, upload.document, current.document, current.rev)
        settlement = settle_skill(remote.strategy, upload.base_json, upload.document, current.document)
        await self.write_down(session, remote, upload.id, sides, settlement, answered=True)

    async def write_down(
        self,
        session: Session,
        remote: RemoteMarket,
        upload: UploadId,
        sides: Sides,
        settlement: Settlement,
        *,
        answered: bool,
    ) -> bool:
        """Keep a conflict, where it is not kept yet, and do to the upload what was settled. Whether it is a new one.

        ``answered``: by the remote, when it was sent; of those not more than ``SETTLED_AT_MOST`` are settled by
        themselves, and none twice.
        """
        at = utcnow()
        mark = store.fingerprint(remote.id, sides.key, sides.base, sides.local, sides.rev)
        held = await store.open_of(session, upload)
        known = await store.known(session, mark)
        before = await store.settled_by(session, upload, SYSTEM)
        if answered and isinstance(settlement, Send) and (known is not None or before >= SETTLED_AT_MOST):
            settlement = Wait("the remote answers with conflicts over and over, and somebody has to look at it")
        if known is not None:
            conflict = known
        elif held is not None:
            conflict = held.id
            await store.renew(session, held.id, sides.difference, mark=mark, theirs=sides.theirs, rev=sides.rev, at=at)
        else:
            conflict = await _add(session, remote, upload, sides, mark)
            await self._detected(session, remote, sides.difference)
        new = known is None and held is None
        match settlement:
            case Wait(why=why):
                if known is not None:
                    await store.reopen(session, known, upload)
                await uploads_store.hold(session, upload, error=why)
                return new
            case TakeTheirs():
                await uploads_store.drop(session, upload, DropReason.THEIRS, at=at)
            case Send():
                await send(session, upload, settlement, rev=sides.rev, theirs=sides.theirs, before=before)
        if new or held is not None:
            await self.settled(session, remote, conflict, remote.strategy, result=settlement.result, by=SYSTEM)
        return new

    async def settled(
        self,
        session: Session,
        remote: RemoteMarket,
        conflict: ConflictId,
        strategy: Strategy,
        *,
        result: str,
        by: str,
    ) -> None:
        """It came to this."""
        await store.settle(session, conflict, strategy=strategy, result=result, by=by, at=utcnow())
        label = await _label(session, remote)
        after_commit(session, lambda: self._metrics.conflict_resolved(label, strategy.value))

    async def _on_entry(self, session: Session, remote: RemoteMarket, upload: Upload, entry: Entry) -> bool:
        theirs = entry.document
        if theirs is None or upload.document is None or (upload.base_rev or 0) >= entry.rev:
            return False
        held = await store.open_of(session, upload.id)
        if held is not None and held.remote_rev >= entry.rev:
            return False
        if held is None and await _goes_on(session, upload, entry):
            return False
        difference = detect_skill(upload.base_json, upload.document, theirs)
        if difference is None:
            await uploads_store.drop(session, upload.id, DropReason.SAME, at=utcnow())
            if held is not None:
                await self.settled(session, remote, held.id, Strategy.REMOTE_WINS, result=theirs, by=SYSTEM)
            return False
        settlement = _settlement(remote, upload, theirs, held)
        sides = Sides(difference, upload.key, upload.base_json, upload.document, theirs, entry.rev)
        return await self.write_down(session, remote, upload.id, sides, settlement, answered=False)

    async def _detected(self, session: Session, remote: RemoteMarket, difference: Difference) -> None:
        label, kind = await _label(session, remote), difference.kind.value
        after_commit(session, lambda: self._metrics.conflict_detected(label, kind))


async def send(session: Session, upload: UploadId, what: Send, *, rev: int, theirs: str, before: int | None) -> None:
    """Let this go up, made from the remote's state ``theirs`` at ``rev``. ``before`` is how often it was settled by
    itself until now, which makes it wait the longer and no younger; ``None`` where a person decided."""
    at, next_ = utcnow(), what.successor
    await uploads_store.rebase(
        session,
        upload,
        document=what.result,
        base_rev=rev if next_ is None else next_.base_rev,
        base_json=theirs if next_ is None else next_.base_json,
        next_at=at + _pause(before or 0),
        counted_from=at if before is None else None,
        key=None if next_ is None else next_.key,
        manifest_json=None if next_ is None else next_.manifest_json,
    )


async def _goes_on(session: Session, upload: Upload, entry: Entry) -> bool:
    """Whether the remote's state is what went up from here before, which the mirror did not know yet when this was
    made: then nobody else changed anything, and it goes up from there."""
    before = await uploads_store.said_before(session, upload)
    if before is None or before.document is None:
        return False
    # Made from a newer state than that was, it was made by somebody who saw what came of it.
    if not (upload.base_rev or 0) <= (before.base_rev or 0) < entry.rev:
        return False
    theirs = entry.document or ""
    if skill_fields(before.document) != skill_fields(theirs):
        return False
    merged = merge_skill(upload.base_json, upload.document or "", theirs, prefer=Side.LOCAL).document
    if merged is None:
        return False
    at = utcnow()
    await uploads_store.rebase(
        session, upload.id, document=merged, base_rev=entry.rev, base_json=theirs, next_at=at, counted_from=None
    )
    return True


def _pause(before: int) -> timedelta:
    """None for the first time: most often nothing else happens."""
    chance = random.random()  # noqa: S311 - to spread load, not to hide
    return full_jitter(before, chance=chance) if before else timedelta(0)


def _settlement(remote: RemoteMarket, upload: Upload, theirs: str, held: Conflict | None) -> Settlement:
    if held is not None:
        # One that waits for somebody stays with them; only what it is about is brought up to date.
        return Wait("the remote has moved on, and somebody has to decide still")
    return settle_skill(remote.strategy, upload.base_json, upload.document or "", theirs)


async def _add(session: Session, remote: RemoteMarket, upload: UploadId, sides: Sides, mark: str) -> ConflictId:
    return await store.add(
        session,
        remote,
        upload,
        sides.difference,
        key=sides.key,
        mark=mark,
        base=sides.base,
        local=sides.local,
        theirs=sides.theirs,
        rev=sides.rev,
        at=utcnow(),
    )


async def _label(session: Session, remote: RemoteMarket) -> str:
    return f"{(await workspaces.get(session, remote.workspace)).name}/{remote.name}"
