"""What a change of rules does to versions that are installed: ``held`` while some package of them waits for review."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from skillyard.database import Session
from skillyard.governance import epoch, rule_store
from skillyard.governance.closure import ClosureStanding, Rules, evaluate_closure
from skillyard.governance.decision import SkillState
from skillyard.ids import LockDigest, WorkspaceId
from skillyard.runtime import store
from skillyard.runtime.views import Views
from skillyard.skills.lock import Lock
from skillyard.times import utcnow


class RuleFollower:
    """Keeps the locks it parsed: of the versions of a workspace, few are new at a change."""

    def __init__(self, *, views: Views) -> None:
        self._views = views
        self._locks: dict[WorkspaceId, dict[LockDigest, tuple[Lock, ...]]] = {}
        """The locks of each workspace's versions, parsed; a digest stands for its content."""

    async def follow(self, session: Session, workspace: WorkspaceId) -> None:
        """Bring ``held`` and ``active`` of every version in line with the rules as they are in this transaction."""
        rules = await rule_store.load_rules(session, workspace, like=self._views.rules(workspace))
        versions = await store.reviewable(session, workspace)
        locks = await self._parsed(session, workspace, {version.lock_digest for version in versions})
        states = await asyncio.to_thread(_states, locks, rules)
        changed = [version for version in versions if version.state is not states[version.lock_digest]]
        for version in changed:
            await store.set_state(session, version.id, states[version.lock_digest])
        if changed:
            await epoch.bump(session)

    async def _parsed(
        self, session: Session, workspace: WorkspaceId, wanted: set[LockDigest]
    ) -> dict[LockDigest, tuple[Lock, ...]]:
        known = self._locks.get(workspace, {})
        locks = {digest: known[digest] for digest in wanted & known.keys()}
        if missing := wanted - known.keys():
            locks |= await store.locks_by_digest(session, workspace, missing)
        self._locks[workspace] = locks
        return locks


def _states(locks: Mapping[LockDigest, tuple[Lock, ...]], rules: Rules) -> dict[LockDigest, SkillState]:
    now = utcnow()
    return {digest: state_under(evaluate_closure(closure, rules, now)) for digest, closure in locks.items()}


def state_under(standing: ClosureStanding) -> SkillState:
    """The state of a version whose packages stand so, where nothing else is the matter with it."""
    return SkillState.HELD if standing.unapproved or standing.banned else SkillState.ACTIVE
