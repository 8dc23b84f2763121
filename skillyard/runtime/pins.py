"""Pins: an agent that stays with one version of a skill, whatever the skill's pointer does.

A pin raises the rules epoch like any rule: a call that was decided before it and not yet admitted decides again.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from skillyard.database import Database, Session
from skillyard.errors import InputError, NotFoundError
from skillyard.governance import audit, epoch, people
from skillyard.governance.administrators import Administrator, require_admin
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.identity import Actor
from skillyard.ids import AgentId, SkillId, SkillVersionId, WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.runtime import store
from skillyard.runtime.errors import VersionPinnedError
from skillyard.runtime.tables import SkillRow, SkillVersionRow
from skillyard.runtime.values import Pin, SkillRef
from skillyard.times import utcnow


class Pins:
    """Sets, removes and lists pins."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def pin(self, agent: AgentId, ref: SkillRef, *, by: Administrator) -> Pin:
        """Send the agent's calls to ``ref``, which names a version; an earlier pin of it to this skill ends.

        Raises ``NotFoundError`` for an agent or version that is not there, ``InputError`` without a version.
        """
        if ref.version is None:
            raise InputError("a pin names a version", field="version")
        async with self._database.transaction() as session:
            await require_admin(session, by)
            await people.get_agent(session, by.workspace, agent)
            version = await store.need_version(session, by.workspace, ref)
            skill = await _need_skill(session, by.workspace, ref)
            row = await store.set_pin(session, agent, skill, SkillVersionId(version.id), by.person)
            facts = {"skill": str(ref), **by.facts}
            subject = f"agent/{agent}"
            record = AuditRecord(by.workspace, utcnow(), by.actor, Action.AGENT_PINNED, subject, facts)
            await audit.append(session, record)
            await epoch.bump(session)
            return Pin(agent, ref, row.pinned_at)

    async def unpin(self, agent: AgentId, ref: SkillRef, *, by: Administrator) -> None:
        """Let the agent's calls follow the skill's pointer again. Raises ``NotFoundError`` where there is no pin."""
        async with self._database.transaction() as session:
            await require_admin(session, by)
            await people.get_agent(session, by.workspace, agent)
            skill = await _need_skill(session, by.workspace, ref)
            if not await store.remove_pin(session, agent, SkillId(skill.id)):
                raise NotFoundError(f"agent {agent} is not pinned to a version of {ref.publisher}/{ref.name}")
            await _record_unpinned(session, agent, skill, by.actor, forced=False, facts=by.facts)
            await epoch.bump(session)

    async def of(self, agent: AgentId, workspace: WorkspaceId) -> tuple[Pin, ...]:
        """What an agent is pinned to; raises ``NotFoundError`` for one that is not there."""
        async with self._database.reading() as session:
            await people.get_agent(session, workspace, agent)
            return await store.pins_of(session, workspace, agent)


async def release_pins(
    session: Session, skill: SkillRow, rows: tuple[SkillVersionRow, ...], actor: Actor, *, force: bool
) -> None:
    """Make sure that nobody is pinned to versions which are about to go, in the transaction that removes them.

    Raises ``VersionPinnedError`` for pins that are there, unless they are forced away, each on the record.
    """
    pinned = await store.pinned_to(session, [SkillVersionId(row.id) for row in rows])
    if not pinned:
        return
    workspace = WorkspaceId(skill.workspace_id)
    if not force:
        names = [(await people.get_agent(session, workspace, agent)).name for agent, _ in pinned]
        ref = SkillRef(skill.publisher, skill.name, rows[0].version if len(rows) == 1 else None)
        raise VersionPinnedError(str(ref), tuple(names))
    for agent, skill_id in pinned:
        await store.remove_pin(session, agent, SkillId(skill_id))
        await _record_unpinned(session, agent, skill, actor, forced=True)


async def _need_skill(session: Session, workspace: WorkspaceId, ref: SkillRef) -> SkillRow:
    skill = await store.find_skill(session, workspace, ref)
    if skill is None:
        raise NotFoundError(f"{ref} is not installed")
    return skill


async def _record_unpinned(
    session: Session,
    agent: AgentId,
    skill: SkillRow,
    actor: Actor,
    *,
    forced: bool,
    facts: Mapping[str, JsonValue] = MappingProxyType({}),
) -> None:
    told = {"skill": f"{skill.publisher}/{skill.name}", "forced": forced, **facts}
    record = AuditRecord(
        WorkspaceId(skill.workspace_id), utcnow(), actor, Action.AGENT_UNPINNED, f"agent/{agent}", told
    )
    await audit.append(session, record)
