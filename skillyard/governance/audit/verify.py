"""Checking a whole chain: its archived parts, its records in the database, its signed heads, and where it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.governance.audit import signed_store, store
from skillyard.governance.audit.archive_check import check_segment
from skillyard.governance.audit.check import Break, BreakKind, ChainCheck, UnreadableRecordError
from skillyard.governance.audit.checkpoints import SignedCheck
from skillyard.governance.audit.record import Entry, Head
from skillyard.governance.audit.signed import Checkpoint, KeyRing, Segment
from skillyard.governance.audit.verification import Verification
from skillyard.governance.errors import AuditBrokenError
from skillyard.governance.signing import PublicKey
from skillyard.ids import WorkspaceId

OnProgress = Callable[[int, int], None]


def unobserved(_done: int, _total: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a chain from outside the database."""

    noted: tuple[Head, ...] = ()
    """Heads that somebody wrote down."""
    own: PublicKey | None = None
    """This home's key, where it ever signed."""
    trusted: frozenset[str] = field(default_factory=frozenset)
    """Ids of further keys that count."""
    witness: Checkpoint | None = None
    """What this home signed last."""
    archive: Path | None = None
    """The folder with the workspace's archives."""


async def verify(
    session: AsyncSession,
    workspace: WorkspaceId,
    noted: Iterable[Head] = (),
    *,
    evidence: Evidence | None = None,
    on_progress: OnProgress = unobserved,
) -> Verification:
    """Checks a whole chain against its hashes, its kept head, its signed heads, and what is known from elsewhere.

    Give it a reading session, so that it sees one moment. Raises ``NotFoundError`` for an unknown workspace.
    """
    await store.workspace_named(session, workspace)
    evidence = evidence or Evidence()
    evidence = replace(evidence, noted=(*evidence.noted, *noted))
    ring = KeyRing(await signed_store.keys(session), own=evidence.own, named=evidence.trusted)
    return await _Checking(session, workspace, evidence, SignedCheck(ring), on_progress).run()


async def require_sound(session: AsyncSession, workspace: WorkspaceId) -> Verification:
    """``verify``, raising ``AuditBrokenError`` for a chain that does not hold."""
    verification = await verify(session, workspace)
    if verification.broken is not None:
        raise AuditBrokenError(verification.broken.message)
    return verification


class _Checking:
    """One check under way."""

    def __init__(
        self,
        session: AsyncSession,
        workspace: WorkspaceId,
        evidence: Evidence,
        signed: SignedCheck,
        on_progress: OnProgress,
    ) -> None:
        self._session = session
        self._workspace = workspace
        self._evidence = evidence
        self._signed = signed
        self._on_progress = on_progress
        self._check = ChainCheck(evidence.noted, workspace=workspace)
        self._records = 0
        self._unchecked: list[Segment] = []

    async def run(self) -> Verification:
        kept = await store.kept_head(self._session, self._workspace)
        total = kept.seq if kept is not None else 0
        broken = self._signed.keys() or await self._archived(total) or await self._live(total)
        broken = broken or self._check.end(kept) or await self._signed_further()
        return Verification(
            workspace=self._workspace,
            records=self._records,
            head=self._check.head,
            broken=broken,
            signed=self._signed.signed,
            checkpoints=self._signed.count,
            unvouched=tuple(sorted(self._signed.unvouched)),
            unchecked=tuple(self._unchecked),
        )

    async def _archived(self, total: int) -> Break | None:
        witness = self._evidence.witness
        known = (*self._evidence.noted, *([Head(witness.seq, witness.hash)] if witness is not None else []))
        for segment in await signed_store.segments(self._session, self._workspace):
            before = self._records

            def step(records: int, before: int = before) -> None:
                self._on_progress(before + records, total)

            done = await asyncio.to_thread(
                check_segment,
                segment,
                head=self._check.head,
                folder=self._evidence.archive,
                ring=self._signed.ring,
                noted=known,
                on_records=step,
            )
            if done.broken is not None:
                return done.broken
            if not done.here:
                self._unchecked.append(segment)
            self._records += done.records
            self._signed.archived(done.signed, done.unvouched, done.checkpoints)
            self._check.skip(Head(segment.last_seq, segment.last_hash))
        return None

    async def _live(self, total: int) -> Break | None:
        try:
            async for page in store.pages(self._session, self._workspace, after=self._check.head.seq):
                before = self._check.head.seq
                suspect = await asyncio.to_thread(self._check.feed, page)
                self._records += self._check.head.seq - before
                broken = await (self._explain(suspect) if suspect is not None else self._signed_of(page))
                if broken is not None:
                    return broken
                self._on_progress(self._records, total)
        except UnreadableRecordError as error:
            return Break(error.seq, BreakKind.EDITED, str(error))
        return None

    async def _signed_of(self, page: list[Entry]) -> Break | None:
        """The signed heads that are about the records of a sound page, and what this home noted of them."""
        first, last = page[0].seq, page[-1].seq
        found = await signed_store.checkpoints(self._session, self._workspace, after=first - 1, until=last)
        witness = self._evidence.witness
        if witness is not None and first <= witness.seq <= last and witness not in found:
            found = tuple(sorted((*found, witness), key=lambda one: (one.seq, one.at)))
        return self._signed.page(page, found, workspace=self._workspace)

    async def _signed_further(self) -> Break | None:
        """A signed head of a record behind the last one: what it is about was cut off."""
        head = self._check.head
        beyond = await signed_store.checkpoints(self._session, self._workspace, after=head.seq, limit=1)
        witness = self._evidence.witness
        if witness is not None and witness.seq > head.seq:
            beyond = (*beyond, witness)
        for checkpoint in beyond:
            broken = self._signed.take(checkpoint, head, workspace=self._workspace)
            if broken is not None:
                return broken
        return None

    async def _explain(self, suspect: Entry) -> Break:
        known = await store.is_known(self._session, self._workspace, suspect.prev_hash)
        length = await store.longest(self._session, self._workspace)
        return await asyncio.to_thread(self._check.explain, suspect, length=length, previous_exists=known)
