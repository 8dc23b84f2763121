"""What this process last saw of a workspace: rules, agents, skills and pointers under one rules epoch.

A view is what decisions are made from. It may be out of date, and that is safe: an admission checks the epoch in the
transaction that makes it, and a refusal is only given from a view that is current (see ``invoke``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from skillyard.database import Database
from skillyard.errors import NotFoundError
from skillyard.governance import epoch, people, rule_store
from skillyard.governance.closure import Rules
from skillyard.governance.decision import Agent
from skillyard.governance.policy import Ruling
from skillyard.ids import AgentId, Epoch, SkillVersionId, WorkspaceId
from skillyard.runtime import store
from skillyard.runtime.tables import SkillRow, SkillVersionRow
from skillyard.runtime.values import InstalledVersion, SkillRef

_Name = tuple[str, str]
_Key = tuple[int, str, str]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A consistent snapshot of one workspace."""

    workspace: WorkspaceId
    epoch: Epoch
    rules: Rules
    agents: Mapping[AgentId, Agent]
    versions: Mapping[SkillVersionId, InstalledVersion]
    pointers: Mapping[_Name, SkillVersionId | None]
    rulings: dict[SkillVersionId, Ruling] = field(default_factory=dict, repr=False)
    """What ``decide`` worked out from this view so far."""

    def find(self, ref: SkillRef) -> InstalledVersion:
        """The named version, or the one the pointer names; raises ``NotFoundError``."""
        if ref.version is None:
            pointer = self.pointers.get((ref.publisher, ref.name))
            found = self.versions.get(pointer) if pointer is not None else None
        else:
            found = next((version for version in self.versions.values() if version.ref == ref), None)
        if found is None:
            raise NotFoundError(f"{ref} is not installed")
        return found


class Views:
    """The latest view of each workspace. Loading one is single-flight."""

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._latest: dict[WorkspaceId, View] = {}
        self._locks: dict[WorkspaceId, asyncio.Lock] = {}
        self._parsed: dict[_Key, InstalledVersion] = {}

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
            rows = await store.live_versions(session, workspace)
            view = View(
                workspace=workspace,
                epoch=now,
                rules=await rule_store.load_rules(session, workspace),
                agents={agent.id: agent for agent in await people.agents(session, workspace)},
                versions={SkillVersionId(version.id): self._parse(skill, version) for skill, version in rows},
                pointers={(skill.publisher, skill.name): _id(skill.active_version_id) for skill, _ in rows},
            )
            self._latest[workspace] = view
            return view

    @property
    def seen(self) -> tuple[View, ...]:
        """The views this process holds."""
        return tuple(self._latest.values())

    def _parse(self, skill: SkillRow, version: SkillVersionRow) -> InstalledVersion:
        # Parsing JSON is the expensive part of a view, and a version's row changes in its state and report only.
        key = (version.id, version.state, version.report_json)
        parsed = self._parsed.get(key)
        if parsed is None:
            parsed = self._parsed[key] = store.installed(skill, version)
            for old in [old for old in self._parsed if old[0] == version.id and old != key]:
                del self._parsed[old]
        return parsed


def _id(value: int | None) -> SkillVersionId | None:
    return None if value is None else SkillVersionId(value)
