"""The audit log as one value: checked, exported, listed, signed, archived. A command and a server each make one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta

import structlog

from skillyard.database import Database, Session
from skillyard.errors import SkillyardError
from skillyard.governance import people
from skillyard.governance.audit import Head, Verification, signed_store, store
from skillyard.governance.audit.export import ArchiveMissingError, signed_excerpt, signed_export
from skillyard.governance.audit.listing import Filter, Page, listed
from skillyard.governance.audit.record import time_text
from skillyard.governance.audit.signed import RegisteredKey, Segment
from skillyard.governance.audit.verify import Evidence, OnProgress, unobserved, verify
from skillyard.governance.identity import Workspace
from skillyard.governance.signing import SigningKey
from skillyard.ids import WorkspaceId
from skillyard.runtime.audit_archive import Archiver, ArchivingError
from skillyard.runtime.audit_signing import AuditSigner
from skillyard.runtime.watch import Chore
from skillyard.settings import Settings
from skillyard.times import utcnow

_ARCHIVE_LOOK_SECONDS = 3600.0
_AT_ONCE = 2
"""Checks of whole chains in one process; each keeps a core busy."""
_log = structlog.get_logger("skillyard.audit")


class AuditLog:
    """All that is done with the chains of one database, in the name of one home."""

    def __init__(self, *, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._verifying = asyncio.Semaphore(_AT_ONCE)
        self.signer = AuditSigner(home=settings.home, database=database)
        self.archiver = Archiver(
            folder=settings.audit_archive_folder or settings.home / "audit" / "archives",
            database=database,
            signer=self.signer,
        )

    @property
    def chores(self) -> tuple[Chore, ...]:
        return (
            Chore("signing_audit_heads", self._settings.audit_sign_seconds, self._sign),
            Chore("archiving_audit_records", _ARCHIVE_LOOK_SECONDS, self.archive_if_due),
        )

    async def begin(self) -> None:
        """Make and register this home's key at its first start."""
        await self.signer.begin()

    async def end(self) -> None:
        """Sign what was recorded up to the end."""
        await self.signer.sign_all()

    async def verify(
        self,
        workspace: WorkspaceId,
        noted: Iterable[Head] = (),
        *,
        trusted: Iterable[str] = (),
        on_progress: OnProgress = unobserved,
    ) -> Verification:
        """Check a workspace's whole chain. ``trusted`` are ids of keys that count beside this home's.

        Raises ``NotFoundError``.
        """
        async with self._verifying:
            # Before the chain is read, so that what is signed meanwhile is not held against an older state of it.
            key, witness = await self.signer.known_key(), await self.signer.witness(workspace)
            known = frozenset(trusted) | await self.signer.own_keys()
            async with self._database.reading() as session:
                own = await self._own(session, key, signed=witness is not None)
                evidence = Evidence(
                    noted=tuple(noted),
                    own=own.public if own is not None else None,
                    trusted=known,
                    witness=witness,
                    archive=self.archiver.folder_of(workspace),
                )
                return await verify(session, workspace, evidence=evidence, on_progress=on_progress)

    async def export(self, workspace: WorkspaceId, wanted: Filter | None = None) -> AsyncIterator[bytes]:
        """Sign the chain's head, then give the whole chain, or the records that a filter picks, as a signed file.

        It is read as its bytes are taken; a slow reader holds a snapshot of the database, so give it a time limit.
        Raises ``NotFoundError``, and ``ArchiveMissingError`` where a part of the whole chain is not here.
        """
        whole = wanted is None or wanted.picks_all
        for segment in await self.segments(workspace) if whole else ():
            file = self.archiver.folder_of(workspace) / segment.file
            if not await asyncio.to_thread(file.exists):
                raise ArchiveMissingError(f"records {segment.first_seq} to {segment.last_seq} are in {segment.file}")
        await self.signer.sign(workspace)
        return self._exported(workspace, Filter() if wanted is None else wanted, await self.signer.key())

    async def _exported(self, workspace: WorkspaceId, wanted: Filter, key: SigningKey) -> AsyncIterator[bytes]:
        at = time_text(utcnow())
        async with self._database.reading() as session:
            name = await store.workspace_named(session, workspace)
            if wanted.picks_all:
                folder = self.archiver.folder_of(workspace)
                chunks = signed_export(session, workspace, name, key, archive=folder, at=at)
            else:
                chunks = signed_excerpt(session, workspace, name, key, wanted, at=at)
            async for chunk in chunks:
                yield chunk

    async def records(
        self, workspace: WorkspaceId, wanted: Filter, *, limit: int, cursor: int | None, newest_first: bool
    ) -> Page:
        async with self._database.reading() as session:
            return await listed(session, workspace, wanted, limit=limit, cursor=cursor, newest_first=newest_first)

    async def keys(self) -> tuple[RegisteredKey, ...]:
        async with self._database.reading() as session:
            return await signed_store.keys(session)

    async def segments(self, workspace: WorkspaceId) -> tuple[Segment, ...]:
        async with self._database.reading() as session:
            return await signed_store.segments(session, workspace)

    async def archive_if_due(self) -> None:
        """Archive what is older than the setting says; a workspace whose turn fails leaves the others theirs."""
        days = self._settings.audit_archive_days
        if not days:
            return
        async with self._database.reading() as session:
            every = await people.workspaces(session)
        for workspace in every:
            await self._archive_one(workspace, utcnow() - timedelta(days=days))

    async def _archive_one(self, workspace: Workspace, before: datetime) -> None:
        try:
            await self.archiver.archive(workspace, before=before)
        except ArchivingError:
            return  # Another server over this home does it.
        except (SkillyardError, OSError) as error:
            _log.error("audit_not_archived", workspace=workspace.id, error=str(error))

    async def _sign(self) -> None:
        await self.signer.sign_all()

    @staticmethod
    async def _own(session: Session, key: SigningKey | None, *, signed: bool) -> SigningKey | None:
        """This home's key, where it ever signed: one that did nothing yet is missed by nobody."""
        if key is None or signed or await signed_store.key(session, key.id) is not None:
            return key
        return None
