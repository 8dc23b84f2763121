"""Persons, tokens, and the pins of agents."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from skillyard.api.schemas.agents import AgentView
from skillyard.api.schemas.values import MAX_KEY, Body, FutureTime, Name, View
from skillyard.governance.identity import Role, TokenScope
from skillyard.runtime.values import Pin

Id = Annotated[int, Field(ge=1, le=MAX_KEY)]


class AddPersonRequest(Body):
    name: Name
    role: Role = Role.MEMBER


class PersonView(View):
    id: int
    name: str
    role: Role


class PinRequest(Body):
    """``version`` is one that is installed."""

    version: Annotated[str, StringConstraints(min_length=1, max_length=128)]


class PinView(View):
    """Calls of ``agent`` to this skill that name no version go to ``version``, wherever the skill's pointer is."""

    agent: int
    publisher: str
    name: str
    version: str
    pinned_at: datetime

    @classmethod
    def of(cls, pin: Pin) -> PinView:
        ref = pin.skill
        return cls(
            agent=pin.agent,
            publisher=ref.publisher,
            name=ref.name,
            version=ref.version or "",
            pinned_at=pin.pinned_at,
        )


class PinsView(View):
    """All pins of one agent: at most one for each skill."""

    items: tuple[PinView, ...]


class IssueTokenRequest(Body):
    """A token for exactly one of ``person`` and ``agent``."""

    name: Name
    person: Id | None = None
    agent: Id | None = None
    expires_at: FutureTime | None = None
    scopes: tuple[TokenScope, ...] = Field(
        default=(), max_length=10, description="For agents: what it may be used for beside calling skills."
    )

    @model_validator(mode="after")
    def _one_holder(self) -> IssueTokenRequest:
        if (self.person is None) == (self.agent is None):
            raise ValueError("give either person or agent")
        return self


class TokenView(View):
    """A token without its text, which nobody can read again."""

    id: int
    name: str
    holder: str = Field(description="`person/ID` or `agent/ID`.")
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    scopes: tuple[TokenScope, ...]


class IssuedTokenView(View):
    """``token`` is shown this once; only its hash is kept."""

    id: int
    token: str


class IdentityView(View):
    """Who a token belongs to."""

    kind: Literal["person", "agent"]
    workspace: int
    person: PersonView | None = None
    agent: AgentView | None = None
