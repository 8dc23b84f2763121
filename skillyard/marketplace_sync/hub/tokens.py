"""Tokens that other instances follow, publish and rate with. People of a workspace give them out and end them.

They are good for the marketplace alone, always expire, and are rotated without a gap: the old one lives on for a while.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from skillyard.database import Database, Session
from skillyard.errors import ConflictError, InputError
from skillyard.governance import audit
from skillyard.governance.administrators import Administrator, require_person
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.people import require_name
from skillyard.ids import WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.marketplace_sync.hub import token_store
from skillyard.marketplace_sync.hub.values import (
    HubTokenId,
    InstancePrincipal,
    InstanceScope,
    InstanceToken,
    Sender,
)
from skillyard.times import in_utc, utcnow

LONGEST = timedelta(days=366)
LONGEST_GRACE = timedelta(days=7)
_USED_EVERY = timedelta(hours=1)
"""How exact ``last_used_at`` is: a write for every request would cost more than the request."""


class InstanceTokens:
    """The tokens of each workspace."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def issue(
        self, name: str, scopes: Collection[InstanceScope], *, expires_at: datetime, by: Administrator
    ) -> tuple[InstanceToken, str]:
        """A new token and its text, which is shown this once. For persons: what may publish is trusted with that."""
        now = utcnow()
        _require_expiry(expires_at, now)
        if not scopes:
            raise InputError("at least one of read, publish and rate", field="scopes")
        async with self._database.transaction() as session:
            person = await require_person(session, by)
            made, text = await token_store.add(
                session,
                workspace=by.workspace,
                name=require_name(name),
                scopes=scopes,
                by=person.id,
                at=now,
                expires_at=in_utc(expires_at),
            )
            await self._record(session, Action.MARKET_TOKEN_ISSUED, made, by)
        return made, text

    async def rotate(
        self, token: HubTokenId, *, expires_at: datetime, grace: timedelta, by: Administrator
    ) -> tuple[InstanceToken, str]:
        """Another token in the place of one, with its name, scopes and history. The old one counts until the grace is
        over. Raises ``ConflictError`` for one that was rotated or revoked already."""
        async with self._database.transaction() as session:
            await require_person(session, by)
            old = await token_store.find(session, by.workspace, token)
            new, text = await self._replace(session, old, expires_at=expires_at, grace=grace)
            await self._record(session, Action.MARKET_TOKEN_ROTATED, old, by, new=new.id)
        return new, text

    async def rotate_own(
        self, principal: InstancePrincipal, *, expires_at: datetime, grace: timedelta
    ) -> tuple[InstanceToken, str]:
        """The same by the instance that holds it."""
        async with self._database.transaction() as session:
            await token_store.require_valid(session, principal, utcnow())
            old = await token_store.find(session, principal.workspace, principal.token)
            new, text = await self._replace(session, old, expires_at=expires_at, grace=grace)
            await self._record(session, Action.MARKET_TOKEN_ROTATED, old, Sender(principal), new=new.id)
        return new, text

    async def revoke(self, token: HubTokenId, *, by: Administrator) -> None:
        """End a token now, and every one that rotations put in its place: whoever it leaked to may have rotated it.

        Ending it again changes nothing.
        """
        async with self._database.transaction() as session:
            await require_person(session, by)
            after: HubTokenId | None = token
            while after is not None:
                found = await token_store.find(session, by.workspace, after)
                if found.revoked_at is None:
                    await token_store.revoke(session, found.id, at=utcnow())
                    await self._record(session, Action.MARKET_TOKEN_REVOKED, found, by)
                after = found.replaced_by

    async def page(self, workspace: WorkspaceId, *, after: int, limit: int) -> tuple[InstanceToken, ...]:
        async with self._database.reading() as session:
            return await token_store.page(session, workspace, after=after, limit=limit)

    async def authenticate(self, text: str) -> InstancePrincipal | None:
        """Who a token speaks for; ``None`` if it is none that counts."""
        now = utcnow()
        async with self._database.reading() as session:
            found = await token_store.authenticate(session, text, now)
        if found is None:
            return None
        principal, last_used = found
        if last_used is None or now - last_used > _USED_EVERY:
            async with self._database.transaction() as session:
                await token_store.used(session, principal.token, at=now)
        return principal

    async def _replace(
        self, session: Session, old: InstanceToken, *, expires_at: datetime, grace: timedelta
    ) -> tuple[InstanceToken, str]:
        now = utcnow()
        _require_expiry(expires_at, now)
        if not timedelta(0) <= grace <= LONGEST_GRACE:
            raise InputError(f"between nothing and {LONGEST_GRACE.days} days", field="grace")
        if old.revoked_at is not None or old.replaced_by is not None or in_utc(now) >= old.expires_at:
            raise ConflictError(f"instance token {old.id} was rotated or ended already")
        new, text = await token_store.add(
            session,
            workspace=old.workspace,
            name=old.name,
            scopes=old.scopes,
            by=old.created_by,
            at=now,
            expires_at=in_utc(expires_at),
        )
        await token_store.replace(session, old, by=new, until=now + grace)
        return new, text

    @staticmethod
    async def _record(
        session: Session,
        action: Action,
        token: InstanceToken,
        by: Administrator | Sender,
        **more: JsonValue,
    ) -> None:
        facts: dict[str, JsonValue] = {
            "name": token.name,
            "scopes": [one.value for one in token.scopes],
            "expires_at": token.expires_at.isoformat(),
            **more,
            **by.facts,
        }
        record = AuditRecord(token.workspace, utcnow(), by.actor, action, f"instance-token/{token.id}", facts)
        await audit.append(session, record)


def _require_expiry(expires_at: datetime, now: datetime) -> None:
    if not now < in_utc(expires_at) <= now + LONGEST:
        raise InputError(f"must lie ahead, by at most {LONGEST.days} days", field="expires_at")
