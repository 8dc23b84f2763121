"""What comes first: tiers of listings, one behind the other, each a set. No I/O.

Within a tier the newest comes first. So every match has its place, however many there are, and none is read before it
is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge

from skillyard.marketplace_sync.search import bits
from skillyard.marketplace_sync.search.listings import SIZES

EXACT, BEGINS, HEAD, SOME, TEXT, RESEMBLES = range(6)
"""The name itself; names that begin so; all words in the head; some of them; none; names that resemble it."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Listings of one catalogue, whose ids are ``first`` and a number, that nothing but their age sets apart."""

    group: int
    weight: float
    first: int
    numbers: int

    @property
    def key(self) -> tuple[int, float]:
        return self.group, self.weight


@dataclass(slots=True)
class Found:
    """The matches of one catalogue. Those of names have their weights; a group has nothing of those before it."""

    first: int
    sizes: Sequence[int]
    """By digit, the sets that say how long a text is."""
    named: Mapping[tuple[int, float], int]
    head: int = 0
    some: int = 0
    text: int = 0
    alike: Mapping[tuple[int, float], int] | None = None

    @property
    def numbers(self) -> int:
        """All of them."""
        every = self.head | self.some | self.text
        for sets in (self.named, self.alike or {}):
            for one in sets.values():
                every |= one
        return every

    def tiers(self) -> Iterator[Tier]:
        """In order, without what is in one before."""
        seen = 0
        for (group, weight), numbers in sorted(self.named.items()):
            yield Tier(group, weight, self.first, numbers & ~seen)
            seen |= numbers
        for group, numbers in ((HEAD, self.head), (SOME, self.some), (TEXT, self.text)):
            if left := numbers & ~seen:
                for size in range(1 << len(SIZES)):
                    yield Tier(group, float(size), self.first, self._sized(left, size))
                seen |= left
        for (group, weight), numbers in sorted((self.alike or {}).items()):
            yield Tier(group, weight, self.first, numbers & ~seen)
            seen |= numbers

    def _sized(self, numbers: int, size: int) -> int:
        for digit, one in enumerate(self.sizes):
            numbers &= one if size >> digit & 1 else ~one
            if not numbers:
                break
        return numbers


@dataclass(frozen=True, slots=True)
class Ranked:
    """A match, by where it stands."""

    group: int
    weight: float
    id: int


def ranked(found: Sequence[Found], *, behind: Ranked | None, limit: int) -> list[Ranked]:
    """So many matches, beginning behind one: where that stands now, or stood when it has gone."""
    if behind is not None:
        behind = next(
            (Ranked(*one.key, behind.id) for one in _all(found) if _has(one, behind.id)),
            behind,
        )
    page: list[Ranked] = []
    for tier in _all(found):
        numbers = tier.numbers if behind is None else _left(tier, behind)
        for number in bits.highest(numbers):
            page.append(Ranked(*tier.key, tier.first + number))
            if len(page) == limit:
                return page
    return page


def _all(found: Sequence[Found]) -> Iterable[Tier]:
    """Tiers of several catalogues. Where two are equal, the greater ids come first, as within one."""
    if len(found) == 1:
        return found[0].tiers()
    return merge(*(one.tiers() for one in found), key=lambda tier: (*tier.key, -tier.first))


def _has(tier: Tier, id_: int) -> bool:
    number = id_ - tier.first
    return 0 <= number < tier.numbers.bit_length() and bool(tier.numbers >> number & 1)


def _left(tier: Tier, behind: Ranked) -> int:
    """What of a tier comes behind a match."""
    here = (behind.group, behind.weight)
    if tier.key != here:
        return tier.numbers if tier.key > here else 0
    number = behind.id - tier.first
    if number <= 0:
        return 0
    return tier.numbers if number >= tier.numbers.bit_length() else tier.numbers & ((1 << number) - 1)
