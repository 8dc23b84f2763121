"""Who has which terms: postings, and beside them the terms of what is not settled yet, of one moment.

What people type arrives as words of letters and digits, and each is a value that rows are compared with, never syntax.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import ARRAY, LargeBinary, String, bindparam, text

from skillyard.database import Snapshot
from skillyard.marketplace_sync.catalogue.entry import CatalogueId
from skillyard.marketplace_sync.search import bits, marks
from skillyard.marketplace_sync.search.kept_sets import NOTHING, Kept, KeptSets, Unsettled, unsettled
from skillyard.marketplace_sync.search.listings import LISTED, SIZES, head_term, label_term
from skillyard.marketplace_sync.search.query import COUNTED, Query
from skillyard.marketplace_sync.search.store import first_id, given_texts, is_sqlite
from skillyard.marketplace_sync.search.words import terms

NAMES: Final = 300
"""So many names that are the text, or begin with it, are looked at, by the alphabet."""

_VALUES, _PUBLISHERS = 200, 20
"""Of many matches, the catalogue's most frequent labels are counted, and its largest publishers."""

_OTHERS: Final = frozenset(COUNTED) - {"publisher"}
_ALWAYS: Final = (LISTED, *SIZES)
"""What every search asks for, and long sets all."""


@dataclass(frozen=True, slots=True)
class Name:
    """A listing's number, and its name."""

    number: int
    name: str


@dataclass(slots=True)
class Holders:
    """Sets of listings by their terms, of one moment. Read by ``holders``, and what is wanted besides by ``more``."""

    snapshot: Snapshot
    catalogue: CatalogueId
    memory: KeptSets
    names: list[Name] = field(default_factory=list)
    """Those that begin with the text."""
    keyed: int | None = None
    """The number of the listing with the key."""
    _kept: Kept = field(default_factory=lambda: Kept(None))
    _unsettled: Unsettled = NOTHING
    _sets: dict[str, int] = field(default_factory=dict)

    @property
    def first(self) -> int:
        return first_id(self.catalogue)

    def more(self, wanted: Iterable[str]) -> None:
        """Have these terms ready too."""
        new = _terms(wanted)
        self._add(new, self._postings(new))

    def begin(self, wanted: Iterable[str], *, name: str, key: str) -> None:
        """Terms, listings by name and key, what is unsettled where that is not known, and marks: by one statement."""
        new = _terms(wanted)
        last, waiting = self.memory.last(self.catalogue), self.memory.waiting(self.catalogue)
        known = last.some(new)
        given = given_texts(self.snapshot, [*marks.MARKS, *(one for one in new if one not in known)])
        begins = name or "\x7f"
        given |= {"catalogue": self.catalogue, "name": begins, "end": f"{name}\x7f", "key": key, "names": NAMES + 1}
        given["waiting"] = waiting.mark or b""
        texts: dict[int, str] = {}
        blocks: dict[str, list[tuple[int, bytes]]] = {}
        for tag, number, said, held in self.snapshot.execute(_READ[is_sqlite(self.snapshot)], given).all():
            match tag:
                case 0:
                    blocks.setdefault(said, []).append((number, held))
                case 1:
                    texts[number - self.first] = said or ""
                case 2:
                    self.names.append(Name(number - self.first, said))
                case _:
                    self.keyed = number - self.first
        settled, changed = (blocks.pop(mark, [(0, None)])[0][1] for mark in marks.MARKS)
        self._kept = self.memory.under(self.catalogue, settled)
        if changed is not None and changed == waiting.mark:
            self._unsettled = waiting
        else:
            self._unsettled = unsettled(changed, texts)
            self.memory.wait(self.catalogue, self._unsettled)
        found = {term: bits.joined(some) for term, some in blocks.items()}
        # Where others settled since, what was kept is not what is there.
        found |= known if last is self._kept else self._postings(list(known))
        self._kept.put({one: found.get(one, 0) for one in new if one in _ALWAYS})
        self._add(new, found)

    def _postings(self, terms: Sequence[str]) -> dict[str, int]:
        """The sets of terms as they are settled."""
        blocks: dict[str, list[tuple[int, bytes]]] = {}
        if terms:
            given = given_texts(self.snapshot, terms) | {"catalogue": self.catalogue}
            for said, number, held in self.snapshot.execute(_POSTINGS[is_sqlite(self.snapshot)], given).all():
                blocks.setdefault(said, []).append((number, held))
        return {term: bits.joined(blocks.get(term, ())) for term in terms}

    def _add(self, terms: Sequence[str], settled: Mapping[str, int]) -> None:
        """Sets as they are settled, with what is unsettled out of its texts."""
        known = ~self._unsettled.numbers
        for one in terms:
            self._sets[one] = settled.get(one, 0) & known
        every = frozenset(terms)
        for number, said in self._unsettled.terms.items():
            for one in every & said:
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

    def labels(self, numbers: int) -> Counter[tuple[str, str]]:
        """How many of these listings have the catalogue's most frequent labels, and labels of what is unsettled."""
        waiting = self._unsettled
        frequent = self._frequent(waiting.labels.values())
        known = self._kept.some(frequent)
        read = self._postings([one for one in frequent if one not in known])
        self._kept.put(read)
        settled = numbers & ~waiting.numbers
        found = Counter({term: (settled & one).bit_count() for term, one in (known | read).items()})
        for number, here in waiting.labels.items():
            if numbers >> number & 1:
                found.update(frequent.intersection(here))
        return Counter({_label(term): number for term, number in found.items()})

    def _frequent(self, waiting: Iterable[Sequence[str]]) -> frozenset[str]:
        kept = self._kept
        if kept.labels is None:
            given = {"catalogue": self.catalogue, "values": _VALUES, "publishers": _PUBLISHERS}
            kept.labels = frozenset(self.snapshot.execute(_FREQUENT, given).scalars())
        # What nobody had when this was settled. Of publishers the largest alone are told.
        return kept.labels.union(term for here in waiting for term in here if _label(term)[0] in _OTHERS)


