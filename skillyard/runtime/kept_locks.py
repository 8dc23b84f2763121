"""Which lock a new version of a skill keeps: that of an earlier one, as long as both declare the same packages.

As with a lock file in a repository, what runs does not change because an index has news since; it changes when what is
declared does, when somebody asks for it, or when the lock is known to be bad (see ``install``).
"""

from __future__ import annotations

from collections.abc import Iterable

from skillyard.database import Database
from skillyard.ids import WorkspaceId
from skillyard.runtime import store
from skillyard.runtime.stored import locks_from_json, skill_from_json
from skillyard.runtime.tables import SkillVersionRow
from skillyard.runtime.values import SkillRef
from skillyard.sandbox.images import base_target
from skillyard.skills.lock import Lock
from skillyard.skills.skill import Ecosystem, Skill


async def active_locks(
    database: Database, workspace: WorkspaceId, publisher: str, skill: Skill
) -> tuple[Lock, ...] | None:
    """The locks of the version that serves calls now, where they fit the new one."""
    async with database.reading() as session:
        row = await store.find_version(session, workspace, SkillRef(publisher, skill.name))
    return None if row is None else fitting_locks(skill, [row])


def fitting_locks(skill: Skill, rows: Iterable[SkillVersionRow]) -> tuple[Lock, ...] | None:
    """The locks of the first version that declares the same packages, if they were made for the interpreter and
    platform that run skills now."""
    for row in rows:
        locks = locks_from_json(row.lock_json)
        asked = _declared(skill_from_json(row.skill_json))
        if asked == _declared(skill) and all(lock.target == base_target() for lock in locks):
            return locks
    return None


def _declared(skill: Skill) -> frozenset[tuple[Ecosystem, str]]:
    """What is asked of resolvers; where it is declared does not matter to them."""
    return frozenset((package.ecosystem, package.requirement) for package in skill.declared)
