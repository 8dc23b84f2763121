"""Cleaning up after processes that died: containers, open invocations, half-written folders, leases.

Runs at every start and, in a server, again and again. Nothing of a living process is touched: everything carries the
lease of its owner, and whether that is alive is for ``leases.Observer`` to say. What cannot be removed is logged as an
error and tried again the next time; it never keeps the rest from being removed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from skillyard.database import Database
from skillyard.errors import SkillyardError
from skillyard.ids import SkillVersionId
from skillyard.runtime import leases
from skillyard.runtime.instance import sweep_leases
from skillyard.runtime.invocations import mark_lost, open_instances
from skillyard.runtime.leases import LeaseRecord, Observer, boot_clock
from skillyard.runtime.started import Started
from skillyard.sandbox.engine import ContainerInfo, Engine
from skillyard.sandbox.environment import EnvironmentStore
from skillyard.sandbox.folders import remove_folder
from skillyard.sandbox.hostconfig import LABEL_PREFIX
from skillyard.skills.bundle_store import BundleStore

_log = structlog.get_logger("skillyard.reconcile")
_LEASE = f"{LABEL_PREFIX}lease"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Reconciled:
    """How much of what dead processes left was removed; ``None`` where nobody could look, which was logged."""

    containers: int | None
    invocations: int | None
    bundles: int | None
    folders: int | None


class Reconciler:
    """Sweeps. ``reconcile_engine`` makes up for an engine that was away at the start, before the first sandbox."""

    def __init__(
        self,
        *,
        home: Path,
        instance: str,
        lease: str,
        database: Database,
        engine: Engine,
        bundles: BundleStore,
        environments: EnvironmentStore,
        leased_folders: Sequence[Path],
        observer: Observer,
        started: Started,
        stop_version: Callable[[SkillVersionId], Awaitable[None]],
        stray_seconds: float,
    ) -> None:
        """``leased_folders`` hold folders named after leases. A container of this process that nothing here knows of
        is one that was lost track of, once it stayed unknown for ``stray_seconds``, longer than any start takes."""
        self._home = home
        self._instance = instance
        self._lease = lease
        self._database = database
        self._engine = engine
        self._bundles = bundles
        self._environments = environments
        self._leased_folders = leased_folders
        self._observer = observer
        self._started = started
        self._stop_version = stop_version
        self._stray_seconds = stray_seconds
        self._unknown: dict[str, float] = {}
        """Containers under our lease that nothing here knows of, and since when."""
        self._engine_done = False
        self._lock = asyncio.Lock()

    async def reconcile(self) -> Reconciled:
        """Everything that can be done now. What fails is logged as an error, not raised."""
        invocations = await self._try("calls", self._end_lost_calls)
        leases_gone = await self._try("lease files", lambda: asyncio.to_thread(sweep_leases, self._home))
        bundles = await self._try("bundles", lambda: asyncio.to_thread(self._bundles.sweep))
        folders = await self._try("folders", self._sweep_folders)
        containers = await self._try("containers", self._sweep_engine)
        await self._try("replaced files", self._retire)
        if leases_gone or containers or invocations or folders:
            gone = len(leases_gone or ())
            _log.info("reconciled", containers=containers, invocations=invocations, leases=gone, folders=folders)
        return Reconciled(containers, invocations, bundles, folders)

    async def reconcile_engine(self) -> None:
        """See to it that the engine was swept once in the life of this process; raises what
        the engine raises."""
        if not self._engine_done:
            await self._sweep_engine()

    async def _try(self, what: str, work: Callable[[], Awaitable[_T]]) -> _T | None:
        try:
            return await work()
        except (SkillyardError, OSError) as error:
            _log.error("not_reconciled", what=what, error=str(error))
            return None

    async def _look(self) -> None:
        """Read the rows. Always after whatever they shall say something about: its maker had registered before."""
        async with self._database.reading() as session:
            self._observer.observe(await leases.every(session), now=boot_clock())

    # Calls

    async def _end_lost_calls(self) -> int:
        """Record the open calls of dead processes as lost, each once, and remove those processes' rows."""
        async with self._database.reading() as session:
            opened = await open_instances(session)
            records = await leases.every(session)
        self._observer.observe(records, now=boot_clock())
        # Trying a lock reads the disk, and there is one for every process.
        dead, orphaned = await asyncio.to_thread(self._dead, records, opened)
        if not dead and not orphaned:
            return 0
        async with self._database.transaction() as session:
            gone = [record.id for record in dead if await leases.take_away(session, record)]
            return await mark_lost(session, [*gone, *orphaned])

    def _dead(self, records: Sequence[LeaseRecord], opened: Sequence[str]) -> tuple[list[LeaseRecord], list[str]]:
        """Rows of dead processes, and dead processes with open calls that have no row any more."""
        dead = [record for record in records if not self._observer.is_alive(record.id)]
        known = {record.id for record in records}
        return dead, [lease for lease in opened if lease not in known and not self._observer.is_alive(lease)]

    # Disk

    async def _sweep_folders(self) -> int:
        """Folders of work whose process died; each is named after its lease."""
        found = await asyncio.to_thread(self._leased)
        await self._look()
        return await asyncio.to_thread(self._remove_dead, found)

    def _leased(self) -> list[Path]:
        every = (path for folder in self._leased_folders for path in folder.glob("*"))
        return [path for path in every if path.is_dir() and not path.is_symlink()]

    def _remove_dead(self, found: Sequence[Path]) -> int:
        removed = 0
        for path in found:
            if self._observer.is_alive(path.name.partition(".")[0]):
                continue
            try:
                remove_folder(path)
                removed += 1
            except OSError as error:
                _log.error("folder_not_removed", folder=str(path), error=str(error))
        return removed

    # Engine

    async def _sweep_engine(self) -> int:
        """Remove containers that nobody owns; how many. Raises what the engine raises."""
        async with self._lock:
            found = await self._engine.containers({f"{LABEL_PREFIX}instance": self._instance})
            await self._look()
            removed = await self._remove(await asyncio.to_thread(self._nobodys, found))
            await self._environments.sweep()
            self._engine_done = True
            return removed

    def _nobodys(self, found: Sequence[ContainerInfo]) -> list[ContainerInfo]:
        orphans = [one for one in found if not self._observer.is_alive(one.labels.get(_LEASE, ""))]
        return orphans + self._strays([one for one in found if one.labels.get(_LEASE) == self._lease])

    def _strays(self, ours: Sequence[ContainerInfo]) -> list[ContainerInfo]:
        known, now = self._started.containers(), boot_clock()
        self._unknown = {one.id: self._unknown.get(one.id, now) for one in ours if one.id not in known}
        return [one for one in ours if now - self._unknown.get(one.id, now) > self._stray_seconds]

    async def _remove(self, containers: Sequence[ContainerInfo]) -> int:
        removed = 0
        for one in containers:
            try:
                await self._engine.remove(one.id)
                removed += 1
            except SkillyardError as error:
                _log.error("container_not_removed", container=one.id, error=str(error))
        return removed

    # Our own

    async def _retire(self) -> None:
        """Stop our sandboxes whose packages or bundle were found damaged and taken away (see ``verify``)."""
        for version in await asyncio.to_thread(self._started.on_replaced_files):
            _log.warning("sandbox_on_replaced_files", version=version)
            await self._stop_version(version)
