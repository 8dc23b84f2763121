"""Whose signature a publisher's versions need here: the first that was seen, until an operator accepts another.

What is signed is a statement about the bundle (``catalogue.statement``); lock and verdict in it are what the publisher
saw, and are looked at again here like everything else.
"""

from __future__ import annotations

from skillyard.database import Database, Session
from skillyard.errors import InputError
from skillyard.governance import audit
from skillyard.governance.administrators import Administrator, require_admin
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.signing import HEX_KEY, PublicKey
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.catalogue.statement import read_statement
from skillyard.marketplace_sync.errors import DocumentError, SignerError
from skillyard.marketplace_sync.follower import store
from skillyard.marketplace_sync.follower.choice import Choice
from skillyard.marketplace_sync.follower.values import Signer
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.times import utcnow


class Signers:
    """The signers that each workspace believes, by remote and publisher."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def require(self, choice: Choice) -> None:
        """Believe a version's signer, the first of its publisher at once. Raises ``SignerError``."""
        signed_by = _signed_by(choice)
        async with self._database.transaction() as session:
            believed = await store.signer(session, choice.remote.id, choice.publisher)
            if believed is None and signed_by is not None:
                await store.keep_signer(session, choice.remote, choice.publisher, signed_by, by=None, at=utcnow())
                return
        if believed is None or believed == signed_by:
            return
        if signed_by is None:
            raise SignerError(
                f"{choice.key} is not signed, and {choice.publisher} signed before (key {believed[:16]}…)"
            )
        raise SignerError(
            f"{choice.key} is signed by another key ({signed_by}) than {choice.publisher} signed with before "
            f"({believed}); an admin has to accept it"
        )

    async def list(
        self, workspace: WorkspaceId, remote: str, *, after: str = "", limit: int = 100
    ) -> tuple[Signer, ...]:
        """The publishers whose signer is known, by name, beginning behind ``after``. Raises ``NotFoundError``."""
        async with self._database.reading() as session:
            market = await remote_store.get(session, workspace, remote)
            return await store.signers(session, market.id, after=after, limit=limit)

    async def accept(
        self, workspace: WorkspaceId, remote: str, publisher: str, key: str, *, by: Administrator
    ) -> Signer:
        """Believe another key of a publisher from now on; named in full, so that nobody accepts one unseen."""
        if not HEX_KEY.fullmatch(key):
            raise InputError("a public key is 64 hexadecimal digits", field="key")
        now = utcnow()
        async with self._database.transaction() as session:
            await require_admin(session, by)
            market = await remote_store.get(session, workspace, remote)
            before = await store.signer(session, market.id, publisher)
            await store.keep_signer(session, market, publisher, key, by=by.person, at=now)
            await _record(session, by, remote, publisher, key=key, before=before)
            return Signer(publisher, key, now, by.person)


async def _record(
    session: Session, by: Administrator, remote: str, publisher: str, *, key: str, before: str | None
) -> None:
    facts = {"publisher": publisher, "key": key, "before": before, **by.facts}
    record = AuditRecord(by.workspace, utcnow(), by.actor, Action.REMOTE_SIGNER_ACCEPTED, f"remote/{remote}", facts)
    await audit.append(session, record)


def _signed_by(choice: Choice) -> str | None:
    """The publisher's key that signed, in hex; ``None`` for a version without a signature."""
    if choice.document.signature is None:
        return None
    try:
        keys = [PublicKey(bytes.fromhex(key)) for key in choice.keys]
        stated, key = read_statement(choice.document.signature, keys)
    except DocumentError as error:
        raise SignerError(f"{choice.key}: {error}") from error
    if (stated.version, stated.bundle) != (choice.key, choice.document.bundle):
        raise SignerError(f"{choice.key}: its signature is about {stated.version} with {stated.bundle}")
    return key.hex
