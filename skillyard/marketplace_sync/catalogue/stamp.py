"""Stamps of a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): which of two writes came later.

A stamp is the wall clock in milliseconds, a counter for what falls into one of them, and the name of who wrote. Its
text sorts as it is ordered. A remote's stamp that lies too far ahead would win for ever, so it is clamped, and counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from skillyard.marketplace_sync.errors import DocumentError

AHEAD_MS = 5 * 60 * 1000
"""How far a stamp of somebody else may lie ahead of our clock."""

_TEXT = re.compile(r"([0-9]{15})-([0-9]{6})-([A-Za-z0-9_-]{1,64})")


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """``ms`` since 1970, UTC; ``count`` within it; ``node`` is the instance that wrote, and breaks ties."""

    ms: int
    count: int
    node: str

    def __str__(self) -> str:
        return f"{self.ms:015d}-{self.count:06d}-{self.node}"


def parse_stamp(text: str) -> Stamp:
    """Raises ``DocumentError``."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise DocumentError(f"{text[:80]!r} is no stamp", field="stamp")
    return Stamp(int(found[1]), int(found[2]), found[3])


def next_stamp(last: Stamp | None, *, now_ms: int, node: str) -> Stamp:
    """A stamp later than ``last``, the latest seen of the same register, whatever our clock says."""
    if last is None or now_ms > last.ms:
        return Stamp(now_ms, 0, node)
    if last.count < 999_999:
        return Stamp(last.ms, last.count + 1, node)
    return Stamp(last.ms + 1, 0, node)


def clamped(stamp: Stamp, *, now_ms: int) -> Stamp:
    """The stamp, or the latest that counts for one that lies further ahead than ``AHEAD_MS``."""
    return stamp if stamp.ms <= now_ms + AHEAD_MS else Stamp(now_ms + AHEAD_MS, 0, stamp.node)
