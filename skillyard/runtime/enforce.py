"""What a change of rules does to sandboxes that run already: those whose version nobody may call any more stop."""

from __future__ import annotations

from skillyard.ids import WorkspaceId
from skillyard.runtime.decide import Decider
from skillyard.runtime.errors import DecisionRefusedError
from skillyard.runtime.events import EventBus, VersionStopped
from skillyard.runtime.pool import Pool
from skillyard.runtime.values import InstalledVersion
from skillyard.runtime.views import Views


class Enforcer:
    """Acts after the commit, never before: the database forbids first, then this process stops what runs."""

    def __init__(self, *, views: Views, decider: Decider, pool: Pool, events: EventBus) -> None:
        self._views = views
        self._decider = decider
        self._pool = pool
        self._events = events

    async def enforce(self, workspace: WorkspaceId) -> None:
        """Stop every sandbox of this workspace whose version is not allowed at all under the rules as they are now."""
        view = await self._views.current(workspace)
        for id_ in self._pool.versions:
            version = view.versions.get(id_)
            if version is None:
                continue
            try:
                self._decider.allowed_at_all(view, version)
            except DecisionRefusedError as refusal:
                await self._stop(version, str(refusal))

    async def _stop(self, version: InstalledVersion, reason: str) -> None:
        stopped = await self._pool.stop(version.id, reason=f"stopped: {reason}")
        self._events.publish(
            VersionStopped(version.workspace, f"{version.publisher}/{version.name}", version.version, reason, stopped)
        )
