"""Bearer tokens of persons and agents: issued once, kept hashed, checked at every request."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import InputError, NotFoundError
from skillyard.governance import audit, operators, people
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import Agent
from skillyard.governance.identity import (
    SYSTEM,
    Actor,
    AgentPrincipal,
    Person,
    PersonPrincipal,
    Principal,
    Role,
    TokenId,
    TokenScope,
)
from skillyard.governance.tables import AgentRow, PersonRow, TokenRow, WorkspaceRow
from skillyard.ids import PersonId, WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.times import in_utc

DEFAULT_WORKSPACE = "default"
FIRST_PERSON = "admin"

_SECRET_BYTES = 32
_TOKEN = re.compile(r"sky_([1-9][0-9]{0,17})_([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TokenSummary:
    """A token without its secret, which nobody can read back. ``holder`` is ``person/ID`` or ``agent/ID``."""

    id: TokenId
    name: str
    holder: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    scopes: tuple[TokenScope, ...] = ()


async def issue(
    session: AsyncSession,
    holder: Person | Agent,
    name: str,
    *,
    by: Actor,
    at: datetime,
    expires_at: datetime | None = None,
    scopes: Collection[TokenScope] = (),
) -> tuple[TokenId, str]:
    """A new token and its text, ``sky_<id>_<43 characters>``, which is shown this once and kept nowhere.

    Only the SHA-256 of the secret is stored. A slow password hash would add nothing: the secret is 256 random bits,
    so there is nothing to guess, and it would be paid at every request. ``scopes`` are for agents: what a person may
    do is said by their role.
    """
    if scopes and isinstance(holder, Person):
        raise InputError("scopes are for tokens of agents; what a person may do is said by their role", field="scopes")
    if expires_at is not None and in_utc(expires_at) <= in_utc(at):
        raise InputError("the expiry lies in the past", field="expires_at")
    if isinstance(holder, Person):
        await operators.require_to_touch(session, holder.role, by=by)
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    row = TokenRow(
        workspace_id=holder.workspace,
        person_id=holder.id if isinstance(holder, Person) else None,
        agent_id=holder.id if isinstance(holder, Agent) else None,
        token_hash=_hash(secret),
        name=people.require_name(name),
        scopes=" ".join(scope.value for scope in TokenScope if scope in scopes) or None,
        created_at=at,
        expires_at=expires_at,
    )
    session.add(row)
    await session.flush()
    until = None if expires_at is None else in_utc(expires_at).isoformat()
    payload: dict[str, JsonValue] = {
        "name": name,
        "holder": _holder(row),
        "expires_at": until,
        "scopes": [scope.value for scope in _scopes(row)],
    }
    record = AuditRecord(holder.workspace, at, by, Action.TOKEN_ISSUED, f"token/{row.id}", payload)
    await audit.append(session, record)
    return TokenId(row.id), f"sky_{row.id}_{secret}"


async def authenticate(session: AsyncSession, token: str, now: datetime) -> Principal | None:
    """Who the token speaks for; ``None`` if it is malformed, unknown, expired or revoked.

    The row is found by the id in the token and the hashes are compared in constant time, so the time taken says
    nothing about the secret. Suspended agents are returned: refusing them, with a reason, is the decision's part.
    """
    matched = _TOKEN.fullmatch(token)
    if matched is None:
        return None
    query = (
        select(TokenRow, PersonRow, AgentRow)
        .outerjoin(PersonRow, PersonRow.id == TokenRow.person_id)
        .outerjoin(AgentRow, AgentRow.id == TokenRow.agent_id)
        .where(TokenRow.id == int(matched[1]))
    )
    found = (await session.execute(query)).one_or_none()
    if found is None:
        return None
    row, person, agent = found
    if not hmac.compare_digest(row.token_hash, _hash(matched[2])) or not _is_valid(row, now):
        return None
    return _principal(row, person, agent)


async def revoke(session: AsyncSession, workspace: WorkspaceId, token: TokenId, *, by: Actor, at: datetime) -> None:
    """Ends a token now. Revoking a revoked token changes and records nothing; an unknown one is ``NotFoundError``."""
    row = await session.scalar(select(TokenRow).where(TokenRow.workspace_id == workspace, TokenRow.id == token))
    if row is None:
        raise NotFoundError(f"token {token} does not exist")
    if row.revoked_at is not None:
        return
    if row.person_id is not None:
        owner = await people.get_person(session, workspace, PersonId(row.person_id))
        await operators.require_to_touch(session, owner.role, by=by)
    await session.execute(update(TokenRow).where(TokenRow.id == token).values(revoked_at=at))
    payload: dict[str, JsonValue] = {"name": row.name, "holder": _holder(row)}
    await audit.append(session, AuditRecord(workspace, at, by, Action.TOKEN_REVOKED, f"token/{token}", payload))


async def tokens(
    session: AsyncSession, workspace: WorkspaceId, *, after: int = 0, limit: int | None = None
) -> tuple[TokenSummary, ...]:
    """Every token, expired and revoked ones included, in the order they were issued, beginning behind ``after``."""
    found = TokenRow.workspace_id == workspace, TokenRow.id > after
    rows = await session.scalars(select(TokenRow).where(*found).order_by(TokenRow.id).limit(limit))
    return tuple(
        TokenSummary(
            *(TokenId(row.id), row.name, _holder(row), row.created_at, row.expires_at, row.revoked_at), _scopes(row)
        )
        for row in rows
    )


async def first_start(session: AsyncSession, now: datetime) -> str | None:
    """Where there is no workspace ``default`` yet: make it and the operator ``admin``; return their token text.

    ``None`` ever after, also when the transaction of another process was first.
    """
    if await session.scalar(select(WorkspaceRow.id).where(WorkspaceRow.name == DEFAULT_WORKSPACE)) is not None:
        return None
    workspace = await people.create_workspace(session, DEFAULT_WORKSPACE, by=SYSTEM, at=now)
    admin = await people.add_person(session, workspace.id, FIRST_PERSON, Role.OPERATOR, by=SYSTEM, at=now)
    _, text = await issue(session, admin, "first-start", by=SYSTEM, at=now)
    return text


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _is_valid(row: TokenRow, now: datetime) -> bool:
    return row.revoked_at is None and (row.expires_at is None or in_utc(now) < row.expires_at)


def _holder(row: TokenRow) -> str:
    return f"agent/{row.agent_id}" if row.person_id is None else f"person/{row.person_id}"


def _scopes(row: TokenRow) -> tuple[TokenScope, ...]:
    """A scope of a newer release, which this one does not know, lets its token do nothing here."""
    named = (row.scopes or "").split()
    return tuple(scope for scope in TokenScope if scope.value in named)


def _principal(row: TokenRow, person: PersonRow | None, agent: AgentRow | None) -> Principal | None:
    token = TokenId(row.id)
    if person is not None:
        return PersonPrincipal(token, people.person_value(person))
    return None if agent is None else AgentPrincipal(token, people.agent_value(agent), frozenset(_scopes(row)))
