"""Cleaning up after processes that died: containers, open invocations, half-written folders, leases.

Nothing of a living process is touched: everything carries the lease of its owner, and a lease is alive exactly while
its process is (see ``instance``).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from skillyard.database import Database
from skillyard.errors import MachineError
from skillyard.runtime.instance import is_alive, sweep_leases
from skillyard.runtime.invocations import mark_lost, open_instances
from skillyard.sandbox.docker import remove_orphans
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.environment import EnvironmentStore
from skillyard.skills.bundle_store import BundleStore

_log = structlog.get_logger("skillyard.reconcile")


@dataclass(frozen=True, slots=True)
class Reconciled:
    """How much of what dead processes left was removed; ``engine`` is ``None`` where no engine answered."""

    containers: int | None
    invocations: int
    bundles: int
    folders: int


class Reconciler:
    """Runs at start; what needs the engine is made up for before the first sandbox, if the engine was away."""

    def __init__(
        self,
        *,
        home: Path,
        instance: str,
        database: Database,
        engine: Engine,
        bundles: BundleStore,
        environments: EnvironmentStore,
        staging: Path,
    ) -> None:
        self._home = home
        self._instance = instance
        self._database = database
        self._engine = engine
        self._bundles = bundles
        self._environments = environments
        self._staging = staging
        self._engine_done = False
        self._lock = asyncio.Lock()

    async def reconcile(self) -> Reconciled:
        """Everything that can be done now. An engine that does not answer is logged as an error, not raised."""
        dead = await asyncio.to_thread(sweep_leases, self._home)
        async with self._database.transaction() as session:
            gone = [lease for lease in await open_instances(session) if not is_alive(self._home, lease)]
            invocations = await mark_lost(session, gone)
        bundles = await asyncio.to_thread(self._bundles.sweep)
        folders = await asyncio.to_thread(_sweep_staging, self._staging, self._home)
        try:
            containers: int | None = await self.reconcile_engine()
        except MachineError as error:
            containers = None
            _log.error("engine_not_reconciled", error=str(error))
        found = Reconciled(containers, invocations, bundles, folders)
        if dead or containers or invocations:
            _log.info("reconciled", containers=containers, invocations=invocations, leases=len(dead))
        return found

    async def reconcile_engine(self) -> int:
        """Remove containers that nobody owns, once in the life of this process; raises ``MachineError``."""
        async with self._lock:
            if self._engine_done:
                return 0
            removed = await remove_orphans(
                self._engine, {"instance": self._instance}, lambda lease: is_alive(self._home, lease)
            )
            await self._environments.sweep()
            self._engine_done = True
            return removed


def _sweep_staging(staging: Path, home: Path) -> int:
    """Folders of installs whose process died; each is named after its lease."""
    leftovers: Sequence[Path] = [
        path for path in staging.glob("*") if path.is_dir() and not is_alive(home, path.name.partition(".")[0])
    ]
    for folder in leftovers:
        shutil.rmtree(folder, ignore_errors=True)
    return len(leftovers)
