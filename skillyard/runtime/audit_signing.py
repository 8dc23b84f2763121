"""Signing the heads of audit chains: now and then, at the end, and when somebody asks.

Each home signs with a key of its own, also where several share a database. What was signed is kept in the database,
where it can be checked, and the last of it in the home as well, where who edits only the database cannot reach it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from skillyard.database import Database, Session
from skillyard.errors import NotFoundError
from skillyard.governance.audit import Action, AuditRecord, Head, append, signed_store
from skillyard.governance.audit.keys import AuditKeyError, KeyFolder
from skillyard.governance.audit.record import time_text
from skillyard.governance.audit.signed import (
    Checkpoint,
    KeyRing,
    RegisteredKey,
    Trust,
    rotation_statement,
    signed_head,
)
from skillyard.governance.audit.witness import Witness
from skillyard.governance.errors import AuditBrokenError
from skillyard.governance.identity import SYSTEM, Actor
from skillyard.governance.signing import SigningKey
from skillyard.ids import WorkspaceId
from skillyard.sandbox.folders import locked
from skillyard.times import utcnow

LOCK_SECONDS = 30.0
"""How long to wait for another process of this home that signs or changes the key."""

_AT_ONCE = 20
"""Heads that are signed in one transaction, which others wait for."""
_AHEAD = timedelta(hours=1)
_log = structlog.get_logger("skillyard.audit")


@dataclass(frozen=True, slots=True)
class Rotated:
    """A key took over from another. ``previous`` is gone for good."""

    previous: str
    current: str
    at: str


class AuditSigner:
    """Signs in the name of one home."""

    def __init__(self, *, home: Path, database: Database) -> None:
        self._database = database
        self._keys = KeyFolder(home / "keys")
        self._witness = Witness(home / "audit" / "heads")
        self._registered: str | None = None
        self._refused: dict[WorkspaceId, str] = {}

    async def begin(self) -> None:
        """Make the home's key at its first start, and register it. Raises ``AuditKeyError``."""
        async with self._alone():
            await self._key()

    async def key(self) -> SigningKey:
        """The key in force, registered."""
        async with self._alone():
            return await self._key()

    async def known_key(self) -> SigningKey | None:
        """The key in force; ``None`` where this home never signed. Changes nothing."""
        return await asyncio.to_thread(self._keys.current)

    async def own_keys(self) -> frozenset[str]:
        """The ids of all keys that this home ever signed with."""
        return await asyncio.to_thread(self._keys.own)

    async def witness(self, workspace: WorkspaceId) -> Checkpoint | None:
        """What this home signed last of a workspace's chain."""
        return await asyncio.to_thread(self._witness.last, workspace)

    async def sign(self, workspace: WorkspaceId) -> Checkpoint:
        """Sign where a chain ends now. The same head is signed once.

        Raises ``NotFoundError``, and ``AuditBrokenError`` where the chain is not the one that was signed before.
        """
        async with self._alone():
            key = await self._key()
            async with self._database.transaction() as session:
                checkpoint = await self._sign(session, workspace, key)
            await self._note([checkpoint])
            return checkpoint

    async def sign_all(self) -> int:
        """Sign every chain that grew since; how many did. A chain that contradicts what was signed is not signed."""
        due = await self._due()
        if not due:
            return 0
        done = 0
        async with self._alone():
            key = await self._key()
            for start in range(0, len(due), _AT_ONCE):
                async with self._database.transaction() as session:
                    signed = [
                        one
                        for workspace in due[start : start + _AT_ONCE]
                        if (one := await self._sign_or_refuse(session, workspace, key)) is not None
                    ]
                await self._note(signed)
                done += len(signed)
        return done

    async def rotate(self, *, by: Actor = SYSTEM) -> Rotated:
        """Make a new key, have both keys sign that it takes over, and put it in force.

        Every chain gets a record of it and is signed by both. Raises ``AuditBrokenError`` where a chain is not the
        one that was signed before; nothing is changed then.
        """
        async with self._alone():
            old = await self._key()
            new = await asyncio.to_thread(self._keys.stage)
            async with self._database.transaction() as session:
                heads = await self._all_heads(session)
                at = await self._after_all(session, [workspace for workspace, _ in heads])
                statement = rotation_statement(old.public, new.public, time_text(at))
                by_both = old.sign(statement), new.sign(statement)
                key = RegisteredKey(new.id, new.public.hex, time_text(at), None, old.id, *by_both)
                await signed_store.add_key(session, key)
                payload = {"from": old.id, "to": new.id, "public_key": new.public.hex, "signatures": by_both}
                signed = []
                for workspace, head in heads:
                    await self._require_uncontradicted(session, workspace, head)
                    record = AuditRecord(workspace, at, by, Action.AUDIT_KEY_ROTATED, f"key/{new.id}", payload)
                    grown = await append(session, record)
                    for one in (old, new):
                        signed.append(signed_head(one, workspace, grown.seq, grown.hash, time_text(at)))
                        await signed_store.add_checkpoint(session, signed[-1])
            await asyncio.to_thread(self._keys.promote)
            self._registered = new.id
            await self._note(signed)
            return Rotated(old.id, new.id, time_text(at))

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """No other process of this home signs or changes the key meanwhile."""
        await asyncio.to_thread(self._keys.prepare)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(LOCK_SECONDS):
                    await stack.enter_async_context(locked(self._keys.lock))
            except TimeoutError:
                raise AuditKeyError(
                    f"another process has held {self._keys.lock} for {LOCK_SECONDS:.0f} seconds"
                ) from None
            yield

    async def _key(self) -> SigningKey:
        await self._settle()
        key = await asyncio.to_thread(self._keys.current_or_new)
        if self._registered != key.id:
            await self._register(key)
            self._registered = key.id
        return key

    async def _settle(self) -> None:
        """Finish, or forget, a rotation that was interrupted: it holds if the database says so."""
        waiting = await asyncio.to_thread(self._keys.waiting)
        if waiting is None:
            return
        async with self._database.reading() as session:
            holds = await signed_store.key(session, waiting.id) is not None
        await asyncio.to_thread(self._keys.promote if holds else self._keys.drop_waiting)

    async def _register(self, key: SigningKey) -> None:
        async with self._database.reading() as session:
            if await signed_store.key(session, key.id) is not None:
                return
        now = utcnow()
        async with self._database.transaction() as session:
            new = RegisteredKey(key.id, key.public.hex, time_text(now), None, None, None, None)
            await signed_store.add_key(session, new)
            payload = {"public_key": key.public.hex}
            for workspace, _ in await self._all_heads(session):
                record = AuditRecord(workspace, now, SYSTEM, Action.AUDIT_KEY_ADDED, f"key/{key.id}", payload)
                await append(session, record)
        _log.info("audit_key_added", key=key.id)

    async def _sign_or_refuse(self, session: Session, workspace: WorkspaceId, key: SigningKey) -> Checkpoint | None:
        try:
            checkpoint = await self._sign(session, workspace, key)
        except AuditBrokenError as error:
            if self._refused.get(workspace) != str(error):
                _log.error("audit_head_not_signed", workspace=workspace, error=str(error))
            self._refused[workspace] = str(error)
            return None
        self._refused.pop(workspace, None)
        return checkpoint

    async def _sign(self, session: Session, workspace: WorkspaceId, key: SigningKey) -> Checkpoint:
        head = await signed_store.lock_head(session, workspace)
        if head is None:
            raise NotFoundError(f"workspace {workspace} does not exist")
        await self._require_uncontradicted(session, workspace, head)
        known = await signed_store.own_checkpoint(session, workspace, head.seq, key.id)
        if known is not None:
            if known.hash != head.hash or not key.public.signed(known.statement, known.signature):
                raise AuditBrokenError(f"the head at record {head.seq} is not the one that was signed")
            return known
        at = time_text(await self._after_all(session, [workspace]))
        checkpoint = signed_head(key, workspace, head.seq, head.hash, at)
        await signed_store.add_checkpoint(session, checkpoint)
        return checkpoint

    async def _require_uncontradicted(self, session: Session, workspace: WorkspaceId, head: Head) -> None:
        """Nothing is signed that does not continue what this home signed last."""
        last = await self.witness(workspace)
        if last is None:
            return
        archived = await signed_store.archived_through(session, workspace)
        if archived is not None and last.seq <= archived.seq:
            return
        found = await signed_store.hash_of(session, workspace, last.seq)
        if last.seq > head.seq or found != last.hash:
            raise AuditBrokenError(
                f"record {last.seq} of workspace {workspace} is not the one that was signed at {last.at}: "
                "records were changed or taken away, or the database was put back to an earlier state"
            )

    async def _after_all(self, session: Session, workspaces: Sequence[WorkspaceId]) -> datetime:
        """Now, or when the last head was signed if another server's clock is ahead, so that times never go back."""
        now, ring = utcnow(), KeyRing(await signed_store.keys(session))
        latest = now
        for workspace in workspaces:
            last = await signed_store.last_checkpoint(session, workspace)
            if last is None or last.at <= time_text(latest) or last.at > time_text(now + _AHEAD):
                continue
            if ring.judge(last.statement, last.key_id, last.signature, last.at) is not Trust.INVALID:
                latest = datetime.fromisoformat(last.at)
        return latest

    async def _due(self) -> tuple[WorkspaceId, ...]:
        """The workspaces whose head is not signed by this home."""
        key = await self.known_key()
        async with self._database.reading() as session:
            return await signed_store.unsigned(session, key.id if key is not None else "")

    @staticmethod
    async def _all_heads(session: Session) -> list[tuple[WorkspaceId, Head]]:
        found: list[tuple[WorkspaceId, Head]] = []
        while page := await signed_store.heads(session, after=found[-1][0] if found else 0):
            found += page
        return found

    async def _note(self, signed: Sequence[Checkpoint]) -> None:
        for one in signed:
            await asyncio.to_thread(self._witness.note, one)
