"""The shelf of compiled copies of the guest: those of other releases of this package, which no container mounts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from pathlib import Path

from skillyard.sandbox.folders import Place, Staging
from skillyard.sandbox.hostconfig import GUEST_SOURCE
from skillyard.sandbox.shelf import LookAgain, References, Removal, Scale, delete_counted, remove_each

_DIGEST = re.compile(r"[0-9a-f]{32}")


class GuestShelf:
    """Copies below ``root``, as ``guest_code.GuestCode`` makes them. A start of another release makes its own anew."""

    kind = "guests"

    def __init__(self, *, root: Path) -> None:
        self._root = root
        self._staging = Staging(root / "staging")

    async def names(self) -> frozenset[str]:
        return await asyncio.to_thread(self._names)

    async def needed(self, references: References) -> frozenset[str]:
        """Copies of the code as it is, for any interpreter, and what containers run from."""

        def look() -> frozenset[str]:
            source = _modules(GUEST_SOURCE)
            folders = ((name, self._root / name) for name in self._names())
            return frozenset(
                name for name, folder in folders if references.mounts_in(folder) or _modules(folder) == source
            )

        return await asyncio.to_thread(look)

    async def weigh(self, names: Collection[str], scale: Scale) -> int:
        return await asyncio.to_thread(lambda: sum(scale.add(self._root / name) for name in sorted(names)))

    async def remove(self, names: Collection[str], look_again: LookAgain) -> Removal:
        return await remove_each(self, names, look_again, root=self._root, staging=self._staging, take=_take)

    def _names(self) -> frozenset[str]:
        if not self._root.is_dir():
            return frozenset()
        return frozenset(one.name for one in self._root.iterdir() if _DIGEST.fullmatch(one.name) and one.is_dir())


def _take(folder: Path, place: Place) -> int:
    folder.chmod(0o755)  # Renaming a folder to another parent writes its "..", which needs the right to.
    gone = folder.rename(place.path / folder.name)
    return delete_counted(gone)


def _modules(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.py")}
