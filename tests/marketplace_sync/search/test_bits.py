"""Sets of listings are the same in memory and in blocks, however many they hold."""

from __future__ import annotations

import random

import pytest
from skillyard.marketplace_sync.search import bits


@pytest.mark.parametrize("number", [0, 1, 500, 513, 9000])
def test_a_set_is_the_same_behind_blocks_and_changes_of_them(number: int) -> None:
    made = random.Random(number)
    wanted = set(made.sample(range(bits.BLOCK), number))
    block = bits.packed(sorted(wanted))
    for _ in range(3):
        gone = set(made.sample(sorted(wanted), len(wanted) // 3))
        new = set(made.sample(range(bits.BLOCK), 300))
        block = bits.changed(block, added=new, removed=gone - new)
        wanted = (wanted - gone) | new
        found = bits.joined([(2, block)])
        assert bits.numbers(found) == sorted(one + 2 * bits.BLOCK for one in wanted)
        assert list(bits.highest(found)) == sorted((one + 2 * bits.BLOCK for one in wanted), reverse=True)
        assert found == bits.of(one + 2 * bits.BLOCK for one in wanted)
        data = bits.raw(found)
        assert all(bits.holds(data, one + 2 * bits.BLOCK) == (one in wanted) for one in range(0, bits.BLOCK, 7))
    assert bits.changed(block, added=(), removed=wanted) == b""


def test_sets_are_added_up_by_how_many_of_them_hold_each() -> None:
    made = random.Random(1)
    sets = [set(made.sample(range(200), 60)) for _ in range(9)]
    counted: dict[int, int] = {}
    for number, found in bits.in_many([bits.of(one) for one in sets], least=3):
        counted.update(dict.fromkeys(bits.numbers(found), number))
    held = {one: sum(one in some for some in sets) for one in range(200)}
    assert counted == {one: number for one, number in held.items() if number >= 3}
