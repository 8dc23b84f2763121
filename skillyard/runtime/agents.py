"""Agents as admins manage them: added, trusted more or less on evidence, suspended and let act again."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.database import Database
from skillyard.errors import InputError
from skillyard.governance import people
from skillyard.governance.administrators import Administrator, require_admin, require_person
from skillyard.governance.decision import Agent, Maturity
from skillyard.governance.evidence import CallFigures, Evidence, share
from skillyard.governance.evidence_store import policy_hits
from skillyard.governance.maturity import change_maturity
from skillyard.ids import AgentId, PersonId, WorkspaceId
from skillyard.runtime import invocations
from skillyard.runtime.open_calls import OpenCalls
from skillyard.runtime.states import InvocationState
from skillyard.runtime.tables import InvocationRow, SkillVersionRow
from skillyard.times import utcnow

EVIDENCE_DAYS = 30.0
MAX_EVIDENCE_DAYS = 3650.0

_NOT_RATED = frozenset({InvocationState.ACCEPTED, InvocationState.CANCELLED, InvocationState.REFUSED})
"""States that say nothing about how well an agent calls: it runs, somebody ended it, or it never started."""


class Agents:
    """Each method is one change, with its check of who asks in the same transaction."""

    def __init__(self, *, database: Database, calls: OpenCalls) -> None:
        self._database = database
        self._calls = calls

    async def add(self, name: str, *, owner: PersonId | None, maturity: Maturity, by: Administrator) -> Agent:
        """A new agent. How far it is trusted is for a person to say: an agent may add STUDENTs."""
        async with self._database.transaction() as session:
            await (require_admin if maturity is Maturity.STUDENT else require_person)(session, by)
            answers = by.person if owner is None else owner
            return await people.add_agent(
                *(session, by.workspace, name), owner=answers, maturity=maturity, by=by.actor, at=utcnow()
            )

    async def evidence(self, workspace: WorkspaceId, agent: AgentId, *, days: float = EVIDENCE_DAYS) -> Evidence:
        """What the records of the last ``days`` say. Raises ``NotFoundError``, and ``InputError`` for no such time."""
        if not 0 < days <= MAX_EVIDENCE_DAYS:
            raise InputError(f"more than 0 and at most {MAX_EVIDENCE_DAYS:g} days", field="days")
        until = utcnow()
        since = until - timedelta(days=days)
        async with self._database.reading() as session:
            await people.get_agent(session, workspace, agent)
            return Evidence(
                agent=agent,
                since=since,
                until=until,
                figures=await _figures(session, workspace, agent, since, until),
                hits=await policy_hits(session, workspace, agent, since=since, until=until),
            )

    async def change_maturity(
        self, agent: AgentId, maturity: Maturity, *, by: Administrator, reason: str, force: bool = False
    ) -> Agent:
        """Promote or demote, with the evidence of the last 30 days kept. Calls that run go on to their end."""
        # Counted before the transaction: counting takes long, and nothing may be admitted meanwhile.
        evidence = await self.evidence(by.workspace, agent)
        async with self._database.transaction() as session:
            return await change_maturity(
                *(session, agent, maturity), by=by, at=utcnow(), reason=reason, evidence=evidence, force=force
            )

    async def suspend(self, agent: AgentId, *, by: Administrator, reason: str) -> Agent:
        """No call of the agent is admitted any more, and those that run are stopped, in every process."""
        asked, why = f"{by.actor.kind.value} {by.actor.id}", f"the agent was suspended: {reason.strip()}"
        async with self._database.transaction() as session:
            await require_admin(session, by)
            suspended = await people.suspend(
                *(session, by.workspace, agent), reason=reason, by=by.actor, at=utcnow(), facts=by.facts
            )
            # Behind the new epoch: whatever was admitted before it is on record by now, and nothing comes after it.
            opened = await invocations.ask_to_cancel_all(session, by.workspace, agent, asked, why)
        for invocation in opened:
            if (call := self._calls.get(invocation)) is not None:
                call.cancel(invocations.because(asked, why))
        return suspended

    async def resume(self, agent: AgentId, *, by: Administrator, reason: str) -> Agent:
        """End a suspension, which is trusting the agent again: for persons."""
        async with self._database.transaction() as session:
            await require_person(session, by)
            return await people.resume(session, by.workspace, agent, reason=reason, by=by.actor, at=utcnow())


async def _figures(
    session: AsyncSession, workspace: WorkspaceId, agent: AgentId, since: datetime, until: datetime
) -> CallFigures:
    row = InvocationRow
    mine = (row.workspace_id == workspace, row.agent_id == agent, row.started_at >= since, row.started_at < until)
    counted = await session.execute(select(row.state, func.count()).where(*mine).group_by(row.state))
    states: dict[InvocationState, int] = dict(counted.all())
    rated = sum(count for state, count in states.items() if state not in _NOT_RATED)
    skills = await session.scalar(
        select(func.count(SkillVersionRow.skill_id.distinct()))
        .join_from(row, SkillVersionRow, SkillVersionRow.id == row.skill_version_id)
        .where(*mine)
    )
    return CallFigures(
        calls=sum(states.values()),
        states={state.value: states[state] for state in InvocationState if state in states},
        success=share(states.get(InvocationState.SUCCEEDED, 0), rated),
        median_wall_seconds=await _median(session, mine),
        skills=skills or 0,
    )


async def _median(session: AsyncSession, mine: tuple[ColumnElement[bool], ...]) -> float | None:
    """Of the calls that were measured; the mean of the middle two where their number is even."""
    row = InvocationRow
    measured = (*mine, row.wall_seconds.is_not(None))
    count = await session.scalar(select(func.count()).select_from(row).where(*measured)) or 0
    if not count:
        return None
    odd = count % 2
    middle = select(row.wall_seconds).where(*measured).order_by(row.wall_seconds)
    found = list(await session.scalars(middle.offset((count - 1) // 2).limit(2 - odd)))
    return sum(one for one in found if one is not None) / len(found)
