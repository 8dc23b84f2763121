"""Writing postings: for each term and block of listings, who has it. In the caller's transaction.

A change writes a listing's terms alone, and search reads those of what is not settled yet beside the postings. So one
change costs little, and many cost little each: a block of a first sync is written once, term by term, and not once for
each listing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final

from sqlalchemy import ARRAY, BigInteger, LargeBinary, String, bindparam, delete, func, select, text

from skillyard.database import Session, copy_rows
from skillyard.marketplace_sync.catalogue.entry import CatalogueId
from skillyard.marketplace_sync.search import bits, marks
from skillyard.marketplace_sync.search.store import first_id, given_ids, id_range, is_sqlite, some_ids
from skillyard.marketplace_sync.search.tables import PostingRow, TermsRow, UnsettledRow

FEW: Final = 25
"""So many listings every search reads through; with more they are settled."""

_AT_ONCE: Final = 4000
"""Terms of a block that are read or written by one statement."""

_READ_TOGETHER: Final = 2000
"""Listings whose terms are in memory at once."""

Places = dict[str, list[int]]


@dataclass(slots=True)
class _Block:
    """What changes in a block of postings: places that a term gets, and loses."""

    number: int
    gets: Places = field(default_factory=lambda: defaultdict(list))
    loses: Places = field(default_factory=lambda: defaultdict(list))
    ids: list[int] = field(default_factory=list)


async def settle_some(session: Session, catalogue: CatalogueId, *, changed: int) -> None:
    """Settle where it is time to, behind a change of so many listings.

    While many come at once, whole blocks are waited for. The last block of them is left to ``settle``.
    """
    waiting = await _waiting(session, catalogue)
    if changed < FEW <= waiting:
        await settle(session, catalogue)
    elif waiting >= bits.BLOCK:
        last = await session.scalar(
            select(func.max(UnsettledRow.listing_id)).where(UnsettledRow.catalogue_id == catalogue)
        )
        begun = (int(last or 0) - first_id(catalogue)) // bits.BLOCK
        await _settle_below(session, catalogue, first_id(catalogue) + (begun or 1) * bits.BLOCK)


async def settle(session: Session, catalogue: CatalogueId) -> None:
    """Settle all, where there are more than search may read through."""
    if await _waiting(session, catalogue) >= FEW:
        await _settle_below(session, catalogue, id_range(catalogue)[1])


async def _waiting(session: Session, catalogue: CatalogueId) -> int:
    query = select(func.count()).where(UnsettledRow.catalogue_id == catalogue)
    return int((await session.execute(query)).scalar_one())


async def _settle_below(session: Session, catalogue: CatalogueId, end: int) -> None:
    """Settle all listings with lesser ids, block by block."""
    query = (
        select(UnsettledRow.listing_id, UnsettledRow.posted, TermsRow.terms)
        .outerjoin(TermsRow, TermsRow.listing_id == UnsettledRow.listing_id)
        .where(
            UnsettledRow.catalogue_id == catalogue,
            UnsettledRow.listing_id >= bindparam("begin", type_=BigInteger),
            UnsettledRow.listing_id < bindparam("end", type_=BigInteger),
        )
        .order_by(UnsettledRow.listing_id)
        .limit(_READ_TOGETHER)
    )
    first = first_id(catalogue)
    begin = first
    marked = False
    while True:
        least = select(func.min(UnsettledRow.listing_id)).where(
            UnsettledRow.catalogue_id == catalogue, UnsettledRow.listing_id >= begin, UnsettledRow.listing_id < end
        )
        found = await session.scalar(least)
        if found is None:
            return
        block = _Block((int(found) - first) // bits.BLOCK)
        begin = first + block.number * bits.BLOCK
        bounds = {"begin": begin, "end": min(begin + bits.BLOCK, end)}
        while rows := (await session.execute(query, bounds)).all():
            # Millions of steps in all, while others are served by this process.
            await asyncio.to_thread(_compare_all, block, begin, rows)
            bounds["begin"] = rows[-1][0] + 1
        await _write(session, catalogue, block)
        if not marked:
            await marks.leave(session, catalogue, *marks.MARKS)
            marked = True
        gone = delete(UnsettledRow).where(UnsettledRow.listing_id.in_(some_ids(sqlite=is_sqlite(session))))
        await session.execute(gone, {"ids": given_ids(session, block.ids)})
        begin += bits.BLOCK


def _compare_all(block: _Block, begin: int, rows: Sequence[tuple[int, str, str | None]]) -> None:
    for id_, posted, terms in rows:
        _compare(block, id_ - begin, posted, terms or "")
        block.ids.append(id_)


def _compare(block: _Block, place: int, posted: str, terms: str) -> None:
    if not posted:
        # Fifteen million of them in a first sync, so this goes round in C.
        deque(map(list.append, map(block.gets.__getitem__, terms.split()), repeat(place)), maxlen=0)
        return
    before, now = set(posted.split()), set(terms.split())
    for term in now - before:
        block.gets[term].append(place)
    for term in before - now:
        block.loses[term].append(place)


async def _write(session: Session, catalogue: CatalogueId, block: _Block) -> None:
    here = (PostingRow.catalogue_id == catalogue, PostingRow.block == block.number)
    written = await session.scalar(select(PostingRow.term).where(*here, PostingRow.term.not_in(marks.MARKS)).limit(1))
    # In the order in which the index has them.
    for terms in _parts(await asyncio.to_thread(sorted, {*block.gets, *block.loses})):
        before = {} if written is None else await _blocks(session, catalogue, block.number, terms)
        after: dict[str, bytes] = {}
        for term in terms:
            gets, loses = block.gets.get(term, []), block.loses.get(term, [])
            held = before.get(term)
            after[term] = bits.packed(gets) if held is None else bits.changed(held, added=gets, removed=loses)
        kept = {term: held for term, held in after.items() if held}
        if written is None and not is_sqlite(session):
            rows = ((catalogue, term, block.number, held) for term, held in kept.items())
            await copy_rows(session, PostingRow.__tablename__, ("catalogue_id", "term", "block", "bits"), rows)
        else:
            await _keep(session, catalogue, block.number, kept)
        empty = [term for term, held in after.items() if not held and term in before]
        if empty:
            await session.execute(delete(PostingRow).where(*here, PostingRow.term.in_(empty)))


async def _blocks(session: Session, catalogue: CatalogueId, number: int, terms: Sequence[str]) -> dict[str, bytes]:
    query = select(PostingRow.term, PostingRow.bits).where(
        PostingRow.catalogue_id == catalogue, PostingRow.block == number, PostingRow.term.in_(terms)
    )
    return dict((await session.execute(query)).all())


async def _keep(session: Session, catalogue: CatalogueId, number: int, blocks: dict[str, bytes]) -> None:
    if not blocks:
        return
    connection = await session.connection()
    if is_sqlite(session):
        # By the driver's own parameters: SQLAlchemy's would take longer than SQLite does.
        await connection.exec_driver_sql(_KEEP_ROWS, [(catalogue, term, number, one) for term, one in blocks.items()])
        return
    given = {"catalogue": catalogue, "block": number, "terms": list(blocks), "bits": list(blocks.values())}
    await connection.execute(_KEEP_ARRAYS, given)


def _parts(terms: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(terms), _AT_ONCE):
        yield terms[begin : begin + _AT_ONCE]


_KEEP_ROWS: Final = (
    "INSERT INTO listing_postings (catalogue_id, term, block, bits) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (catalogue_id, term, block) DO UPDATE SET bits = excluded.bits"
)
_KEEP_ARRAYS: Final = text(
    "INSERT INTO listing_postings (catalogue_id, term, block, bits) SELECT :catalogue, given.term, :block, given.bits "
    "FROM unnest(:terms, :bits) AS given (term, bits) "
    "ON CONFLICT (catalogue_id, term, block) DO UPDATE SET bits = excluded.bits"
).bindparams(
    bindparam("catalogue", type_=BigInteger),
    bindparam("block", type_=BigInteger),
    bindparam("terms", type_=ARRAY(String)),
    bindparam("bits", type_=ARRAY(LargeBinary)),
)
