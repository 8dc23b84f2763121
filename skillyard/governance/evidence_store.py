"""Counting from the audit chain which of an agent's calls were not admitted, and why."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.governance.audit import Action
from skillyard.governance.audit.record import time_text
from skillyard.governance.evidence import PolicyHits
from skillyard.governance.identity import ActorKind
from skillyard.governance.tables import AuditRecordRow
from skillyard.ids import AgentId, WorkspaceId

_HITS = {Action.INVOCATION_DENIED: "denied", Action.INVOCATION_HELD: "held", Action.INVOCATION_REFUSED: "refused"}


async def policy_hits(
    session: AsyncSession, workspace: WorkspaceId, agent: AgentId, *, since: datetime, until: datetime
) -> PolicyHits:
    """Counted from the workspace's chain. There is no index for this question, which would cost every admitted call:
    the chain is read from the window's beginning on."""
    row = AuditRecordRow
    first, begin = await _begin(session, workspace, time_text(since))
    found: dict[str, Counter[str]] = {kind: Counter() for kind in _HITS.values()}
    hits = select(row.action, row.payload).where(
        row.workspace_id == workspace,
        row.seq >= begin,
        row.at >= time_text(since),
        row.at < time_text(until),
        row.actor_kind == ActorKind.AGENT.value,
        row.actor_id == agent,
        row.action.in_([action.value for action in _HITS]),
    )
    async for action, payload in await session.stream(hits):
        found[_HITS[Action(action)]][_code(payload)] += 1
    counted = since if first is None else max(since, first)
    return PolicyHits(
        denied=_sorted(found["denied"]), held=_sorted(found["held"]), refused=_sorted(found["refused"]), since=counted
    )


async def _begin(session: AsyncSession, workspace: WorkspaceId, since: str) -> tuple[datetime | None, int]:
    """When the oldest record was made that is still in the database, if older ones were archived; and where to begin
    to look: the last record before ``since``, found by halving, because the chain is in the order of time."""
    row = AuditRecordRow
    mine = select(row.seq, row.at).where(row.workspace_id == workspace)
    oldest = (await session.execute(mine.order_by(row.seq).limit(1))).one_or_none()
    newest = (await session.execute(mine.order_by(row.seq.desc()).limit(1))).one_or_none()
    if oldest is None or newest is None:
        return None, 0
    archived = datetime.fromisoformat(oldest.at) if oldest.seq > 1 else None
    low, high = oldest.seq, newest.seq
    while low < high:
        middle = (low + high + 1) // 2
        at = await session.scalar(select(row.at).where(row.workspace_id == workspace, row.seq == middle))
        if at is None or at >= since:
            high = middle - 1
        else:
            low = middle
    # Clocks of several processes differ a little, and what one wrote behind another may be dated before it.
    return archived, max(oldest.seq, low - 1000)


def _code(payload: str) -> str:
    reasons = orjson.loads(payload).get("reasons") or ["unknown"]
    return str(reasons[0])


def _sorted(counted: Counter[str]) -> dict[str, int]:
    return dict(sorted(counted.items()))