def holders(
    snapshot: Snapshot,
    catalogue: CatalogueId,
    wanted: Iterable[str],
    *,
    memory: KeptSets,
    name: str = "",
    key: str = "",
) -> Holders:
    """Who has these terms, whose names begin so, and who has the key."""
    found = Holders(snapshot, catalogue, memory)
    found.begin(wanted, name=name, key=key)
    return found


def _terms(wanted: Iterable[str]) -> list[str]:
    """What has a space or cannot be seen is nobody's term."""
    return [one for one in dict.fromkeys(wanted) if one.isprintable() and " " not in one]


def _label(term: str) -> tuple[str, str]:
    facet, _, value = term.partition(":")
    return facet, value


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
        "AND NOT EXISTS (SELECT 1 FROM listing_postings "
        f"WHERE catalogue_id = :catalogue AND term = '{marks.CHANGED}' AND block = 0 AND bits = :waiting) "
        "UNION ALL SELECT 2, id, name, NULL FROM (SELECT id, name FROM listings WHERE catalogue_id = :catalogue "
        "AND listed = TRUE AND name >= :name AND name < :end ORDER BY name LIMIT :names) AS begins "
        "UNION ALL SELECT 3, id, NULL, NULL FROM listings "
        "WHERE catalogue_id = :catalogue AND key = :key AND listed = TRUE"
    ).bindparams(
        bindparam("given", type_=String() if sqlite else ARRAY(String)), bindparam("waiting", type_=LargeBinary)
    )
    for sqlite, by_terms in _BY_TERMS.items()
}
_POSTINGS: Final = {
    sqlite: text(
        f"SELECT term, block, bits FROM listing_postings WHERE catalogue_id = :catalogue AND {by_terms}"  # noqa: S608
    ).bindparams(bindparam("given", type_=String() if sqlite else ARRAY(String)))
    for sqlite, by_terms in _BY_TERMS.items()
}
_FREQUENT: Final = text(
    "SELECT facet || ':' || value FROM (SELECT facet, value FROM listing_facets WHERE catalogue_id = :catalogue "
    "AND facet IN ('category', 'kind', 'ecosystem', 'verdict', 'stars') AND count > 0 "
    "ORDER BY count DESC LIMIT :values) AS others "
    "UNION ALL SELECT facet || ':' || value FROM (SELECT facet, value FROM listing_facets "
    "WHERE catalogue_id = :catalogue AND facet = 'publisher' AND count > 0 "
    "ORDER BY count DESC LIMIT :publishers) AS most"
)
