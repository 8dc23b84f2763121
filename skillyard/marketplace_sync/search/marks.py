"""Marks beside the postings, by which whoever reads them knows at no journey more whether what it kept is still there.

Each is one row of the postings' table that is no posting: whatever is written under a mark leaves another one.
"""

from __future__ import annotations

import secrets
from typing import Final

from sqlalchemy import BigInteger, LargeBinary, bindparam, text

from skillyard.database import Session
from skillyard.marketplace_sync.catalogue.entry import CatalogueId

SETTLED: Final = "^"
"""Which settling of the catalogue was the last."""
CHANGED: Final = "~"
"""Which change of what is unsettled was the last."""

MARKS: Final = (SETTLED, CHANGED)
_BYTES: Final = 16


async def leave(session: Session, catalogue: CatalogueId, *marks: str) -> None:
    """Others than there were, in the caller's transaction."""
    given = [{"catalogue": catalogue, "mark": one, "bits": secrets.token_bytes(_BYTES)} for one in marks]
    await (await session.connection()).execute(_LEAVE, given)


_LEAVE: Final = text(
    "INSERT INTO listing_postings (catalogue_id, term, block, bits) VALUES (:catalogue, :mark, 0, :bits) "
    "ON CONFLICT (catalogue_id, term, block) DO UPDATE SET bits = excluded.bits"
).bindparams(bindparam("catalogue", type_=BigInteger), bindparam("bits", type_=LargeBinary))
