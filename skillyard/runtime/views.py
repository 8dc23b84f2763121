"""What this process last saw of a workspace: rules, agents, skills and pointers under one rules epoch.

A view is what decisions are made from. It may be out of date, and that is safe: an admission checks the epoch in the
transaction that makes it, and a refusal is only given from a view that is current (see ``invoke``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from skillyard.database import Database, Session
from skillyard.errors import NotFoundError
from skillyard.governance import epoch, people, quota_store, rule_store, workspaces
from skillyard.governance.closure import Rules
from skillyard.governance.decision import Agent
from skillyard.governance.identity import WorkspaceState
from skillyard.governance.policy import Ruling
from skillyard.governance.quotas import NO_QUOTAS, Quotas
from skillyard.ids import AgentId, Epoch, SkillVersionId, WorkspaceId
from skillyard.runtime import bundle_stops, store, version_marks
from skillyard.runtime.tables import SkillRow, SkillVersionRow
from skillyard.runtime.values import InstalledVersion, SkillRef
from skillyard.skills.lock import closure_digest

_Name = tuple[str, str]
_Rows = tuple[tuple[SkillRow, SkillVersionRow], ...]


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A version as it was read, and under which mark; ``version`` is it as that mark makes it."""

    stored: InstalledVersion
    mark: version_marks.Mark
    version: InstalledVersion

    def fits(self, mark: version_marks.Mark) -> bool:
        """Whether the row is as it was read. Its state, and which data its report holds for, may be others."""
        return mark.revision is not None and self.mark.revision == mark.revision

    def under(self, mark: version_marks.Mark) -> _Parsed:
        return self if mark == self.mark else _Parsed(self.stored, mark, version_marks.as_marked(self.stored, mark))


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A consistent snapshot of one workspace."""

    workspace: WorkspaceId
    epoch: Epoch
    rules: Rules
    agents: Mapping[AgentId, Agent]
    versions: Mapping[SkillVersionId, InstalledVersion]
    by_ref: Mapping[SkillRef, InstalledVersion]
    pointers: Mapping[_Name, SkillVersionId | None]
    pins: Mapping[tuple[AgentId, str, str], SkillVersionId]
    """What calls of an agent to a publisher's skill go to, where they name no version."""
    suspended: bool = False
    """Whether no call of the workspace is admitted."""
    quotas: Quotas = NO_QUOTAS
    stops: Mapping[SkillVersionId, str] = field(default_factory=dict)
    """Why a marketplace took versions out of use."""
    rulings: dict[SkillVersionId, Ruling] = field(default_factory=dict, repr=False)
    """What ``decide`` worked out from this view so far."""

    def find_for(self, agent: AgentId, ref: SkillRef) -> InstalledVersion:
        """As ``find``, but without a version it is the one that the agent is pinned to, where there is a pin."""
        pinned = self.pins.get((agent, ref.publisher, ref.name)) if self.pins and ref.version is None else None
        if pinned is None:
            return self.find(ref)
        found = self.versions.get(pinned)
        if found is None:
            raise NotFoundError(f"the version of {ref} that this agent is pinned to is not installed")
        return found

    def find(self, ref: SkillRef) -> InstalledVersion:
        """The named version, or the one the pointer names; raises ``NotFoundError``."""
        if ref.version is None:
            pointer = self.pointers.get((ref.publisher, ref.name))
            found = self.versions.get(pointer) if pointer is not None else None
        else:
            found = self.by_ref.get(ref)
        if found is None:
            raise NotFoundError(f"{ref} is not installed")
        return found


class Views:
    """The latest view of each workspace. Loading one is single-flight."""

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._latest: dict[WorkspaceId, View] = {}
        self._locks: dict[WorkspaceId, asyncio.Lock] = {}
        self._parsed: dict[WorkspaceId, dict[SkillVersionId, _Parsed]] = {}

    async def latest(self, workspace: WorkspaceId) -> View:
        """What this process last saw, loading it where it has seen nothing yet. No I/O otherwise."""
        return self._latest.get(workspace) or await self.current(workspace)

    async def current(self, workspace: WorkspaceId) -> View:
        """A view of the epoch that the database is at now."""
        async with self._locks.setdefault(workspace, asyncio.Lock()), self._database.reading() as session:
            now = await epoch.current(session)
            seen = self._latest.get(workspace)
            if seen is not None and seen.epoch == now:
                return seen
            versions = await self._versions(session, workspace)
            view = View(
                workspace=workspace,
                epoch=now,
                rules=await rule_store.load_rules(session, workspace, like=None if seen is None else seen.rules),
                agents={agent.id: agent for agent in await people.agents(session, workspace)},
                versions=versions,
                by_ref={version.ref: version for version in versions.values()},
                pointers=await version_marks.pointers(session, workspace),
                pins=await store.pins(session, workspace),
                suspended=await workspaces.state_of(session, workspace) is not WorkspaceState.ACTIVE,
                quotas=await quota_store.load(session, workspace),
                stops=await bundle_stops.reasons(session, workspace),
            )
            self._latest[workspace] = view
            return view

    def rules(self, workspace: WorkspaceId) -> Rules | None:
        """The rules that this process last saw, for reading only what changed since (``load_rules``)."""
        seen = self._latest.get(workspace)
        return None if seen is None else seen.rules

    @property
    def seen(self) -> tuple[View, ...]:
        """The views this process holds."""
        return tuple(self._latest.values())

    async def _versions(self, session: Session, workspace: WorkspaceId) -> dict[SkillVersionId, InstalledVersion]:
        """Every live version; those whose rows are as they were are neither read nor parsed again, those that are gone
        are forgotten."""
        before = self._parsed.get(workspace, {})
        marks = await version_marks.live_marks(session, workspace)
        kept = {one.id: before[one.id].under(one) for one in marks if one.id in before and before[one.id].fits(one)}
        fresh = {one.id: one for one in marks if one.id not in kept}
        rows = await version_marks.rows_of(session, workspace, fresh) if fresh else ()
        # Of many versions on a first load, parsing takes seconds: not on the event loop.
        parsed = kept | (await asyncio.to_thread(_parse, rows, fresh) if rows else {})
        self._parsed[workspace] = parsed
        return {one.id: parsed[one.id].version for one in marks if one.id in parsed}


def _parse(rows: _Rows, marks: Mapping[SkillVersionId, version_marks.Mark]) -> dict[SkillVersionId, _Parsed]:
    parsed: dict[SkillVersionId, _Parsed] = {}
    for skill, row in rows:
        version, mark = store.installed(skill, row), marks[SkillVersionId(row.id)]
        # A lock keeps its digest, which every first decision asks for: worked out here, where no call waits.
        closure_digest(version.locks)
        parsed[version.id] = _Parsed(version, mark, version_marks.as_marked(version, mark))
    return parsed
