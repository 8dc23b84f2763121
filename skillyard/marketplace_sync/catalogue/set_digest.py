"""A digest of a set that costs a few microseconds a change, whatever its size, and knows no order: LtHash.

Kevin Lewi, Wonho Kim, Ilya Maykov, Stephen Weis: "Securing Update Propagation with Homomorphic Hashing" (2019). The
parameters are 1,024 lanes of 16 bits: every member is stretched to 2,048 bytes (here with SHAKE-256) and added lane by
lane; removing subtracts. A set has one digest, and finding another set with the same one is as hard as a lattice
problem.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

STATE_BYTES = 2048
EMPTY = bytes(STATE_BYTES)

_LANES = STATE_BYTES // 2
# Lanes are added many at once, as one large number: every other lane is masked out, which leaves room for the carry.
_EVEN = int.from_bytes(b"\x00\x00\xff\xff" * (_LANES // 2), "big")
_ODD = _EVEN << 16
_CARRY_ROOM = int.from_bytes(b"\x00\x01\x00\x00" * (_LANES // 2), "big")


class SetDigest:
    """The digest of a set of byte strings. A value that changes: ``add`` and ``remove`` members, then read
    ``state``."""

    __slots__ = ("_even", "_odd")

    def __init__(self, state: bytes = EMPTY) -> None:
        """``state`` is what an earlier one came to."""
        if len(state) != STATE_BYTES:
            raise ValueError(f"a state of {len(state)} bytes; it has {STATE_BYTES}")
        number = int.from_bytes(state, "big")
        self._even = number & _EVEN
        self._odd = (number & _ODD) >> 16

    def add(self, member: bytes) -> None:
        even, odd = _stretched(member)
        self._even = (self._even + even) & _EVEN
        self._odd = (self._odd + odd) & _EVEN

    def remove(self, member: bytes) -> None:
        even, odd = _stretched(member)
        self._even = (self._even + _CARRY_ROOM - even) & _EVEN
        self._odd = (self._odd + _CARRY_ROOM - odd) & _EVEN

    def add_all(self, members: Iterable[bytes]) -> None:
        for member in members:
            self.add(member)

    @property
    def state(self) -> bytes:
        return ((self._odd << 16) | self._even).to_bytes(STATE_BYTES, "big")

    @property
    def hex(self) -> str:
        """64 hex digits: the SHA-256 of the state, which is what is compared and signed."""
        return hashlib.sha256(self.state).hexdigest()


def _stretched(member: bytes) -> tuple[int, int]:
    number = int.from_bytes(hashlib.shake_256(member).digest(STATE_BYTES), "big")
    return number & _EVEN, (number & _ODD) >> 16
