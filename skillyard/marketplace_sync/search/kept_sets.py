"""What nearly every search needs, in memory for as long as nobody writes it anew: long sets, and what is unsettled.

Who reads a mark (``marks``) with what it searches knows whether what it kept is still what the database has, whichever
process wrote that.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from skillyard.marketplace_sync.catalogue.entry import CatalogueId
from skillyard.marketplace_sync.search import bits

_CATALOGUES: Final = 16
_SETS: Final = 400
"""Of a catalogue. Of 100,000 listings each takes 12 KiB."""

_UNSETTLED: Final = 100
"""Of a catalogue. Each takes some 20 KiB; while a first sync goes on, thousands wait."""


@dataclass(slots=True)
class Kept:
    """Sets of one catalogue, as they were settled under a mark; what is unsettled is not looked at.

    ``labels`` are those that most listings had then; ``None`` until they were asked for.
    """

    mark: bytes | None
    sets: dict[str, int] = field(default_factory=dict)
    labels: frozenset[str] | None = None

    def some(self, terms: Iterable[str]) -> dict[str, int]:
        """Those of the terms that are kept."""
        return {one: held for one in terms if (held := self.sets.get(one)) is not None}

    def put(self, found: dict[str, int]) -> None:
        if len(self.sets) + len(found) > _SETS:
            self.sets.clear()
        self.sets.update(found)


@dataclass(frozen=True, slots=True)
class Unsettled:
    """The terms of what is not settled yet, by number, and its labels among them, as they were under a mark."""

    mark: bytes | None
    terms: Mapping[int, frozenset[str]]
    labels: Mapping[int, tuple[str, ...]]
    numbers: int
    """All of them, as a set."""


def unsettled(mark: bytes | None, texts: Mapping[int, str]) -> Unsettled:
    terms = {number: frozenset(text.split()) for number, text in texts.items()}
    # No other terms have a colon.
    labels = {number: tuple(one for one in some if ":" in one) for number, some in terms.items()}
    return Unsettled(mark, terms, labels, bits.of(texts))


NOTHING: Final = unsettled(None, {})


class KeptSets:
    """One for a process; used by all its threads."""

    def __init__(self) -> None:
        self._kept: dict[CatalogueId, Kept] = {}
        self._unsettled: dict[CatalogueId, Unsettled] = {}
        self._lock = threading.Lock()

    def waiting(self, catalogue: CatalogueId) -> Unsettled:
        """What was unsettled last, which has to be compared with the mark."""
        return self._unsettled.get(catalogue, NOTHING)

    def wait(self, catalogue: CatalogueId, now: Unsettled) -> None:
        """Keep what is unsettled now. What cannot be told from another, or is much, is not kept."""
        with self._lock:
            self._unsettled.pop(catalogue, None)
            if now.mark is not None and len(now.terms) <= _UNSETTLED:
                self._unsettled[catalogue] = now
            if len(self._unsettled) > _CATALOGUES:
                del self._unsettled[next(iter(self._unsettled))]

    def last(self, catalogue: CatalogueId) -> Kept:
        """What was kept last, which has to be compared with the mark."""
        return self._kept.get(catalogue) or Kept(None)

    def under(self, catalogue: CatalogueId, mark: bytes | None) -> Kept:
        """What is kept under this mark; nothing yet where there is another one now, or none."""
        with self._lock:
            found = self._kept.pop(catalogue, None)
            if mark is None:
                return Kept(None)
            if found is None or found.mark != mark:
                found = Kept(mark)
            # The one that was used last comes last.
            self._kept[catalogue] = found
            if len(self._kept) > _CATALOGUES:
                del self._kept[next(iter(self._kept))]
            return found
