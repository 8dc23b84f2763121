"""Approvals and package rules, joined to the skills they are about: what a yes activates and what a ban stops."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import structlog

from skillyard.database import Database, Session
from skillyard.errors import NotFoundError, SkillyardError
from skillyard.governance import approvals, epoch, people
from skillyard.governance.approval_terms import ApprovalTerms
from skillyard.governance.decision import Agent, ApprovalState, Hold, Maturity, Reason, SkillState
from skillyard.governance.identity import PersonPrincipal
from skillyard.governance.requested import ApprovalRequest
from skillyard.ids import ApprovalId, Epoch, SkillVersionId, WorkspaceId
from skillyard.runtime.decide import Decider, subject_of
from skillyard.runtime.enforce import Enforcer
from skillyard.runtime.follow import RuleFollower
from skillyard.runtime.journal import StaleEpoch
from skillyard.runtime.start import Starter
from skillyard.runtime.stored import locks_from_json
from skillyard.runtime.tables import SkillVersionRow
from skillyard.runtime.values import InstalledVersion
from skillyard.runtime.views import Views
from skillyard.times import utcnow

_log = structlog.get_logger("skillyard.approve")


@dataclass(frozen=True, slots=True)
class Asked:
    """The request that a held call has. Where it was denied of late, ``denial`` is that answer, and nothing waits."""

    approval: ApprovalId
    denial: Reason | None


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
        follower: RuleFollower,
        terms: ApprovalTerms,
    ) -> None:
        self._database = database
        self._views = views
        self._decider = decider
        self._enforcer = enforcer
        self._starter = starter
        self._follower = follower
        self.terms = terms
        self._preparing: set[asyncio.Task[None]] = set()

    async def ask(self, agent: Agent, version: InstalledVersion) -> ApprovalId | None:
        """The request for what keeps an agent from calling a version; ``None`` where no approval is what it lacks."""
        while True:
            view = await self._views.current(version.workspace)
            hold = self._decider.decide(view, agent.id, version)
            if not isinstance(hold, Hold):
                return None
            asked = await self.request(agent, version, hold, seen=view.epoch)
            if not isinstance(asked, StaleEpoch):
                return asked.approval

    async def request(self, agent: Agent, version: InstalledVersion, hold: Hold, *, seen: Epoch) -> Asked | StaleEpoch:
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
                terms=self.terms,
            )
            denial = await self._denial(session, asked) if asked.state is ApprovalState.DENIED else None
        return Asked(asked.id, denial)

    async def _denial(self, session: Session, asked: ApprovalRequest) -> Reason:
        who = "nobody" if asked.decided_by is None else f"person {asked.decided_by}"
        if asked.decided_by is not None:
            who = (await people.get_person(session, asked.workspace, asked.decided_by)).name
        when = asked.decided_at or asked.created_at
        stands = when + self.terms.denial_stands
        text = f"{who} denied request {asked.id} on {when:%F %R} UTC: {asked.comment or 'no comment'}"
        return Reason("approval_denied", f"{text}. It can be asked for again from {stands:%F %R} UTC on.")

    async def approve(
        self,
        approval: ApprovalId,
        *,
        person: PersonPrincipal,
        only: Collection[str] | None = None,
        min_maturity: Maturity | None = None,
        comment: str | None = None,
        expires_at: datetime | None = None,
        fetch_ahead: bool = True,
    ) -> ApprovalRequest:
        """Approve a whole lock, or those of its packages that ``only`` names; see ``approvals.approve``.

        The skill versions it completes become active, and their packages are fetched ahead, unless the caller is about
        to fetch them itself.
        """
        workspace = person.workspace
        async with self._database.transaction() as session:
            asked = await approvals.get(session, workspace, approval)
            row = await session.get(SkillVersionRow, asked.skill_version_id)
            if row is None or row.state is SkillState.REMOVED:
                raise NotFoundError(f"{asked.skill} is not installed any more")
            decided = await approvals.approve(
                session,
                workspace,
                approval,
                by=person.person.id,
                locks=locks_from_json(row.lock_json),
                at=utcnow(),
                only=only,
                min_maturity=min_maturity,
                comment=comment,
                expires_at=expires_at,
                terms=self.terms,
            )
            await self._follower.follow(session, workspace)
        if fetch_ahead and decided.split_from is None:
            self._prepare(workspace, asked.skill_version_id)
        return decided

    async def deny(
        self, approval: ApprovalId, *, person: PersonPrincipal, comment: str | None = None
    ) -> ApprovalRequest:
        by, terms = person.person.id, self.terms
        async with self._database.transaction() as session:
            return await approvals.deny(
                session, person.workspace, approval, by=by, comment=comment, at=utcnow(), terms=terms
            )

    async def revoke(self, approval: ApprovalId, *, person: PersonPrincipal, reason: str) -> ApprovalRequest:
        """Take an approval back; versions that are no longer covered go back to ``held``, their sandboxes stop."""
        workspace, by = person.workspace, person.person.id
        async with self._database.transaction() as session:
            asked = await approvals.revoke(session, workspace, approval, by=by, reason=reason, at=utcnow())
            await self._follower.follow(session, workspace)
        await self._enforcer.enforce(workspace)
        return asked

    async def close(self) -> None:
        """Stops fetching ahead; what was half fetched leaves nothing that looks whole."""
        for task in self._preparing:
            task.cancel()
        await asyncio.gather(*self._preparing, return_exceptions=True)

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
