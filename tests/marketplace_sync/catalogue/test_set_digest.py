"""A digest of a set knows no order, forgets what is removed, and tells sets apart."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from skillyard.marketplace_sync.catalogue.set_digest import EMPTY, STATE_BYTES, SetDigest

MEMBERS = st.lists(st.binary(min_size=1, max_size=20), unique=True, max_size=30)


def lanes(state: bytes) -> list[int]:
    return [int.from_bytes(state[at : at + 2], "big") for at in range(0, STATE_BYTES, 2)]


def plain(members: list[bytes]) -> bytes:
    """The same, lane by lane, as the paper writes it."""
    total = [0] * (STATE_BYTES // 2)
    for one in members:
        total = [(a + b) % 65536 for a, b in zip(total, lanes(hashlib.shake_256(one).digest(STATE_BYTES)), strict=True)]
    return b"".join(lane.to_bytes(2, "big") for lane in total)


@given(MEMBERS)
def test_many_lanes_at_once_are_the_same_as_one_by_one(members: list[bytes]) -> None:
    digest = SetDigest()
    digest.add_all(members)
    assert digest.state == plain(members)


@given(MEMBERS, MEMBERS)
def test_what_was_removed_leaves_no_trace_and_order_none_either(kept: list[bytes], passing: list[bytes]) -> None:
    digest = SetDigest()
    digest.add_all(passing)
    digest.add_all(reversed(kept))
    for one in passing:
        digest.remove(one)
    direct = SetDigest()
    direct.add_all(kept)
    assert digest.hex == direct.hex
    assert SetDigest(digest.state).hex == digest.hex


@given(MEMBERS.filter(bool))
def test_another_set_has_another_digest(members: list[bytes]) -> None:
    digest = SetDigest()
    digest.add_all(members)
    without = SetDigest()
    without.add_all(members[1:])
    assert digest.hex != without.hex


def test_an_empty_set_has_the_state_of_zeros() -> None:
    assert SetDigest().state == EMPTY
