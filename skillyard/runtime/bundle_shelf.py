"""The shelf of skills' bundles, by their digests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from skillyard.ids import BundleDigest
from skillyard.sandbox.gate import Gate, GateBusyError
from skillyard.sandbox.shelf import LookAgain, References, Removal, Scale, ShelfBusyError
from skillyard.skills.bundle_store import BundleStore

_SETTLING_SECONDS = 900.0
"""A bundle is stored before its packages are resolved and scanned, and only then installed."""
_GATE_SECONDS = 30.0


class BundleShelf:
    """Bundles that no installed version names, that no container mounts, and that nobody is about to install."""

    kind = "bundles"

    def __init__(self, *, bundles: BundleStore) -> None:
        self._bundles = bundles
        self._gate = Gate(bundles.gate)

    async def names(self) -> frozenset[str]:
        return frozenset(await asyncio.to_thread(self._bundles.digests))

    async def needed(self, references: References) -> frozenset[str]:
        return await asyncio.to_thread(self._needed, references)

    async def weigh(self, names: Collection[str], scale: Scale) -> int:
        return await asyncio.to_thread(
            lambda: sum(scale.add(self._bundles.path(BundleDigest(name))) for name in sorted(names))
        )

    async def remove(self, names: Collection[str], look_again: LookAgain) -> Removal:
        try:
            async with self._gate.alone(seconds=_GATE_SECONDS):
                needed = await self.needed(await look_again())
                return await asyncio.to_thread(self._remove, sorted(frozenset(names) - needed))
        except GateBusyError as error:
            raise ShelfBusyError("bundles are being stored; try again when they are") from error

    def _needed(self, references: References) -> frozenset[str]:
        now = time.time()
        return references.bundles | {
            digest
            for digest in self._bundles.digests()
            if now - (self._bundles.last_put(digest) or 0.0) < _SETTLING_SECONDS
            or references.mounts_in(self._bundles.path(digest))
        }

    def _remove(self, digests: Collection[str]) -> Removal:
        freed, removed, failures = 0, [], []
        there = set(self._bundles.digests())
        for digest in (BundleDigest(one) for one in digests if one in there):
            size = Scale().add(self._bundles.path(digest))
            try:
                self._bundles.remove(digest)
            except OSError as error:
                failures.append(f"{digest}: {error.strerror}: {error.filename}")
                continue
            removed.append(digest)
            freed += size
        return Removal(tuple(removed), freed, tuple(failures))
