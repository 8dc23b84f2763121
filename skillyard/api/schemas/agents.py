"""Agents: how far each is trusted, on what evidence, and since when."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from skillyard.api.schemas.values import MAX_KEY, Body, MaturityName, Name, View
from skillyard.governance.decision import AgentState
from skillyard.governance.evidence import Evidence, MaturityChange

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


class AddAgentRequest(Body):
    """``owner`` is the person who answers for the agent; without one, whoever asks."""

    name: Name
    owner: Annotated[int, Field(ge=1, le=MAX_KEY)] | None = None
    maturity: MaturityName = "STUDENT"


class SetMaturityRequest(Body):
    """``force`` is needed for a promotion over more than one level."""

    maturity: MaturityName
    reason: Reason
    force: bool = False


class ReasonRequest(Body):
    reason: Reason


class AgentView(View):
    id: int
    name: str
    owner: int
    maturity: MaturityName
    state: AgentState


class ShareView(View):
    """``part`` of ``whole``; ``low`` and ``high`` are the 95 % interval of Wilson."""

    part: int
    whole: int
    rate: float
    low: float
    high: float


class HitsView(View):
    """Calls that were not admitted, by the reason that came first. Counted from ``since`` on: later than the window's
    beginning where older records were archived."""

    denied: dict[str, int]
    held: dict[str, int]
    refused: dict[str, int]
    since: datetime


class EvidenceView(View):
    """What the records say of an agent's calls that began between ``since`` and ``until``.

    ``success`` is over the calls that ended by themselves, and ``null`` where there are none; so is the median.
    """

    agent: int
    since: datetime
    until: datetime
    calls: int
    states: dict[str, int] = Field(description="Calls by how they ended; `accepted` are those that run.")
    timed_out: int
    lost: int
    success: ShareView | None
    median_wall_seconds: float | None
    skills: int = Field(description="Different skills that were called.")
    policy: HitsView

    @classmethod
    def of(cls, evidence: Evidence) -> EvidenceView:
        figures = evidence.figures
        return cls(
            agent=evidence.agent,
            since=evidence.since,
            until=evidence.until,
            calls=figures.calls,
            states=dict(figures.states),
            timed_out=figures.states.get("timed_out", 0),
            lost=figures.states.get("lost", 0),
            success=None if figures.success is None else ShareView.model_validate(figures.success),
            median_wall_seconds=figures.median_wall_seconds,
            skills=figures.skills,
            policy=HitsView.model_validate(evidence.hits),
        )


class MaturityChangeView(View):
    """A promotion or demotion, with the evidence as it was then."""

    id: int
    agent: int
    before: MaturityName
    after: MaturityName
    reason: str
    forced: bool = Field(description="A promotion over more than one level.")
    by: int
    at: datetime
    evidence: dict[str, Any]

    @classmethod
    def of(cls, change: MaturityChange) -> MaturityChangeView:
        return cls.model_validate(change)
