"""Moving the old part of an audit chain into a file: written, read back and checked, registered, then deleted.

The order makes a kill harmless at any point: until the transaction that registers the segment, all records are in the
database and a file may lie there that nobody refers to; from then on the archive is complete, and what the database
still has of it is deleted by whoever comes next.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

import structlog

from skillyard.database import Database
from skillyard.errors import ConflictError
from skillyard.governance.audit import EMPTY, Action, AuditRecord, Head, append, signed_store, store
from skillyard.governance.audit.archive_check import MANIFEST, check_segment, manifest_of
from skillyard.governance.audit.document import FileKind, FileMaker, Header
from skillyard.governance.audit.export import chain_lines
from skillyard.governance.audit.record import time_text
from skillyard.governance.audit.signed import KeyRing, RegisteredKey, Segment
from skillyard.governance.errors import AuditBrokenError
from skillyard.governance.identity import SYSTEM, Actor, Workspace
from skillyard.governance.signing import SigningKey
from skillyard.ids import WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.runtime.audit_signing import AuditSigner
from skillyard.sandbox.folders import disk_full_named, sync_folder, try_lock
from skillyard.threads import taken
from skillyard.times import utcnow

MOST_RECORDS = 250_000
"""Records in one archive, at most."""

_DELETED_AT_ONCE = 2000
_PARTIAL = ".partial"
_log = structlog.get_logger("skillyard.audit")

OnArchived = Callable[[int, int], None]


def unobserved(_done: int, _total: int) -> None:
    """Nobody watches."""


class ArchivingError(ConflictError):
    """Another process is archiving this workspace's chain at this moment."""

    code = "archiving"


@dataclass(frozen=True, slots=True)
class _Plan:
    """The records that go into one archive: from behind ``after`` to ``last``."""

    after: Head
    last: int


class Archiver:
    """Writes the archives of one home's folder."""

    def __init__(
        self, *, folder: Path, database: Database, signer: AuditSigner, most_records: int = MOST_RECORDS
    ) -> None:
        self._folder = folder
        self._database = database
        self._signer = signer
        self._most = most_records

    def folder_of(self, workspace: WorkspaceId) -> Path:
        """Where a workspace's archives are."""
        return self._folder / str(workspace)

    async def archive(
        self, workspace: Workspace, *, before: datetime, by: Actor = SYSTEM, on_progress: OnArchived = unobserved
    ) -> tuple[Segment, ...]:
        """Archive the records up to the first that is not older than ``before``; the newest record always stays.

        Returns what was archived now. Raises ``ArchivingError``, ``AuditBrokenError`` for a chain that does not
        hold, ``OSError`` and ``DiskFullError``; no record is lost by any of them.
        """
        folder = self.folder_of(workspace.id)
        descriptor = await taken(partial(_claim, folder), _unclaim)
        if descriptor is None:
            raise ArchivingError(f"another process is archiving the records of workspace {workspace.name}")
        try:
            await asyncio.to_thread(_sweep, folder)
            key = await self._signer.key()
            done: list[Segment] = []
            await self._delete(workspace)
            # Known from the start: archiving makes records too, and must not go after its own.
            end = await self._end(workspace, before)
            while (plan := await self._plan(workspace, end)) is not None:
                done.append(await self._one(workspace, folder, plan, key, by))
                on_progress(plan.last, end)
                await self._delete(workspace)
            return tuple(done)
        finally:
            _unclaim(descriptor)

    async def _end(self, workspace: Workspace, before: datetime) -> int:
        """The last record to archive."""
        async with self._database.reading() as session:
            after = await signed_store.archived_through(session, workspace.id) or EMPTY
            kept = await store.kept_head(session, workspace.id)
            old = await signed_store.last_before(session, workspace.id, time_text(before), after=after.seq)
        return min(old, (kept.seq if kept is not None else 0) - 1)

    async def _plan(self, workspace: Workspace, end: int) -> _Plan | None:
        async with self._database.reading() as session:
            after = await signed_store.archived_through(session, workspace.id) or EMPTY
        last = min(end, after.seq + self._most)
        return _Plan(after, last) if last > after.seq else None

    async def _one(self, workspace: Workspace, folder: Path, plan: _Plan, key: SigningKey, by: Actor) -> Segment:
        writing = _Writing(folder, f"{plan.after.seq + 1:012d}-{plan.last:012d}")
        try:
            async with self._database.reading() as session:
                maker = FileMaker(Header(FileKind.CHAIN, workspace.id, workspace.name, plan.after))
                await writing.add(maker.begin())
                registered = await signed_store.keys(session)
                await writing.add(b"".join(maker.key(one) for one in registered))
                async for chunk in chain_lines(session, workspace.id, maker, after=plan.after.seq, until=plan.last):
                    await writing.add(chunk)
                end = await signed_store.hash_of(session, workspace.id, plan.last)
            at = time_text(utcnow())
            await writing.add(maker.end(key, at))
            await asyncio.to_thread(writing.close)
            segment = _signed(workspace.id, plan, end or "", writing, at=at, key=key)
            await asyncio.to_thread(writing.place, manifest_of(segment))
            await self._read_back(segment, folder, plan, registered)
            await self._register(workspace, segment, plan, by)
        except ArchivingError:
            await asyncio.shield(asyncio.to_thread(writing.withdraw))
            raise
        except BaseException:
            await asyncio.shield(asyncio.to_thread(writing.discard))
            raise
        _log.info("audit_archived", workspace=workspace.id, first=segment.first_seq, last=segment.last_seq)
        return segment

    async def _read_back(
        self, segment: Segment, folder: Path, plan: _Plan, registered: tuple[RegisteredKey, ...]
    ) -> None:
        """From the disk, as somebody will read it years from now; a chain that does not hold is not archived."""
        ring = KeyRing(registered, named=[segment.key_id])
        found = await asyncio.to_thread(check_segment, segment, head=plan.after, folder=folder, ring=ring)
        if found.broken is not None or not found.here or found.records != plan.last - plan.after.seq:
            message = found.broken.message if found.broken is not None else "records are missing"
            raise AuditBrokenError(f"nothing was archived: {message}")

    async def _register(self, workspace: Workspace, segment: Segment, plan: _Plan, by: Actor) -> None:
        facts: dict[str, JsonValue] = {
            "first_seq": segment.first_seq,
            "last_seq": segment.last_seq,
            "last_hash": segment.last_hash,
            "file": segment.file,
            "file_sha256": segment.file_sha256,
        }
        subject = f"audit/{segment.first_seq}-{segment.last_seq}"
        async with self._database.transaction() as session:
            await signed_store.lock_head(session, workspace.id)
            before = await signed_store.archived_through(session, workspace.id) or EMPTY
            there = await signed_store.hash_of(session, workspace.id, segment.last_seq)
            if before != plan.after or there != segment.last_hash:
                raise ArchivingError("the chain's archives changed meanwhile: another process was first")
            await signed_store.add_segment(session, segment)
            record = AuditRecord(workspace.id, utcnow(), by, Action.AUDIT_ARCHIVED, subject, facts)
            await append(session, record)

    async def _delete(self, workspace: Workspace) -> None:
        """What is archived and still in the database, a little at a time: every call that is admitted waits for it."""
        async with self._database.reading() as session:
            through = await signed_store.archived_through(session, workspace.id)
        if through is None:
            return
        more = True
        while more:
            async with self._database.transaction() as session:
                more = await signed_store.delete_through(session, workspace.id, through.seq, limit=_DELETED_AT_ONCE)


