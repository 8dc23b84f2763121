"""Who administers a workspace: a person with the role, or an AUTONOMOUS agent whose token carries the scope.

Checked in the very transaction of what is done, so that a role, a maturity, a state or a token that was taken away
counts at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.governance import people
from skillyard.governance.decision import AgentState, Maturity
from skillyard.governance.errors import AdminRoleError, OperatorRoleError
from skillyard.governance.identity import (
    Actor,
    ActorKind,
    Person,
    PersonPrincipal,
    Principal,
    Role,
    TokenId,
    TokenScope,
)
from skillyard.governance.tables import TokenRow
from skillyard.ids import AgentId, PersonId, WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.times import in_utc, utcnow


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who acts as an admin. ``person`` answers for it: the one who acts, or the owner of the agent that does.

    An agent acts by the scope of a ``token``; without one it is no administrator.
    """

    workspace: WorkspaceId
    person: PersonId
    actor: Actor
    token: TokenId | None = None

    @classmethod
    def of(cls, principal: Principal | Administrator) -> Administrator:
        """Whoever asks, as an administrator: whether they are one is found out by ``require_admin``."""
        if isinstance(principal, Administrator):
            return principal
        if isinstance(principal, PersonPrincipal):
            return cls(principal.workspace, principal.person.id, principal.actor)
        return cls(principal.workspace, principal.agent.owner, principal.actor, principal.token)

    @property
    def facts(self) -> Mapping[str, JsonValue]:
        """What an audit record says beside the actor: for whom an agent acted."""
        return {} if self.actor.kind is ActorKind.PERSON else {"on_behalf_of": f"person/{self.person}"}


Authority = Principal | Administrator
"""Who had something done: an administrator, checked again as it is done, or a principal that our own code let do it."""


def on_behalf(by: Authority) -> Mapping[str, JsonValue]:
    """``Administrator.facts``, of whoever it was."""
    return by.facts if isinstance(by, Administrator) else {}


async def recheck(session: AsyncSession, by: Authority) -> None:
    """``require_admin`` for who came as an administrator, where minutes may lie between the request and its effect."""
    if isinstance(by, Administrator):
        await require_admin(session, by)


async def require_admin(session: AsyncSession, by: Administrator) -> Person:
    """The person who answers. Raises ``AdminRoleError``, and ``NotFoundError`` for somebody of another workspace."""
    person = await people.get_person(session, by.workspace, by.person)
    if not person.role.administers:
        raise AdminRoleError(f"{person.name} has the role {person.role}; this needs the role admin")
    if by.actor.kind is ActorKind.AGENT:
        await _require_trusted(session, by)
    elif by.actor != person.actor:
        raise AdminRoleError("only persons, and agents that may act for one, administer a workspace")
    return person


async def require_person(session: AsyncSession, by: Administrator) -> Person:
    """As ``require_admin``, for what no agent may do whatever its token carries: trusting agents, giving tokens."""
    if by.actor.kind is not ActorKind.PERSON:
        raise AdminRoleError("this needs a person with the role admin; an agent's token is not enough")
    return await require_admin(session, by)


async def require_operator(session: AsyncSession, by: Administrator) -> Person:
    """As ``require_person``, for what concerns the whole instance. Raises ``OperatorRoleError`` for mere admins."""
    person = await require_person(session, by)
    if by.actor.kind is not ActorKind.PERSON:
        raise OperatorRoleError("what concerns the whole instance is for persons; an agent cannot")
    if person.role is not Role.OPERATOR:
        raise OperatorRoleError(f"{person.name} has the role {person.role}; this needs the role operator")
    return person


async def _require_trusted(session: AsyncSession, by: Administrator) -> None:
    assert by.actor.id is not None  # noqa: S101 - only the system has none
    agent = await people.get_agent(session, by.workspace, AgentId(by.actor.id))
    if agent.owner != by.person or agent.state is not AgentState.ACTIVE or agent.maturity is not Maturity.AUTONOMOUS:
        raise AdminRoleError(f"agent {agent.name} is {agent.state} and {agent.maturity.name}; this needs AUTONOMOUS")
    if by.token is None or not await _carries_scope(session, by, utcnow()):
        raise AdminRoleError(f"the token of agent {agent.name} does not carry the scope {TokenScope.ADMIN}")


async def _carries_scope(session: AsyncSession, by: Administrator, now: datetime) -> bool:
    row = await session.scalar(
        select(TokenRow).where(
            TokenRow.workspace_id == by.workspace, TokenRow.id == by.token, TokenRow.agent_id == by.actor.id
        )
    )
    if row is None or row.revoked_at is not None or TokenScope.ADMIN.value not in (row.scopes or "").split():
        return False
    return row.expires_at is None or in_utc(now) < row.expires_at
