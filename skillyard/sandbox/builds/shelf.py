"""The shelf of built wheels, by the recipes they were made by."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from skillyard.sandbox.builds.recipe import recipes
from skillyard.sandbox.builds.store import SourceBuilds
from skillyard.sandbox.gate import Gate, GateBusyError
from skillyard.sandbox.package_shelves import GATE_SECONDS
from skillyard.sandbox.shelf import LookAgain, References, Removal, Scale, ShelfBusyError
from skillyard.skills.skill import Ecosystem


class BuiltShelf:
    """Implements ``Shelf``. One that goes is built again when a lock needs it that has no environment any more."""

    kind = "built wheels"

    def __init__(self, *, builds: SourceBuilds, gate: Gate) -> None:
        self._builds = builds
        self._gate = gate

    async def names(self) -> frozenset[str]:
        return frozenset(await asyncio.to_thread(self._builds.stored))

    async def needed(self, references: References) -> frozenset[str]:
        locks = (lock for lock in references.locks if lock.ecosystem is Ecosystem.PYPI)
        return frozenset(recipe.key for lock in locks for recipe in recipes(lock))

    async def weigh(self, names: Collection[str], scale: Scale) -> int:
        return await asyncio.to_thread(lambda: sum(scale.add(self._builds.folder(name)) for name in sorted(names)))

    async def remove(self, names: Collection[str], look_again: LookAgain) -> Removal:
        removed: list[str] = []
        freed = 0
        try:
            async with self._gate.alone(seconds=GATE_SECONDS):
                keep = await self.needed(await look_again())
                for name in sorted(set(names) - keep):
                    weight = await self.weigh((name,), Scale())
                    await self._builds.drop(name)
                    removed.append(name)
                    freed += weight
        except GateBusyError as error:
            raise ShelfBusyError("packages are being installed; try again when they are") from error
        return Removal(tuple(removed), freed)