class _Writing:
    """One archive in the making, compressed, under a name that nobody reads until it is complete.

    Part of its digest is in its name, so that what was left by a process that died is never taken for another's.
    """

    def __init__(self, folder: Path, records: str) -> None:
        self.bytes = 0
        self._folder = folder
        self._records = records
        self._temporary = folder / f".{records}.{uuid.uuid4().hex}{_PARTIAL}"
        self._digest = hashlib.sha256()
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, 31)
        self._descriptor: int | None = None

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    @property
    def name(self) -> str:
        """Known once it is closed."""
        return f"{self._records}.{self.sha256[:12]}.jsonl.gz"

    async def add(self, content: bytes) -> None:
        await asyncio.to_thread(self._add, content)

    def close(self) -> None:
        self._write(self._deflate.flush())
        os.fsync(self._opened())
        os.close(self._opened())
        self._descriptor = None

    def place(self, manifest: bytes) -> None:
        """Give the file and its manifest their names, durably; the manifest first, so that no file is without one."""
        beside = self._temporary.with_name(self._temporary.name.replace(_PARTIAL, f".manifest{_PARTIAL}"))
        with disk_full_named(self._folder):
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(manifest)
                file.flush()
                os.fsync(descriptor)
            beside.rename(self._folder / (self.name + MANIFEST))
            self._temporary.rename(self._folder / self.name)
            sync_folder(self._folder)

    def withdraw(self) -> None:
        """Take away what was placed; for an archive that is certainly not registered."""
        for name in (self.name, self.name + MANIFEST):
            (self._folder / name).unlink(missing_ok=True)

    def discard(self) -> None:
        """Take away what was not placed yet. What was may be registered: nobody knows of a commit that failed."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._temporary.unlink(missing_ok=True)

    def _add(self, content: bytes) -> None:
        self._write(self._deflate.compress(content))

    def _write(self, content: bytes) -> None:
        self._digest.update(content)
        self.bytes += len(content)
        with disk_full_named(self._folder):
            view = memoryview(content)
            while view:
                view = view[os.write(self._opened(), view) :]

    def _opened(self) -> int:
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._temporary, flags, 0o600)
        return self._descriptor


def _signed(workspace: WorkspaceId, plan: _Plan, end: str, file: _Writing, *, at: str, key: SigningKey) -> Segment:
    segment = Segment(
        workspace_id=workspace,
        first_seq=plan.after.seq + 1,
        last_seq=plan.last,
        prev_hash=plan.after.hash,
        last_hash=end,
        file=file.name,
        file_bytes=file.bytes,
        file_sha256=file.sha256,
        archived_at=at,
        key_id=key.id,
        signature="",
    )
    return replace(segment, signature=key.sign(segment.statement))


def _claim(folder: Path) -> int | None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return try_lock(folder / "archiving.lock")


def _unclaim(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """What processes that died were writing; nobody else writes while we hold the claim."""
    for left in folder.glob(f".*{_PARTIAL}"):
        left.unlink(missing_ok=True)
