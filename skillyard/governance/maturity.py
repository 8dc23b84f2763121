"""Promotions and demotions: a person trusts an agent more or less, for a reason and on evidence, at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import orjson
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import ConflictError, InputError
from skillyard.governance import audit, epoch, people
from skillyard.governance.administrators import Administrator, require_person
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import Agent, Maturity
from skillyard.governance.evidence import Evidence, MaturityChange
from skillyard.governance.tables import AgentRow, MaturityChangeRow
from skillyard.ids import AgentId, PersonId, WorkspaceId
from skillyard.json_value import JsonValue

MAX_REASON = 1000


class LevelSkippedError(ConflictError):
    """A promotion over more than one level has to be asked for as such."""

    code = "level_skipped"


async def change_maturity(
    session: AsyncSession,
    agent: AgentId,
    maturity: Maturity,
    *,
    by: Administrator,
    at: datetime,
    reason: str,
    evidence: Evidence,
    force: bool = False,
) -> Agent:
    """Trusts an agent more or less from now on. Setting what is already so changes and records nothing.

    Demotions may go down any number of levels at once. Raises ``InputError`` without a reason, ``AdminRoleError``,
    ``NotFoundError``, and ``LevelSkippedError`` unless ``force``.
    """
    why = require_reason(reason)
    await require_person(session, by)
    before = await people.get_agent(session, by.workspace, agent)
    if before.maturity is maturity:
        return before
    skips = maturity - before.maturity > 1
    if skips and not force:
        raise LevelSkippedError(
            f"{before.name} is {before.maturity.name}; {maturity.name} is {maturity - before.maturity} levels up. "
            "Promote it one level at a time, or force it"
        )
    found = AgentRow.workspace_id == by.workspace, AgentRow.id == agent
    await session.execute(update(AgentRow).where(*found).values(maturity=maturity))
    shown = evidence.document()
    session.add(
        MaturityChangeRow(
            workspace_id=by.workspace,
            agent_id=agent,
            from_maturity=before.maturity,
            to_maturity=maturity,
            reason=why,
            evidence=orjson.dumps(shown).decode(),
            forced=skips,
            changed_by_id=by.person,
            at=at,
        )
    )
    payload: dict[str, JsonValue] = {
        "from": before.maturity.name,
        "to": maturity.name,
        "reason": why,
        "forced": skips,
        "evidence": shown,
    }
    record = AuditRecord(by.workspace, at, by.actor, Action.AGENT_MATURITY_CHANGED, f"agent/{agent}", payload)
    await audit.append(session, record)
    await epoch.bump(session)
    return replace(before, maturity=maturity)


async def changes(
    session: AsyncSession, workspace: WorkspaceId, agent: AgentId, *, before: int | None = None, limit: int = 100
) -> tuple[MaturityChange, ...]:
    """An agent's promotions and demotions, the newest first; ``before`` is the last id of the page before.

    Raises ``NotFoundError`` for an agent of another workspace.
    """
    await people.get_agent(session, workspace, agent)
    query = select(MaturityChangeRow).where(
        MaturityChangeRow.workspace_id == workspace, MaturityChangeRow.agent_id == agent
    )
    if before is not None:
        query = query.where(MaturityChangeRow.id < before)
    rows = await session.scalars(query.order_by(MaturityChangeRow.id.desc()).limit(limit))
    return tuple(_value(row) for row in rows)


def require_reason(reason: str) -> str:
    """Without blanks at its ends. Raises ``InputError`` where nothing, or too much, is left."""
    why = reason.strip()
    if not why or len(why) > MAX_REASON:
        raise InputError(f"a reason of 1 to {MAX_REASON} characters is needed", field="reason")
    return why


def _value(row: MaturityChangeRow) -> MaturityChange:
    return MaturityChange(
        id=row.id,
        agent=AgentId(row.agent_id),
        before=row.from_maturity,
        after=row.to_maturity,
        reason=row.reason,
        evidence=orjson.loads(row.evidence),
        forced=row.forced,
        by=PersonId(row.changed_by_id),
        at=row.at,
    )
