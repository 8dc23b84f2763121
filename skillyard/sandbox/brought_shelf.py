"""The shelf of packages that were brought along: those that no installed version's lock names any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from skillyard.sandbox.folders import Place, Staging
from skillyard.sandbox.shelf import LookAgain, References, Removal, Scale, delete_counted, remove_each
from skillyard.sandbox.wheelhouse import Wheelhouse

_SETTLING_SECONDS = 900.0
"""Archives are kept before the skill that they belong to is scanned, and only then installed."""


class BroughtShelf:
    """Folders of a ``Wheelhouse``, by the SHA-256 of what is in them."""

    kind = "brought wheels"

    def __init__(self, *, root: Path) -> None:
        self._root = root
        self._house = Wheelhouse(root)
        self._staging = Staging(root / "staging")

    async def names(self) -> frozenset[str]:
        return await asyncio.to_thread(self._house.names)

    async def needed(self, references: References) -> frozenset[str]:
        """What a lock names, and what somebody is about to install."""
        named = {
            artefact.sha256
            for lock in references.locks
            for package in lock.all_packages
            for artefact in package.artefacts
        }
        return await asyncio.to_thread(
            lambda: frozenset(n for n in self._house.names() if n in named or self._fresh(n))
        )

    async def weigh(self, names: Collection[str], scale: Scale) -> int:
        return await asyncio.to_thread(lambda: sum(scale.add(self._root / name) for name in sorted(names)))

    async def remove(self, names: Collection[str], look_again: LookAgain) -> Removal:
        return await remove_each(self, names, look_again, root=self._root, staging=self._staging, take=_take)

    def _fresh(self, name: str) -> bool:
        with suppress(FileNotFoundError):
            return time.time() - (self._root / name).stat().st_mtime < _SETTLING_SECONDS
        return False


def _take(folder: Path, place: Place) -> int | None:
    """``None`` where somebody found it here in the moment in which it went: it is put back."""
    gone = folder.rename(place.path / folder.name)
    if time.time() - gone.stat().st_mtime < _SETTLING_SECONDS:
        with suppress(OSError):  # They put it there again themselves.
            gone.rename(folder)
        return None
    return delete_counted(gone)
