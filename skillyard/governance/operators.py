"""Nobody becomes an operator but by an operator: neither by being added as one, nor with a token of one."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.governance.errors import OperatorRoleError
from skillyard.governance.identity import Actor, ActorKind, Role
from skillyard.governance.tables import PersonRow


async def require_to_touch(session: AsyncSession, role: Role, *, by: Actor) -> None:
    """Whoever adds a person of this role, or gives or ends a token of theirs, may do so.

    Read in the very transaction. Raises ``OperatorRoleError``.
    """
    if role is not Role.OPERATOR or by.kind is ActorKind.SYSTEM:
        return
    own = await session.scalar(select(PersonRow.role).where(PersonRow.id == by.id))
    if by.kind is not ActorKind.PERSON or own is not Role.OPERATOR:
        raise OperatorRoleError("operators and their tokens are for operators to add and end; this needs that role")
