"""Tokens of other instances in the database: issued once, kept hashed, found by the id that is in them."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, or_, select, update

from skillyard.database import Session
from skillyard.errors import NotFoundError
from skillyard.ids import PersonId, WorkspaceId
from skillyard.marketplace_sync.errors import NotAllowedError, TokenEndedError
from skillyard.marketplace_sync.hub.tables import InstanceTokenRow
from skillyard.marketplace_sync.hub.values import HubTokenId, InstancePrincipal, InstanceScope, InstanceToken
from skillyard.times import in_utc

PREFIX = "skm_"
_SECRET_BYTES = 32
_TOKEN = re.compile(r"skm_([1-9][0-9]{0,17})_([A-Za-z0-9_-]{43})", re.ASCII)


async def add(
    session: Session,
    *,
    workspace: WorkspaceId,
    name: str,
    scopes: Collection[InstanceScope],
    by: PersonId,
    at: datetime,
    expires_at: datetime,
) -> tuple[InstanceToken, str]:
    """A new token and its text, ``skm_<id>_<43 characters>``, which is shown this once and kept nowhere."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    row = InstanceTokenRow(
        workspace_id=workspace,
        name=name,
        token_hash=_hash(secret),
        scopes=" ".join(one.value for one in InstanceScope if one in scopes),
        created_by_id=by,
        created_at=at,
        expires_at=expires_at,
    )
    session.add(row)
    await session.flush()
    return _value(row), f"{PREFIX}{row.id}_{secret}"


async def authenticate(session: Session, text: str, now: datetime) -> tuple[InstancePrincipal, datetime | None] | None:
    """Who the token speaks for, and when it was last used; ``None`` if it is malformed, unknown, expired or revoked.

    The row is found by the id and the hashes are compared in constant time (see ``governance.tokens``).
    """
    matched = _TOKEN.fullmatch(text)
    if matched is None:
        return None
    row = await session.get(InstanceTokenRow, int(matched[1]))
    if row is None or not hmac.compare_digest(row.token_hash, _hash(matched[2])) or not _is_valid(row, now):
        return None
    principal = InstancePrincipal(
        token=HubTokenId(row.id),
        line=HubTokenId(row.first_id or row.id),
        workspace=WorkspaceId(row.workspace_id),
        name=row.name,
        scopes=frozenset(_scopes(row)),
    )
    return principal, row.last_used_at


async def require_valid(session: Session, principal: InstancePrincipal, now: datetime) -> None:
    """What was looked at when a request came still counts as it is done. Raises ``TokenEndedError``."""
    row = await session.get(InstanceTokenRow, principal.token, populate_existing=True)
    if row is None or not _is_valid(row, now):
        raise TokenEndedError(f"the token {principal.name} was revoked or expired meanwhile")


async def find(session: Session, workspace: WorkspaceId, token: HubTokenId) -> InstanceToken:
    """Raises ``NotFoundError``."""
    query = select(InstanceTokenRow).where(InstanceTokenRow.workspace_id == workspace, InstanceTokenRow.id == token)
    row = await session.scalar(query.execution_options(populate_existing=True))
    if row is None:
        raise NotFoundError(f"there is no instance token {token}")
    return _value(row)


async def page(session: Session, workspace: WorkspaceId, *, after: int, limit: int) -> tuple[InstanceToken, ...]:
    row = InstanceTokenRow
    query = select(row).where(row.workspace_id == workspace, row.id > after).order_by(row.id).limit(limit)
    return tuple(_value(one) for one in await session.scalars(query))


async def revoke(session: Session, token: HubTokenId, *, at: datetime) -> None:
    await _change(session, token, revoked_at=at)


async def replace(session: Session, token: InstanceToken, *, by: InstanceToken, until: datetime) -> None:
    """``by`` goes on in the place of ``token``, as the same sender; the old one counts until ``until``."""
    first = await session.scalar(select(InstanceTokenRow.first_id).where(InstanceTokenRow.id == token.id))
    await _change(session, by.id, first_id=first or token.id, origin=token.origin)
    await _change(session, token.id, replaced_by_id=by.id, expires_at=min(in_utc(token.expires_at), in_utc(until)))


async def used(session: Session, token: HubTokenId, *, at: datetime) -> None:
    await _change(session, token, last_used_at=at)


async def require_origin(session: Session, principal: InstancePrincipal, origin: str) -> bool:
    """Whether this token's ratings are of this instance; ``False`` where they are of none yet.

    An instance's name belongs to the workspace whose token used it first. Raises ``NotAllowedError``.
    """
    row = InstanceTokenRow
    bound = {one for one in await session.scalars(select(row.origin).where(_line(principal))) if one is not None}
    if bound == {origin}:
        return True
    if bound:
        raise NotAllowedError(f"the token {principal.name} brings what {bound.pop()} said, and nothing of {origin}")
    others = await session.scalar(
        select(row.id).where(row.origin == origin, row.workspace_id != principal.workspace).limit(1)
    )
    if others is not None:
        raise NotAllowedError(f"{origin} is known here as an instance of others")
    return False


async def bind_origin(session: Session, principal: InstancePrincipal, origin: str) -> None:
    """Keep which instance this token's ratings are of, at the first that is taken; it brings no other's after that.

    Raises ``NotAllowedError`` as ``require_origin`` does.
    """
    if not await require_origin(session, principal, origin):
        query = update(InstanceTokenRow).where(_line(principal)).values(origin=origin)
        await session.execute(query.execution_options(synchronize_session=False))


def _line(principal: InstancePrincipal) -> ColumnElement[bool]:
    """The tokens of one line of rotations."""
    return or_(InstanceTokenRow.id == principal.line, InstanceTokenRow.first_id == principal.line)


async def _change(session: Session, token: HubTokenId, **values: object) -> None:
    query = update(InstanceTokenRow).where(InstanceTokenRow.id == token).values(values)
    await session.execute(query.execution_options(synchronize_session=False))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _is_valid(row: InstanceTokenRow, now: datetime) -> bool:
    return row.revoked_at is None and in_utc(now) < row.expires_at


def _scopes(row: InstanceTokenRow) -> tuple[InstanceScope, ...]:
    named = row.scopes.split()
    return tuple(one for one in InstanceScope if one.value in named)


def _value(row: InstanceTokenRow) -> InstanceToken:
    return InstanceToken(
        id=HubTokenId(row.id),
        workspace=WorkspaceId(row.workspace_id),
        name=row.name,
        scopes=_scopes(row),
        created_by=PersonId(row.created_by_id),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        replaced_by=None if row.replaced_by_id is None else HubTokenId(row.replaced_by_id),
        last_used_at=row.last_used_at,
        origin=row.origin,
    )
