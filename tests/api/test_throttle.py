"""Failed attempts are limited by address; what was valid before is not held up."""

from __future__ import annotations

from skillyard.api import throttle
from skillyard.api.throttle import BURST, REFILL_SECONDS, FailedAttempts


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def exhausted(clock: Clock, address: str) -> FailedAttempts:
    attempts = FailedAttempts(clock=clock)
    for _ in range(BURST):
        assert attempts.wait_seconds(address, "guess") == 0
        attempts.failed(address)
    return attempts


def test_an_address_may_fail_so_often_and_then_waits() -> None:
    clock = Clock()
    attempts = exhausted(clock, "192.0.2.1")
    wait = attempts.wait_seconds("192.0.2.1", "guess")
    assert 0 < wait <= REFILL_SECONDS
    assert attempts.wait_seconds("192.0.2.2", "guess") == 0
    clock.now += wait
    assert attempts.wait_seconds("192.0.2.1", "guess") == 0
    attempts.failed("192.0.2.1")
    assert attempts.wait_seconds("192.0.2.1", "guess") > 0


def test_a_long_rest_gives_no_more_than_one_burst() -> None:
    clock = Clock()
    attempts = exhausted(clock, "192.0.2.1")
    clock.now += 1_000_000
    for _ in range(BURST):
        assert attempts.wait_seconds("192.0.2.1", "guess") == 0
        attempts.failed("192.0.2.1")
    assert attempts.wait_seconds("192.0.2.1", "guess") > 0


def test_one_network_of_ipv6_counts_as_one_and_mapped_addresses_as_their_own() -> None:
    clock = Clock()
    attempts = exhausted(clock, "2001:db8:0:1::1")
    assert attempts.wait_seconds("2001:db8:0:1:ffff::9", "guess") > 0
    assert attempts.wait_seconds("2001:db8:0:2::1", "guess") == 0
    mapped = exhausted(clock, "::ffff:192.0.2.1")
    assert mapped.wait_seconds("192.0.2.1", "guess") > 0
    assert mapped.wait_seconds("::ffff:192.0.2.2", "guess") == 0


def test_a_token_that_was_valid_goes_on_until_it_is_not() -> None:
    attempts = exhausted(Clock(), "192.0.2.1")
    attempts.succeeded("good")
    assert attempts.wait_seconds("192.0.2.1", "good") == 0
    attempts.revoked("good")
    assert attempts.wait_seconds("192.0.2.1", "good") > 0


def test_many_addresses_do_not_fill_the_memory() -> None:
    attempts = FailedAttempts(clock=Clock())
    for number in range(throttle.MAX_ADDRESSES + 50):
        attempts.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        attempts.succeeded(f"token {number}")
    assert len(attempts._buckets) == throttle.MAX_ADDRESSES
    assert len(attempts._known) == throttle.MAX_KNOWN_TOKENS
