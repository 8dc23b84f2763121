"""What changed rules and passed dates do to sandboxes that run already: those nobody may call any more stop."""

from __future__ import annotations

import asyncio

from skillyard.ids import SkillVersionId, WorkspaceId
from skillyard.runtime.decide import Decider
from skillyard.runtime.errors import DecisionRefusedError
from skillyard.runtime.events import EventBus, VersionStopped
from skillyard.runtime.pool import Pool
from skillyard.runtime.slots import Place
from skillyard.runtime.values import InstalledVersion
from skillyard.runtime.views import View, Views


class Enforcer:
    """Acts after the commit, never before: the database forbids first, then this process stops what runs."""

    def __init__(self, *, views: Views, decider: Decider, pool: Pool, events: EventBus) -> None:
        self._views = views
        self._decider = decider
        self._pool = pool
        self._events = events

    async def enforce(self, workspace: WorkspaceId) -> None:
        """Stop what this workspace's rules as they are now do not allow at all: sandboxes, and the calls in them.

        Raises what stopping raised, after everything was tried.
        """
        view = await self._views.current(workspace)
        self._pool.cap(workspace, view.quotas)
        refused = {id_: reason for id_ in self._versions() if (reason := self._refusal(view, id_)) is not None}
        stops = (self._stop(view.versions[id_], reason) for id_, reason in refused.items())
        failures = [done for done in await asyncio.gather(*stops, return_exceptions=True) if done is not None]
        self.lapse()
        if failures:
            raise failures[0]

    def runs(self, workspace: WorkspaceId) -> bool:
        """Whether any sandbox of this workspace runs in this process. Does no I/O."""
        return any(place.workspace == workspace for place in self._pool.places)

    def lapse(self) -> None:
        """Keep no sandbox warm that no call will get any more: of a version that was removed, or installed again with
        another lock, or whose approval or evidence ran out, of which no change of rules tells. Does no I/O.

        Calls that run were admitted in time, and end in their own time.
        """
        seen = self._views.seen
        for place in self._pool.places:
            if not any(self._serves(view, place) for view in seen):
                self._pool.drop_idle(place)

    def _serves(self, view: View, place: Place) -> bool:
        version = view.versions.get(place.version)
        return version is not None and version.place == place and self._refusal(view, version.id) is None

    def _versions(self) -> frozenset[SkillVersionId]:
        return frozenset(place.version for place in self._pool.places)

    def _refusal(self, view: View, id_: SkillVersionId) -> str | None:
        """Why nobody may call a version; ``None`` where somebody may, or the version is not in this view."""
        version = view.versions.get(id_)
        if version is None:
            return None
        try:
            self._decider.allowed_at_all(view, version)
        except DecisionRefusedError as refusal:
            return str(refusal)
        return None

    async def _stop(self, version: InstalledVersion, reason: str) -> None:
        stopped = await self._pool.stop(version.id, reason=f"stopped: {reason}")
        if stopped:
            ref = f"{version.publisher}/{version.name}"
            self._events.publish(VersionStopped(version.workspace, ref, version.version, reason, stopped))
