"""What the records say of an agent over a window: the evidence for trusting it more or less.

Everything is counted from recorded calls and the audit chain. Where there is nothing to count from, there is no
figure: an agent that never called has no success rate, which is something else than a rate of nought.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.governance.audit import Action, JsonValue
from skillyard.governance.audit.record import time_text
from skillyard.governance.identity import ActorKind
from skillyard.governance.tables import AuditRecordRow
from skillyard.ids import AgentId, WorkspaceId

_Z95 = 1.959963984540054
"""The standard normal distribution's 97.5 % quantile."""

_HITS = {Action.INVOCATION_DENIED: "denied", Action.INVOCATION_HELD: "held", Action.INVOCATION_REFUSED: "refused"}


@dataclass(frozen=True, slots=True)
class Share:
    """``part`` of ``whole``, with the 95 % interval of Wilson (1927), which also holds for few and for extreme ones."""

    part: int
    whole: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CallFigures:
    """Admitted calls that began in the window.

    ``states`` counts them by how they ended, ``accepted`` being those that run. ``success`` is over the calls that
    ended by themselves: not those that were cancelled, which says nothing about the agent, and not those that never
    started.
    """

    calls: int
    states: Mapping[str, int]
    success: Share | None
    median_wall_seconds: float | None
    skills: int
    """Different skills that were called."""


@dataclass(frozen=True, slots=True)
class PolicyHits:
    """Calls that were not admitted, by the reason that came first in their refusal.

    ``since`` is where the records that could be counted begin: later than the window where older ones were archived.
    """

    denied: Mapping[str, int]
    held: Mapping[str, int]
    refused: Mapping[str, int]
    since: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it, counted at ``until``."""

    agent: AgentId
    since: datetime
    until: datetime
    figures: CallFigures
    hits: PolicyHits

    def document(self) -> dict[str, JsonValue]:
        """As it is kept with a change of maturity."""
        share = self.figures.success
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "calls": self.figures.calls,
            "states": dict(self.figures.states),
            "success": None
            if share is None
            else {
                "succeeded": share.part,
                "of": share.whole,
                "rate": round(share.rate, 6),
                "low": round(share.low, 6),
                "high": round(share.high, 6),
            },
            "median_wall_seconds": self.figures.median_wall_seconds,
            "skills": self.figures.skills,
            "denied": dict(self.hits.denied),
            "held": dict(self.hits.held),
            "refused": dict(self.hits.refused),
            "refusals_since": self.hits.since.isoformat(),
        }


def share(part: int, whole: int) -> Share | None:
    """``None`` of nothing."""
    if not whole:
        return None
    rate, squared = part / whole, _Z95**2
    centre = rate + squared / (2 * whole)
    spread = _Z95 * math.sqrt(rate * (1 - rate) / whole + squared / (4 * whole**2))
    scale = 1 + squared / whole
    return Share(part, whole, rate, max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale))


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
