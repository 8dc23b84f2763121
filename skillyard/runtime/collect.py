"""Collecting what nothing refers to any more: look, wait for the grace to pass, look again, remove.

A thing is needed while an installed version refers to it or a container uses it. What is not needed is marked with the
time, and removed when it stayed so for the grace. Only one process collects at a time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from skillyard.database import Database
from skillyard.errors import ConflictError, SkillyardError
from skillyard.governance import audit, people
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.identity import SYSTEM
from skillyard.ids import BundleDigest
from skillyard.json_value import JsonValue
from skillyard.runtime import store
from skillyard.runtime.bundle_shelf import BundleShelf
from skillyard.runtime.instance import home_id
from skillyard.runtime.marks import Marks, is_ripe
from skillyard.runtime.retention import KeptFiles
from skillyard.sandbox.brought_shelf import BroughtShelf
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.environment import EnvironmentStore
from skillyard.sandbox.folders import try_lock
from skillyard.sandbox.guest_shelf import GuestShelf
from skillyard.sandbox.hostconfig import LABEL_PREFIX
from skillyard.sandbox.image_shelf import ImageShelf
from skillyard.sandbox.images import BaseImages
from skillyard.sandbox.shelf import References, Removal, Scale, Shelf, ShelvedStore
from skillyard.skills.bundle_store import BundleStore
from skillyard.skills.lock import Lock
from skillyard.threads import taken
from skillyard.times import utcnow

_log = structlog.get_logger("skillyard.collect")


class CollectingError(ConflictError):
    """Another process is collecting at this moment."""

    code = "collecting"


@dataclass(frozen=True, slots=True)
class Collected:
    """What came of one kind. In a dry run nothing was removed, and the figures say what would have been.

    ``freed_bytes`` are on disk, ``None`` where nobody can tell; ``skipped`` says why a kind was left alone.
    """

    kind: str
    there: int = 0
    unneeded: int = 0
    """How many nothing refers to, those that wait for the grace to pass included."""
    removed: tuple[str, ...] = ()
    freed_bytes: int | None = 0
    failures: tuple[str, ...] = ()
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class Collection:
    """One round of collecting."""

    dry_run: bool
    grace_days: float
    kinds: tuple[Collected, ...]

    @property
    def freed_bytes(self) -> int:
        """Over all kinds that could tell."""
        return sum(one.freed_bytes or 0 for one in self.kinds)

    @property
    def complete(self) -> bool:
        """Whether every kind was looked at and everything went that had to."""
        return all(one.skipped is None and not one.failures for one in self.kinds)


class Collector:
    """Collects in one home."""

    def __init__(
        self,
        *,
        home: Path,
        database: Database,
        engine: Engine,
        bundles: BundleStore,
        environments: EnvironmentStore,
        images: BaseImages,
    ) -> None:
        self._home = home
        self._database = database
        self._engine = engine
        self._files = KeptFiles(root=home / "artefacts", database=database)
        self._marks = home / "gc" / "marks.json"
        self._parsed: dict[str, tuple[Lock, ...]] = {}
        self._unshelved = not isinstance(environments, ShelvedStore)
        self._shelves = all_shelves(engine=engine, bundles=bundles, environments=environments, images=images, home=home)

    async def collect(self, *, grace: timedelta, dry_run: bool = False) -> Collection:
        """One round. A kind that cannot be looked at now is skipped and says why; raises ``CollectingError``."""
        async with self._only_one():
            now = utcnow()
            marks = await asyncio.to_thread(Marks.load, self._marks)
            since: dict[str, Mapping[str, datetime]] = {}
            scale = Scale()
            kinds = [
                await self._one(shelf, marks, since, now=now, grace=grace, dry_run=dry_run, scale=scale)
                for shelf in self._shelves
            ]
            kinds.append(await self._kept_files(now, grace=grace, dry_run=dry_run))
            if self._unshelved:
                kinds.append(Collected("packages", skipped="the environment store does not say what it keeps"))
            found = Collection(dry_run, grace / timedelta(days=1), tuple(kinds))
            if not dry_run:
                await asyncio.to_thread(Marks({**marks.since, **since}, now).save, self._marks)
                await self._record(found)
            return found

    async def collected_at(self) -> datetime | None:
        """When somebody last collected here."""
        return (await asyncio.to_thread(Marks.load, self._marks)).collected_at

    async def references(self) -> References:
        """What is in use now. Raises what the database or the engine raises: not to know is not to collect."""
        async with self._database.reading() as session:
            live = await store.live_references(session)
            unread = live.locks - self._parsed.keys()
            self._parsed |= await store.locks_of_anybody(session, unread)
        instance = await asyncio.to_thread(home_id, self._home)
        ours = await self._engine.containers({f"{LABEL_PREFIX}instance": instance})
        mounted = await asyncio.to_thread(
            lambda: frozenset(Path(path).resolve() for one in ours for path in one.mounts)
        )
        locks = tuple(lock for digest in live.locks for lock in self._parsed[digest])
        return References(locks, frozenset(BundleDigest(one) for one in live.bundles), mounted)

    async def _one(
        self,
        shelf: Shelf,
        marks: Marks,
        since: dict[str, Mapping[str, datetime]],
        *,
        now: datetime,
        grace: timedelta,
        dry_run: bool,
        scale: Scale,
    ) -> Collected:
        try:
            there = await shelf.names()
            idle = there - await shelf.needed(await self.references())
            seen = marks.seen(shelf.kind, idle, now)
            ripe = sorted(name for name, at in seen.items() if is_ripe(at, now, grace))
            if dry_run:
                done = Removal(tuple(ripe), await shelf.weigh(ripe, scale))
            else:
                done = await shelf.remove(ripe, self.references) if ripe else Removal()
        except (SkillyardError, OSError) as error:
            _log.error("not_collected", kind=shelf.kind, error=str(error))
            return Collected(shelf.kind, skipped=str(error))
        since[shelf.kind] = {name: at for name, at in seen.items() if dry_run or name not in done.removed}
        return self._told(shelf.kind, len(there), len(idle), done)

    async def _kept_files(self, now: datetime, *, grace: timedelta, dry_run: bool) -> Collected:
        try:
            there = len(await self._files.folders())
            work = self._files.weigh if dry_run else self._files.collect
            done = await work(now, grace)
        except (SkillyardError, OSError) as error:
            _log.error("not_collected", kind="artefacts", error=str(error))
            return Collected("artefacts", skipped=str(error))
        return self._told("artefacts", there, len(done.removed) + len(done.failures), done)

    @staticmethod
    def _told(kind: str, there: int, idle: int, done: Removal) -> Collected:
        for failure in done.failures:
            _log.error("not_removed", kind=kind, what=failure)
        return Collected(kind, there, idle, done.removed, done.freed_bytes, done.failures)

    async def _record(self, found: Collection) -> None:
        """In every workspace's chain, because what went may have been anybody's; counts only, for the same reason."""
        gone: dict[str, JsonValue] = {
            one.kind: {"removed": len(one.removed), "freed_bytes": one.freed_bytes, "failed": len(one.failures)}
            for one in found.kinds
            if one.removed or one.failures
        }
        if not gone:
            return
        payload: dict[str, JsonValue] = {"grace_days": found.grace_days, "kinds": gone}
        async with self._database.transaction() as session:
            for workspace in await people.workspaces(session):
                await audit.append(
                    session, AuditRecord(workspace.id, utcnow(), SYSTEM, Action.GARBAGE_COLLECTED, "home", payload)
                )
        _log.info("collected", kinds=gone, bytes=found.freed_bytes)

    @asynccontextmanager
    async def _only_one(self) -> AsyncIterator[None]:
        file = self._home / "gc" / "collecting.lock"
        descriptor = await taken(partial(_lock, file), partial(_unlock, file))
        if descriptor is None:
            raise CollectingError("another process is collecting at this moment")
        try:
            yield
        finally:
            await asyncio.shield(asyncio.to_thread(_unlock, file, descriptor))


def all_shelves(
    *, engine: Engine, bundles: BundleStore, environments: EnvironmentStore, images: BaseImages, home: Path
) -> tuple[Shelf, ...]:
    """Everything that is looked at, in the order in which it has to go: what links to something before that."""
    packages = environments.shelves() if isinstance(environments, ShelvedStore) else ()
    guests = GuestShelf(root=home / "guest")
    brought = BroughtShelf(root=home / "wheelhouse")
    return (*packages, brought, BundleShelf(bundles=bundles), guests, ImageShelf(engine=engine, images=images))


def _lock(file: Path) -> int | None:
    file.parent.mkdir(parents=True, exist_ok=True)
    return try_lock(file)


def _unlock(file: Path, descriptor: int | None) -> None:
    if descriptor is None:
        return
    file.unlink(missing_ok=True)
    os.close(descriptor)
