"""Who acts: persons and agents as values, the principal behind a token, the actor of an audit record."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from skillyard.governance.decision import Agent
from skillyard.ids import PersonId, WorkspaceId

TokenId = NewType("TokenId", int)


class Role(StrEnum):
    """What a person may do. Admins change rules, approve, and add persons and agents.

    An operator is an admin who also manages what concerns the whole instance: workspaces, quotas, global package rules.
    """

    ADMIN = "admin"
    MEMBER = "member"
    OPERATOR = "operator"

    @property
    def administers(self) -> bool:
        """Whether this role manages its own workspace."""
        return self is not Role.MEMBER


class TokenScope(StrEnum):
    """What an agent's token may be used for beside calling skills. A token has none unless an admin gave it one."""

    ADMIN = "admin"
    """Act as an admin of its workspace, as long as the agent is AUTONOMOUS and active and its owner an admin."""


class WorkspaceState(StrEnum):
    """Of a ``suspended`` workspace no call is admitted and nothing is changed; what is there can be read."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class ActorKind(StrEnum):
    """``system`` is Skillyard itself: first start, reconciliation, scheduled work."""

    PERSON = "person"
    AGENT = "agent"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something. ``id`` is a person's or an agent's key, ``None`` for the system."""

    kind: ActorKind
    id: int | None


SYSTEM = Actor(ActorKind.SYSTEM, None)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant."""

    id: WorkspaceId
    name: str
    state: WorkspaceState = WorkspaceState.ACTIVE


@dataclass(frozen=True, slots=True)
class Person:
    """A human member of one workspace."""

    id: PersonId
    workspace: WorkspaceId
    name: str
    role: Role

    @property
    def actor(self) -> Actor:
        return Actor(ActorKind.PERSON, self.id)


@dataclass(frozen=True, slots=True)
class PersonPrincipal:
    """A request that carries a person's token."""

    token: TokenId
    person: Person

    @property
    def workspace(self) -> WorkspaceId:
        return self.person.workspace

    @property
    def actor(self) -> Actor:
        return self.person.actor


@dataclass(frozen=True, slots=True)
class AgentPrincipal:
    """A request that carries an agent's token. The agent may be suspended: that is for the decision to refuse."""

    token: TokenId
    agent: Agent
    scopes: frozenset[TokenScope] = frozenset()

    @property
    def workspace(self) -> WorkspaceId:
        return self.agent.workspace

    @property
    def actor(self) -> Actor:
        return Actor(ActorKind.AGENT, self.agent.id)


Principal = PersonPrincipal | AgentPrincipal
