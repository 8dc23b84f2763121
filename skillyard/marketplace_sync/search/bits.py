"""Sets of listings as bits, one for each number. No I/O.

In memory a set is an integer, by which sets are met, joined and counted a hundred thousand listings at a time. In the
database it is cut into blocks: of a block either every bit, or, where few are set, their places.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence

BLOCK = 16_384
"""Listings of a block. All bits of one are 2 KiB, of which PostgreSQL keeps three on a page, and SQLite one."""

_BYTES = BLOCK // 8
_PLACES = 128
"""Up to so many bits are kept by their places, of two bytes each. More would take less room than all bits, and longer
to go through."""
_SET_IN = tuple(tuple(bit for bit in range(8) if byte >> bit & 1) for byte in range(256))
_ANY = re.compile(rb"[^\0]")


def packed(places: Sequence[int]) -> bytes:
    """A block in which these are set."""
    if len(places) <= _PLACES:
        return struct.pack(f"<{len(places)}H", *places)
    whole = bytearray(_BYTES)
    for one in places:
        whole[one >> 3] |= 1 << (one & 7)
    return bytes(whole)


def changed(block: bytes, *, added: Iterable[int], removed: Iterable[int]) -> bytes:
    """The block with other bits; empty where none is left."""
    if len(block) < _BYTES:
        return packed(sorted({*_places(block), *added}.difference(removed)))
    whole = bytearray(block)
    for one in added:
        whole[one >> 3] |= 1 << (one & 7)
    for one in removed:
        whole[one >> 3] &= ~(1 << (one & 7))
    bits = int.from_bytes(whole, "little")
    return bytes(whole) if bits.bit_count() > _PLACES else packed(numbers(bits))


def joined(blocks: Iterable[tuple[int, bytes]]) -> int:
    """The set whose blocks these are, each with its number."""
    blocks = list(blocks)
    if not blocks:
        return 0
    whole = bytearray((max(number for number, _ in blocks) + 1) * _BYTES)
    for number, block in blocks:
        begin = number * _BYTES
        if len(block) == _BYTES:
            whole[begin : begin + _BYTES] = block
            continue
        for one in _places(block):
            whole[begin + (one >> 3)] |= 1 << (one & 7)
    return int.from_bytes(whole, "little")


def of(some: Iterable[int]) -> int:
    """The set of these numbers."""
    some = list(some)
    if not some:
        return 0
    whole = bytearray((max(some) >> 3) + 1)
    for one in some:
        whole[one >> 3] |= 1 << (one & 7)
    return int.from_bytes(whole, "little")


def numbers(bits: int) -> list[int]:
    """All that are set, in order."""
    data = raw(bits)
    return [(at.start() << 3) + bit for at in _ANY.finditer(data) for bit in _SET_IN[data[at.start()]]]


def highest(bits: int) -> Iterator[int]:
    """All that are set, the greatest first: for taking a few."""
    while bits:
        one = bits.bit_length() - 1
        yield one
        bits ^= 1 << one


def raw(bits: int) -> bytes:
    """For looking many up: bit ``n`` is in byte ``n // 8``."""
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def holds(data: bytes, number: int) -> bool:
    """Whether a number is in what ``raw`` gave."""
    at = number >> 3
    return at < len(data) and bool(data[at] >> (number & 7) & 1)


def in_many(sets: Sequence[int], *, least: int) -> Iterator[tuple[int, int]]:
    """What is in how many of the sets, by that number, the greatest first and down to ``least``.

    The sets are added up as columns of binary numbers, all listings at once.
    """
    digits: list[int] = []
    for carry in sets:
        for at, digit in enumerate(digits):
            digits[at], carry = digit ^ carry, digit & carry  # noqa: PLW2901 - what is carried on to the next digit
            if not carry:
                break
        if carry:
            digits.append(carry)
    every = 0
    for one in sets:
        every |= one
    for number in range(len(sets), max(least, 1) - 1, -1):
        found = every
        for at, digit in enumerate(digits):
            found &= digit if number >> at & 1 else ~digit
        if number >> len(digits) == 0 and found:
            yield number, found


def _places(block: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(block) // 2}H", block)
