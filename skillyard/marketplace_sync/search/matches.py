"""Who has which terms: postings, and beside them the terms of what is not settled yet, of one moment.

What people type arrives as words of letters and digits, and each is a value that rows are compared with, never syntax.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import ARRAY, String, bindparam, text

from skillyard.database import Session
from skillyard.marketplace_sync.catalogue.entry import CatalogueId
from skillyard.marketplace_sync.search import bits
from skillyard.marketplace_sync.search.listings import LISTED, head_term, label_term
from skillyard.marketplace_sync.search.query import COUNTED, Query
from skillyard.marketplace_sync.search.store import first_id, given_texts, is_sqlite
from skillyard.marketplace_sync.search.words import terms

NAMES: Final = 300
"""So many names that are the text, or begin with it, are looked at, by the alphabet."""

_VALUES, _PUBLISHERS = 200, 20
"""Of many matches, the catalogue's most frequent labels are counted, and its largest publishers."""


@dataclass(frozen=True, slots=True)
class Name:
    """A listing's number, and its name."""

    number: int
    name: str


@dataclass(slots=True)
class Holders:
    """Sets of listings by their terms. Read by ``holders``, and what is wanted besides by ``more``."""

    session: Session
    catalogue: CatalogueId
    names: list[Name] = field(default_factory=list)
    """Those that begin with the text."""
    keyed: int | None = None
    """The number of the listing with the key."""
    _unsettled: dict[int, str] = field(default_factory=dict)
    _sets: dict[str, int] = field(default_factory=dict)

    @property
    def first(self) -> int:
        return first_id(self.catalogue)

    async def more(self, wanted: Iterable[str], *, name: str = "", key: str = "") -> None:
        """Have these terms ready, and listings by name and key, all by one statement."""
        # What has a space or cannot be seen is nobody's term.
        new = [one for one in wanted if one.isprintable() and " " not in one]
        given = given_texts(self.session, new)
        begins = name or "\x7f"
        given |= {"catalogue": self.catalogue, "name": begins, "end": f"{name}\x7f", "key": key, "names": NAMES + 1}
        blocks: dict[str, list[tuple[int, bytes]]] = {}
        connection = await self.session.connection()
        for tag, number, said, held in (await connection.execute(_READ[is_sqlite(self.session)], given)).all():
            match tag:
                case 0:
                    blocks.setdefault(said, []).append((number, held))
                case 1:
                    self._unsettled[number - self.first] = said or ""
                case 2:
                    self.names.append(Name(number - self.first, said))
                case _:
                    self.keyed = number - self.first
        settled = ~bits.of(self._unsettled)
        for one in new:
            self._sets[one] = bits.joined(blocks.get(one, ())) & settled
        for number, said in self._unsettled.items():
            for one in new:
                if f" {one} " in said:
                    self._sets[one] |= 1 << number

    def of(self, term: str) -> int:
        """Who has a term that was read; nobody has one that cannot be."""
        return self._sets.get(term, 0)

    def of_all(self, wanted: Sequence[str]) -> int:
        """Who has all of them; nobody where there are none."""
        if not wanted:
            return 0
        found = self.of(wanted[0])
        for one in wanted[1:]:
            found &= self.of(one)
        return found

    async def labels(self, numbers: int) -> Counter[tuple[str, str]]:
        """How many of these listings have the catalogue's most frequent labels."""
        counts: Counter[tuple[str, str]] = Counter()
        settled = bits.blocks(numbers & ~bits.of(self._unsettled))
        given = {"catalogue": self.catalogue, "values": _VALUES, "publishers": _PUBLISHERS}
        connection = await self.session.connection()
        for term, number, held in (await connection.execute(_LABELS, given)).all():
            if (here := settled.get(number)) is not None:
                facet, _, value = term.partition(":")
                counts[facet, value] += here.common(held)
        for number, said in self._unsettled.items():
            if numbers >> number & 1:
                for term in said.split():
                    facet, mark, value = term.partition(":")
                    if mark and facet in COUNTED:
                        counts[facet, value] += 1
        return counts


async def holders(
    session: Session, catalogue: CatalogueId, wanted: Iterable[str], *, name: str = "", key: str = ""
) -> Holders:
    """Who has these terms, whose names begin so, and who has the key."""
    found = Holders(session, catalogue)
    await found.more(wanted, name=name, key=key)
    return found


@dataclass(frozen=True, slots=True)
class Asked:
    """What a query asks for, as terms."""

    words: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def everything(self) -> bool:
        return not self.words and not self.labels

    @property
    def terms(self) -> tuple[str, ...]:
        return (LISTED, *self.words, *self.labels)

    @property
    def heads(self) -> tuple[str, ...]:
        return tuple(map(head_term, self.words))

    def narrowed(self, holders: Holders) -> int:
        """What is listed and has the labels."""
        return holders.of_all((LISTED, *self.labels))

    def matching(self, holders: Holders) -> int:
        """What has the words too, wherever; with no words, the labels are enough."""
        return self.narrowed(holders) & (holders.of_all(self.words) if self.words else -1)


def asked(query: Query) -> Asked:
    return Asked(terms(query.text), tuple(label_term(facet, value) for facet, value in query.labels))


_BY_TERMS: Final = {
    True: "term IN (SELECT value FROM json_each(:given))",
    False: "term = ANY (:given)",
}
"""Of many terms, on SQLite and on PostgreSQL: one value, however many."""

_READ: Final = {
    # One statement, for each costs a journey to the database.
    sqlite: text(
        "SELECT 0 AS tag, block AS number, term AS said, bits AS held FROM listing_postings "  # noqa: S608 - constants
        f"WHERE catalogue_id = :catalogue AND {by_terms} "
        "UNION ALL SELECT 1, one.listing_id, two.terms, NULL FROM listing_unsettled AS one "
        "LEFT JOIN listing_terms AS two ON two.listing_id = one.listing_id WHERE one.catalogue_id = :catalogue "
        "UNION ALL SELECT 2, id, name, NULL FROM (SELECT id, name FROM listings WHERE catalogue_id = :catalogue "
        "AND listed = TRUE AND name >= :name AND name < :end ORDER BY name LIMIT :names) AS begins "
        "UNION ALL SELECT 3, id, NULL, NULL FROM listings "
        "WHERE catalogue_id = :catalogue AND key = :key AND listed = TRUE"
    ).bindparams(bindparam("given", type_=String() if sqlite else ARRAY(String)))
    for sqlite, by_terms in _BY_TERMS.items()
}
_LABELS: Final = text(
    "SELECT term, block, bits FROM listing_postings WHERE catalogue_id = :catalogue AND term IN ("
    "SELECT facet || ':' || value FROM (SELECT facet, value FROM listing_facets WHERE catalogue_id = :catalogue "
    "AND facet IN ('category', 'kind', 'ecosystem', 'verdict', 'stars') AND count > 0 "
    "ORDER BY count DESC LIMIT :values) AS others "
    "UNION ALL SELECT facet || ':' || value FROM (SELECT facet, value FROM listing_facets "
    "WHERE catalogue_id = :catalogue AND facet = 'publisher' AND count > 0 "
    "ORDER BY count DESC LIMIT :publishers) AS most)"
)
