"""Whether what is set aside accounts for the difference between a mirror and the head that it was read to.

The head's digest counts every entry by kind, key and hash, and a row that cannot be taken still says what it is. So a
mirror with something set aside is held against its head as exactly as any other, and nothing else can be withheld, or
shown as it was before, behind a row that is broken.
"""

from __future__ import annotations

from collections.abc import Sequence

from skillyard.database import Session
from skillyard.marketplace_sync.catalogue import store as entries_of
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry, EntryId, EntryKind, member
from skillyard.marketplace_sync.catalogue.set_digest import SetDigest
from skillyard.marketplace_sync.catalogue.store import Catalogue
from skillyard.marketplace_sync.follower import store
from skillyard.marketplace_sync.follower.values import Claim
from skillyard.marketplace_sync.remotes.remote import Head, RemoteId

_KINDS = frozenset(kind.value for kind in EntryKind)


async def accounted_for(session: Session, remote: RemoteId, catalogue: Catalogue, head: Head) -> bool:
    """Whether the mirror is what the head says but for the rows that are set aside."""
    claims = await store.claims(session, remote)
    # A row without a number is found by its page alone, and until then it may be of what is gone by now.
    numbered = [claim for claim in claims if claim.seq > store.UNSEEN]
    for counted in (claims, numbered):
        digest, live = await _with(session, catalogue, counted)
        if (digest.hex, live) == (head.digest, head.live):
            return True
    return False


async def _with(session: Session, catalogue: Catalogue, claims: Sequence[Claim]) -> tuple[SetDigest, int]:
    """Digest and number of entries, were these taken as what they say that they are."""
    digest, live = SetDigest(catalogue.digest), catalogue.live
    for entry in (await _held(session, catalogue.id, claims)).values():
        if not entry.deleted:
            digest.remove(member(entry.id, entry.sha256))
            live -= 1
    members = [claim.member for claim in claims if claim.member is not None]
    digest.add_all(members)
    return digest, live + len(members)


async def _held(session: Session, catalogue: CatalogueId, claims: Sequence[Claim]) -> dict[EntryId, Entry]:
    ids = (EntryId(EntryKind(claim.kind), claim.key) for claim in claims if claim.kind in _KINDS)
    return await entries_of.get_many(session, catalogue, ids)
