"""Approvals and package rules, joined to the skills they are about: what a yes activates and what a ban stops."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

import structlog

from skillyard.database import Database, Session, utcnow
from skillyard.errors import NotFoundError, SkillyardError
from skillyard.governance import approvals, epoch, rule_store
from skillyard.governance.closure import ClosureStanding, Rules, evaluate_closure
from skillyard.governance.decision import Agent, Hold, Maturity, PackageRule, SkillState
from skillyard.governance.requested import ApprovalRequest
from skillyard.governance.rules import RuleDraft
from skillyard.ids import ApprovalId, Epoch, LockDigest, PersonId, RuleId, SkillVersionId, WorkspaceId
from skillyard.runtime import store
from skillyard.runtime.decide import Decider, subject_of
from skillyard.runtime.enforce import Enforcer
from skillyard.runtime.journal import StaleEpoch
from skillyard.runtime.start import Starter
from skillyard.runtime.stored import locks_from_json
from skillyard.runtime.tables import SkillVersionRow
from skillyard.runtime.values import InstalledVersion
from skillyard.runtime.views import Views
from skillyard.skills.lock import Lock
from skillyard.skills.skill import Ecosystem

_log = structlog.get_logger("skillyard.approve")


class Approver:
    """Each method is one transaction, and what has to follow from it in this process."""

    def __init__(
        self,
        *,
        database: Database,
        views: Views,
        decider: Decider,
        enforcer: Enforcer,
        starter: Starter,
        require_second_person: bool,
    ) -> None:
        self._database = database
        self._views = views
        self._decider = decider
        self._enforcer = enforcer
        self._starter = starter
        self._require_second_person = require_second_person
        self._locks: dict[WorkspaceId, dict[LockDigest, tuple[Lock, ...]]] = {}
        """The locks of each workspace's versions, parsed; a digest stands for its content."""
        self._preparing: set[asyncio.Task[None]] = set()

    async def request(
        self, agent: Agent, version: InstalledVersion, hold: Hold, *, seen: Epoch
    ) -> ApprovalId | StaleEpoch:
        """The request that a held call waits for: an existing one where it asks for the same.

        ``seen`` is the rules epoch of the Hold; where it has passed, nothing is asked for.
        """
        async with self._database.transaction() as session:
            now = await epoch.current(session)
            if now != seen:
                return StaleEpoch(now)
            asked = await approvals.request(
                session,
                hold,
                requester=agent,
                skill=subject_of(version),
                version=version.id,
                locks=version.locks,
                at=utcnow(),
            )
        return asked.id

    async def approve(
        self,
        approval: ApprovalId,
        *,
        workspace: WorkspaceId,
        by: PersonId,
        min_maturity: Maturity | None = None,
        comment: str | None = None,
        expires_at: datetime | None = None,
        fetch_ahead: bool = True,
    ) -> ApprovalRequest:
        """Approve a whole lock. The skill versions it completes become active, and their packages are fetched ahead,
        unless the caller is about to fetch them itself."""
        async with self._database.transaction() as session:
            asked = await approvals.get(session, workspace, approval)
            row = await session.get(SkillVersionRow, asked.skill_version_id)
            if row is None or row.state is SkillState.REMOVED:
                raise NotFoundError(f"{asked.skill} is not installed any more")
            decided = await approvals.approve(
                session,
                workspace,
                approval,
                by=by,
                locks=locks_from_json(row.lock_json),
                at=utcnow(),
                min_maturity=min_maturity,
                comment=comment,
                expires_at=expires_at,
                require_second_person=self._require_second_person,
            )
            await self._follow_rules(session, workspace)
        if fetch_ahead:
            self._prepare(workspace, asked.skill_version_id)
        return decided

    async def deny(
        self, approval: ApprovalId, *, workspace: WorkspaceId, by: PersonId, comment: str | None = None
    ) -> ApprovalRequest:
        async with self._database.transaction() as session:
            return await approvals.deny(session, workspace, approval, by=by, comment=comment, at=utcnow())

    async def revoke(
        self, approval: ApprovalId, *, workspace: WorkspaceId, by: PersonId, reason: str
    ) -> ApprovalRequest:
        """Take an approval back; versions that are no longer covered go back to ``held``, their sandboxes stop."""
        async with self._database.transaction() as session:
            asked = await approvals.revoke(session, workspace, approval, by=by, reason=reason, at=utcnow())
            await self._follow_rules(session, workspace)
        await self._enforcer.enforce(workspace)
        return asked

    async def add_rule(self, draft: RuleDraft, *, workspace: WorkspaceId, by: PersonId) -> PackageRule:
        """An approval or a ban of packages. A ban stops running sandboxes that hold them, after it is committed."""
        async with self._database.transaction() as session:
            rule = await rule_store.add_rule(session, workspace, draft, by=by, at=utcnow())
            await self._follow_rules(session, workspace)
        await self._enforcer.enforce(workspace)
        return rule

    async def revoke_rule(self, rule: RuleId, *, workspace: WorkspaceId, by: PersonId) -> PackageRule:
        async with self._database.transaction() as session:
            revoked = await rule_store.revoke_rule(session, workspace, rule, by=by, at=utcnow())
            await self._follow_rules(session, workspace)
        await self._enforcer.enforce(workspace)
        return revoked

    async def unban(
        self, ecosystem: Ecosystem, name: str, *, workspace: WorkspaceId, by: PersonId, specifier: str | None = None
    ) -> tuple[PackageRule, ...]:
        """Lift bans; versions that lack nothing else become active again."""
        async with self._database.transaction() as session:
            lifted = await rule_store.unban(
                session, workspace, ecosystem, name, specifier=specifier, by=by, at=utcnow()
            )
            await self._follow_rules(session, workspace)
        return lifted

    async def close(self) -> None:
        """Stops fetching ahead; what was half fetched leaves nothing that looks whole."""
        for task in self._preparing:
            task.cancel()
        await asyncio.gather(*self._preparing, return_exceptions=True)

    async def _follow_rules(self, session: Session, workspace: WorkspaceId) -> None:
        """Bring ``held`` and ``active`` of every version in line with the rules as they are now."""
        rules = await rule_store.load_rules(session, workspace)
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

    def _prepare(self, workspace: WorkspaceId, version: SkillVersionId) -> None:
        task = asyncio.create_task(self._materialise(workspace, version))
        self._preparing.add(task)
        task.add_done_callback(self._prepared)

    def _prepared(self, task: asyncio.Task[None]) -> None:
        self._preparing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("fetching_ahead_failed", error=str(error))

    async def _materialise(self, workspace: WorkspaceId, version: SkillVersionId) -> None:
        view = await self._views.current(workspace)
        found = view.versions.get(version)
        if found is None:
            return
        try:
            self._decider.allowed_at_all(view, found)
            await self._starter.materialise(found)
        except SkillyardError as error:
            # The first call does the same work again and gives the error to somebody who can act on it.
            _log.error("fetching_ahead_failed", skill=str(found.ref), error=str(error))


def _states(locks: Mapping[LockDigest, tuple[Lock, ...]], rules: Rules) -> dict[LockDigest, SkillState]:
    now = utcnow()
    return {digest: _state(evaluate_closure(closure, rules, now)) for digest, closure in locks.items()}


def _state(standing: ClosureStanding) -> SkillState:
    return SkillState.HELD if standing.unapproved or standing.banned else SkillState.ACTIVE
