"""Sending what waits: batches of claimed items, each settled by what the remote says of it.

Whatever is claimed is settled or put off: also where a run is cut off, and where one item breaks what nobody thought
of, which is then put off alone. Where the process dies or the database is gone the claims run out, and the same items
go again, under the same idempotency keys. No transaction is open while anything is sent.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, assert_never

import structlog

from skillyard.database import Database
from skillyard.errors import MachineError, SkillyardError
from skillyard.governance import workspaces
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind
from skillyard.marketplace_sync.conflicts.conflicts import Conflicts
from skillyard.marketplace_sync.errors import (
    RemoteAnswerError,
    RemoteError,
    RemoteUnavailableError,
    ReservedError,
    UploadBrokenError,
)
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.remotes import store as remotes_store
from skillyard.marketplace_sync.remotes.remote import (
    PushItem,
    PushResult,
    PushStatus,
    Remote,
    RemoteId,
    RemoteMarket,
    RemoteState,
)
from skillyard.marketplace_sync.upwards import store
from skillyard.marketplace_sync.upwards.backoff import asked_for, full_jitter
from skillyard.marketplace_sync.upwards.collisions import Collisions
from skillyard.marketplace_sync.upwards.manifest import kept_files, read_manifest
from skillyard.marketplace_sync.upwards.values import Upload, UploadId, UploadKind, UploadReport, UploadState
from skillyard.skills.bundle_store import BundleStore
from skillyard.times import utcnow

BATCH: Final = 200
"""Items of one push."""
HOLD: Final = timedelta(minutes=2)
"""How long a claim lasts; renewed while something is on its way."""
CUT_OFF_SECONDS: Final = 2.0
"""How long a run that is cut off may take to put off what it holds."""
_ROUNDS: Final = 3
"""How often a version is pushed at most: once to hear what is missing, once with that, and once more."""

_log = structlog.get_logger("skillyard.uploads")


@dataclass
class _Tally:
    """What one run did so far."""

    sent: int = 0
    duplicates: int = 0
    conflicts: int = 0
    dead: int = 0
    files: int = 0
    batches: int = 0
    failed: list[SkillyardError] = field(default_factory=list)


class Sender:
    """Sends the outbox of a remote. Any number of processes may, each what it claimed."""

    def __init__(
        self,
        *,
        database: Database,
        conflicts: Conflicts,
        collisions: Collisions,
        outgoing: BundleStore,
        metrics: SyncMetrics,
        lease: str,
        max_age: timedelta,
        hold: timedelta = HOLD,
    ) -> None:
        """``max_age``: an item that did not go for so long is dead. ``outgoing`` holds the files of versions."""
        self._database = database
        self._conflicts = conflicts
        self._collisions = collisions
        self._outgoing = outgoing
        self._metrics = metrics
        self._lease = lease
        self._max_age = max_age
        self._hold = hold

    async def send(self, remote: RemoteMarket, client: Remote) -> UploadReport:
        """Send everything that is due. Raises what kept something from going, after all that was claimed is settled or
        put off: ``RemoteError``, ``MachineError``, ``UploadBrokenError``."""
        begun, tally = time.monotonic(), _Tally()
        label = await self._label(remote)
        try:
            while await self._send_some(remote, client, tally):
                if tally.failed:
                    break
        except BaseException:
            self._metrics.uploads_ended(label, time.monotonic() - begun, at=None)
            raise
        seconds = time.monotonic() - begun
        self._metrics.uploads_ended(label, seconds, at=None if tally.failed else utcnow().timestamp())
        if tally.failed:
            raise tally.failed[0]
        async with self._database.reading() as session:
            depths = await store.depths(session, remote.id)
        return UploadReport(
            sent=tally.sent,
            duplicates=tally.duplicates,
            conflicts=tally.conflicts,
            dead=tally.dead,
            files=tally.files,
            batches=tally.batches,
            waiting=depths.get((remote.id, UploadState.WAITING), 0),
            seconds=seconds,
        )

    async def require_open(self, remote: RemoteId) -> None:
        """Raises ``RemoteError`` for a remote that nothing is to be sent to, as things stand now."""
        async with self._database.reading() as session:
            _require_enabled(await remotes_store.find(session, remote))

    async def _send_some(self, remote: RemoteMarket, client: Remote, tally: _Tally) -> bool:
        """One batch of what is due; false where nothing is."""
        async with self._database.transaction() as session:
            # An operator may have said since that nothing is to go there.
            _require_enabled(await remotes_store.find(session, remote.id))
            claimed = await store.claim(session, remote.id, by=self._lease, now=utcnow(), hold=self._hold, limit=BATCH)
        try:
            return await self._send_claimed(remote, client, claimed, tally) and bool(claimed)
        except asyncio.CancelledError:
            await self._cut_off(claimed, tally)
            raise

    async def _send_claimed(
        self, remote: RemoteMarket, client: Remote, claimed: Sequence[Upload], tally: _Tally
    ) -> bool:
        """False where the remote is not there."""
        groups = list(_groups(claimed))
        while groups:
            group = groups.pop(0)
            try:
                await self._send_group(remote, client, group, tally)
            except RemoteError as error:
                if not isinstance(error, RemoteAnswerError):
                    tally.failed.append(error)
                    await self._put_off([*group, *(one for later in groups for one in later)], error, tally)
                    return False
                # Perhaps one of them is what the remote stumbles over: the others shall not wait for it.
                groups[:0] = await self._halved(group, error, tally)
            except SkillyardError as error:
                groups[:0] = await self._halved(group, error, tally)
            except Exception as error:  # noqa: BLE001 - what one breaks shall not keep the others from going
                if len(group) == 1:
                    _log.exception("upload_broke", remote=remote.id, upload=group[0].id)
                broken = UploadBrokenError(f"it broke: {type(error).__name__}; the server's log says more")
                groups[:0] = await self._halved(group, broken, tally)
        return True

    async def _halved(self, group: list[Upload], error: SkillyardError, tally: _Tally) -> list[list[Upload]]:
        """The group in two, to be sent again each by itself; nothing of one, which is put off."""
        if len(group) > 1:
            half = len(group) // 2
            return [group[:half], group[half:]]
        tally.failed.append(error)
        await self._put_off(group, error, tally)
        return []

    async def _cut_off(self, claimed: Sequence[Upload], tally: _Tally) -> None:
        """Give back what is not settled, so that it need not wait until the claims run out, nor come first again."""
        error = RemoteUnavailableError("the run was cut off before there was an answer")
        putting_off = asyncio.create_task(self._put_off(claimed, error, tally))
        _, late = await asyncio.wait((putting_off,), timeout=CUT_OFF_SECONDS)
        for task in late:
            task.cancel()
        found = await asyncio.gather(putting_off, return_exceptions=True)
        if isinstance(found[0], BaseException):
            _log.warning("uploads_not_put_off", error=repr(found[0]))

    async def _send_group(self, remote: RemoteMarket, client: Remote, group: Sequence[Upload], tally: _Tally) -> None:
        await self._renew(group)
        results = await self._push(client, group, tally)
        if group[0].kind is UploadKind.VERSION:
            results = await self._with_files(client, group[0], results, tally)
        await self._settle(remote, client, dict(zip(group, results, strict=True)), tally)

    async def _push(self, client: Remote, group: Sequence[Upload], tally: _Tally) -> Sequence[PushResult]:
        results = await client.push([_item(upload) for upload in group])
        if [one.item for one in results] != [upload.item for upload in group]:
            raise RemoteAnswerError("the remote answered for other items than it was sent")
        tally.batches += 1
        return results

    async def _with_files(
        self, client: Remote, upload: Upload, results: Sequence[PushResult], tally: _Tally
    ) -> Sequence[PushResult]:
        """Send what is missing of a version, and push it again."""
        for _ in range(_ROUNDS - 1):
            (result,) = results
            if result.status is not PushStatus.MISSING:
                break
            manifest = read_manifest(upload.manifest_json or "")
            paths = {file.sha256: file.path for file in manifest.files}
            folder = await asyncio.to_thread(kept_files, self._outgoing, manifest)
            for sha256 in result.missing:
                if sha256 not in paths:
                    raise RemoteAnswerError("the remote asks for a file that is none of the version's")
                await client.send_file(sha256, folder / paths[sha256])
                tally.files += 1
                await self._renew([upload])
            results = await self._push(client, [upload], tally)
        return results

    # Settling

    async def _settle(
        self, remote: RemoteMarket, client: Remote, results: dict[Upload, PushResult], tally: _Tally
    ) -> None:
        applied = {
            upload.id: result.rev
            for upload, result in results.items()
            if result.status in (PushStatus.APPLIED, PushStatus.DUPLICATE)
        }
        if applied:
            async with self._database.transaction() as session:
                tally.sent += await store.arrived(session, applied, by=self._lease, at=utcnow())
            tally.duplicates += sum(one.status is PushStatus.DUPLICATE for one in results.values())
        for upload, result in results.items():
            match result.status:
                case PushStatus.APPLIED | PushStatus.DUPLICATE:
                    pass
                case PushStatus.CONFLICT:
                    await self._conflict(remote, client, upload, result, tally)
                case PushStatus.REFUSED if result.code == ReservedError.code and result.current is not None:
                    await self._conflict(remote, client, upload, result, tally)
                case PushStatus.REFUSED:
                    await self._die(upload, _reason(result), tally)
                case PushStatus.MISSING:
                    await self._die(upload, "the remote misses files that it was sent", tally)
                case _:
                    assert_never(result.status)

    async def _conflict(
        self, remote: RemoteMarket, client: Remote, upload: Upload, result: PushResult, tally: _Tally
    ) -> None:
        current = result.current
        if current is None or current.document is None or not _is_about(current, upload):
            await self._die(upload, f"a conflict with nothing to compare with: {_reason(result)}", tally)
            return
        tally.conflicts += 1
        try:
            collision = None
            if upload.kind is UploadKind.VERSION:
                collision = await self._collisions.look(remote, client, upload, current)
                await self._renew([upload])
            async with self._database.transaction() as session:
                if not await store.holds(session, upload.id, by=self._lease):
                    return
                finding = self._conflicts.finding
                if collision is None:
                    await finding.on_answer(session, remote, upload, current)
                else:
                    sides, settlement = collision.sides, collision.settlement
                    await finding.write_down(session, remote, upload.id, sides, settlement, answered=True)
        except (RemoteError, MachineError):
            # Neither says anything about the conflict.
            raise
        except SkillyardError as error:
            await self._die(upload, f"a conflict that cannot be settled: {error}", tally)

    async def _die(self, upload: Upload, error: str, tally: _Tally) -> None:
        async with self._database.transaction() as session:
            await store.die(session, upload.id, by=self._lease, at=utcnow(), error=error)
        _died(upload, error, tally)

    async def _put_off(self, uploads: Sequence[Upload], error: SkillyardError, tally: _Tally) -> None:
        """Try later, or no more where it was tried for too long. What is settled already stays so."""
        named = error.retry_after if isinstance(error, RemoteUnavailableError) else None
        dead = []
        async with self._database.transaction() as session:
            at = utcnow()
            for upload in uploads:
                chance = random.random()  # noqa: S311 - to spread load, not to hide
                next_at = at + full_jitter(upload.attempts, chance=chance, retry_after=named)
                if next_at <= upload.counted_from + self._max_age:
                    not_before = None if named is None else at + asked_for(named)
                    await store.again(
                        session, upload.id, by=self._lease, next_at=next_at, not_before=not_before, error=str(error)
                    )
                elif await store.die(session, upload.id, by=self._lease, at=at, error=str(error)):
                    dead.append(upload)
        for upload in dead:
            _died(upload, str(error), tally)

    async def _renew(self, uploads: Sequence[Upload]) -> None:
        ids: list[UploadId] = [upload.id for upload in uploads]
        async with self._database.transaction() as session:
            await store.renew(session, ids, by=self._lease, until=utcnow() + self._hold)

    async def _label(self, remote: RemoteMarket) -> str:
        async with self._database.reading() as session:
            return f"{(await workspaces.get(session, remote.workspace)).name}/{remote.name}"


def _require_enabled(remote: RemoteMarket) -> None:
    if remote.state is not RemoteState.ENABLED:
        raise RemoteError(f"{remote.name} is {remote.state.value}: nothing is sent there")


def _died(upload: Upload, error: str, tally: _Tally) -> None:
    tally.dead += 1
    _log.warning("upload_dead", upload=upload.id, kind=upload.kind.value, key=upload.key, error=error)


def _groups(claimed: Sequence[Upload]) -> Iterator[list[Upload]]:
    """In their order; a version by itself, because it may need files first and others may build on it."""
    group: list[Upload] = []
    for upload in claimed:
        if upload.kind is UploadKind.VERSION:
            if group:
                yield group
            yield [upload]
            group = []
        else:
            group.append(upload)
    if group:
        yield group


def _item(upload: Upload) -> PushItem:
    manifest = None if upload.manifest_json is None else read_manifest(upload.manifest_json)
    return PushItem(
        item=upload.item,
        kind=upload.kind.entry_kind,
        key=upload.key,
        base_rev=upload.base_rev,
        document=upload.document,
        files=() if manifest is None else manifest.files,
    )


def _is_about(entry: Entry, upload: Upload) -> bool:
    return entry.id == EntryId(EntryKind(upload.kind.entry_kind), upload.key)


def _reason(result: PushResult) -> str:
    return ": ".join(text for text in (result.code, result.detail) if text) or "refused without a reason"
