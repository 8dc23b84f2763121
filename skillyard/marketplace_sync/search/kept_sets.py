"""Sets that nearly every search needs, in memory for as long as nobody writes postings anew.

Whoever settles leaves a mark beside the postings. Who reads it with what it searches knows, at no journey more, whether
sets that it kept are still those of the database, whichever process wrote them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from skillyard.marketplace_sync.catalogue.entry import CatalogueId

_CATALOGUES: Final = 16
_SETS: Final = 400
"""Of a catalogue. Of 100,000 listings each takes 12 KiB."""


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


class KeptSets:
    """One for a process; used by all its threads."""

    def __init__(self) -> None:
        self._kept: dict[CatalogueId, Kept] = {}
        self._lock = threading.Lock()

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
