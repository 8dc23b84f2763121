"""The three decisions, and the facts that ``policy.decide`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum

from skillyard.governance.report import PackageRef
from skillyard.ids import AgentId, ApprovalId, PersonId, RuleId, SkillId, WorkspaceId
from skillyard.skills.permissions import Granted
from skillyard.skills.skill import Ecosystem


class Maturity(IntEnum):
    """How far an agent is trusted; ordered."""

    STUDENT = 0
    INTERN = 1
    SUPERVISED = 2
    AUTONOMOUS = 3


class SkillState(StrEnum):
    """State of a skill version in a workspace."""

    HELD = "held"
    """Installed; some package waits for review. Calls are decided per agent all the same."""
    ACTIVE = "active"
    QUARANTINED = "quarantined"
    REVOKED = "revoked"
    REMOVED = "removed"


class AgentState(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Agent:
    """A caller. Its owner is the person that answers for it."""

    id: AgentId
    workspace: WorkspaceId
    name: str
    owner: PersonId
    maturity: Maturity
    state: AgentState


class RuleState(StrEnum):
    APPROVED = "approved"
    BANNED = "banned"


class RequestState(StrEnum):
    """State of a request for a package. What was approved can be revoked like any rule."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"


class RuleScope(StrEnum):
    """Whom a rule binds: one workspace, or all of the instance. A workspace's rules can only be stricter than those."""

    WORKSPACE = "workspace"
    GLOBAL = "global"


class ApprovalState(StrEnum):
    """State of an approval request. Only an approved one can be revoked, which revokes exactly its rules."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    REVOKED = "revoked"
    EXPIRED = "expired"
    """Nobody decided in time; or, by the clock alone, the approval that was given has run out."""
    WITHDRAWN = "withdrawn"
    """Nobody has to decide any more: its version was removed, or a request for more took its place."""


@dataclass(frozen=True, slots=True)
class PackageRule:
    """One rule: (ecosystem, canonical name, specifier) → approved or banned.

    ``specifier`` is PEP 440 (``==1.2.3``, ``<2``, or empty for every version) or an npm range. ``hashes`` bind an
    approval to artefacts: when not empty, a locked package matches only if all its artefact hashes are among them.
    """

    id: RuleId
    ecosystem: Ecosystem
    name: str
    specifier: str
    state: RuleState
    min_maturity: Maturity | None
    """For approvals: the least mature agent that may use it."""
    expires_at: datetime | None
    reason: str | None
    hashes: frozenset[str] = frozenset()
    approval: ApprovalId | None = None
    scope: RuleScope = RuleScope.WORKSPACE


@dataclass(frozen=True, slots=True)
class Reason:
    """Why. ``code`` is stable (``banned_package``, ``unknown_package``, ``report_blocked`` …)."""

    code: str
    message: str
    package: PackageRef | None = None


@dataclass(frozen=True, slots=True)
class Allow:
    granted: Granted
    reasons: tuple[Reason, ...]
    supervised: bool = False
    """Whether the call is recorded in full, and an admin may watch and stop it: so for SUPERVISED agents."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What must be approved: packages that are new, and the agent's first use of the skill."""

    packages: tuple[PackageRef, ...]
    first_use: bool
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Deny:
    reasons: tuple[Reason, ...]


Decision = Allow | Hold | Deny


@dataclass(frozen=True, slots=True)
class FirstUse:
    """A recorded permission for one agent to use one skill for the first time."""

    agent: AgentId
    skill: SkillId
