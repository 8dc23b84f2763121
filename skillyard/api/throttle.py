"""A limit on failed authentication, per client address, in this process.

Tokens are 256 random bits, so guessing one is hopeless; the limit keeps guessing from costing a database read each
time and from filling logs. Each address has a token bucket: ``BURST`` failures at once, one more every
``REFILL_SECONDS``. An address whose bucket is empty may still use tokens that were valid here before, so that one bad
client behind a shared address (a proxy, a NAT) does not lock the others out; any other token is refused unseen.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

BURST = 20
REFILL_SECONDS = 3.0
MAX_ADDRESSES = 10_000
"""Addresses remembered; the one that failed longest ago is forgotten first."""
MAX_KNOWN_TOKENS = 10_000

_IPV6_SITE = 64
"""One customer holds a whole /64 (RFC 6177), so an IPv6 address is counted by its network."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class FailedAttempts:
    """Counts failures. Touched on the event loop only, and never across an ``await``."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def wait_seconds(self, address: str, token: str) -> int:
        """0 if the token may be looked at, else in how many seconds a new one may be tried."""
        bucket = self._buckets.get(_network(address))
        if bucket is None or _digest(token) in self._known:
            return 0
        left = self._refilled(bucket)
        return 0 if left >= 1 else math.ceil((1 - left) * REFILL_SECONDS)

    def failed(self, address: str) -> None:
        network = _network(address)
        bucket = self._buckets.pop(network, None)
        left = BURST if bucket is None else self._refilled(bucket)
        self._buckets[network] = _Bucket(max(left - 1, 0), self._clock())
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)

    def succeeded(self, token: str) -> None:
        digest = _digest(token)
        self._known[digest] = None
        self._known.move_to_end(digest)
        if len(self._known) > MAX_KNOWN_TOKENS:
            self._known.popitem(last=False)

    def revoked(self, token: str) -> None:
        """A token that was valid here before is not any more."""
        self._known.pop(_digest(token), None)

    def _refilled(self, bucket: _Bucket) -> float:
        return min(bucket.left + (self._clock() - bucket.at) / REFILL_SECONDS, BURST)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_SITE), strict=False))
