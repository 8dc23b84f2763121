"""What a home keeps on disk, as shelves: what is on each, what of it is needed, and how to take the rest away.

Collecting and looking are the same for every kind (see ``runtime.collect``); a shelf knows one kind. Removing is safe
beside other processes: whatever goes is checked against what is needed once more while nobody can begin to use it, is
renamed out of sight, and only then deleted, so that a process killed half-way leaves nothing that looks whole.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from skillyard.ids import BundleDigest
from skillyard.sandbox.errors import SandboxError
from skillyard.sandbox.folders import Place, Staging, locked
from skillyard.skills.lock import Lock


class ShelfBusyError(SandboxError):
    """Packages are being installed at this moment; collecting them has to wait."""

    code = "shelf_busy"


@dataclass(frozen=True, slots=True)
class References:
    """What is in use: by versions that are installed, and by containers that run."""

    locks: tuple[Lock, ...]
    bundles: frozenset[BundleDigest]
    mounted: frozenset[Path]
    """Folders of this machine that containers of this home mount, links resolved."""

    def mounts_in(self, folder: Path) -> bool:
        """Whether a container uses anything in a folder."""
        resolved = folder.resolve()
        return any(path.is_relative_to(resolved) for path in self.mounted)


LookAgain = Callable[[], Awaitable[References]]


@dataclass(frozen=True, slots=True)
class Removal:
    """What went. ``freed_bytes`` are of files whose last name went; ``None`` where nobody can tell."""

    removed: tuple[str, ...] = ()
    freed_bytes: int | None = 0
    failures: tuple[str, ...] = ()
    """A sentence for each thing that could not be removed."""


class Shelf(Protocol):
    """One kind of thing. Names are the shelf's own and safe to print."""

    @property
    def kind(self) -> str: ...

    async def names(self) -> frozenset[str]:
        """Everything that is there."""
        ...

    async def needed(self, references: References) -> frozenset[str]:
        """What of it is in use."""
        ...

    async def weigh(self, names: Collection[str], scale: Scale) -> int | None:
        """Bytes that removing these would free, beside what is on the scale already."""
        ...

    async def remove(self, names: Collection[str], look_again: LookAgain) -> Removal:
        """Take these away, but for what turns out to be needed meanwhile."""
        ...


@runtime_checkable
class ShelvedStore(Protocol):
    """An environment store that can say what it keeps. A plug-in need not be one."""

    def shelves(self) -> Sequence[Shelf]: ...


@dataclass(frozen=True, slots=True)
class Damage:
    """A thing that is not what it should be. ``files`` are relative to it; none where the whole is unreadable."""

    kind: str
    name: str
    files: tuple[str, ...]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """How many things of each kind were read, and what is wrong with which."""

    counts: Mapping[str, int]
    damage: tuple[Damage, ...]


@runtime_checkable
class VerifiableStore(Protocol):
    """An environment store that can tell whether what it keeps is sound. A plug-in need not be one."""

    async def verify(self) -> Checked:
        """Read everything; changes nothing."""
        ...

    async def drop(self, damaged: Sequence[Damage]) -> Removal:
        """Take damaged things away, with all that shares their files; ``materialise`` makes them anew."""
        ...

    def made_of(self, lock: Lock, dropped: Collection[str]) -> bool:
        """Whether something of these names belonged to the lock."""
        ...


@dataclass(slots=True)
class Scale:
    """Adds up what deleting folders would free, where files have names in several of them."""

    _names: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, folder: Path) -> int:
        """Bytes more that are free once this folder goes too. Blocks."""
        freed = 0
        for parent, folders, files in os.walk(folder):
            freed += _blocks(os.lstat(parent))
            linked = [name for name in folders if stat.S_ISLNK(os.lstat(f"{parent}/{name}").st_mode)]
            for name in [*files, *linked]:
                status = os.lstat(f"{parent}/{name}")
                key = (status.st_dev, status.st_ino)
                self._names[key] = self._names.get(key, 0) + 1
                if self._names[key] == status.st_nlink:
                    freed += _blocks(status)
        return freed


async def remove_each(
    shelf: Shelf,
    names: Collection[str],
    look_again: LookAgain,
    *,
    root: Path,
    staging: Staging,
    take: Callable[[Path, Place], int | None],
) -> Removal:
    """Folders below ``root`` one by one, each while nobody else holds its lock.

    ``take`` blocks. It renames a folder into a place and deletes it there; the bytes that this freed, or ``None`` where
    the folder stays after all.
    """
    removed, freed, failures = [], 0, []
    for name in sorted(names):
        async with locked(root / f"{name}.lock"), staging.place() as place:
            if name in await shelf.needed(await look_again()) or name not in await shelf.names():
                continue
            try:
                went = await asyncio.to_thread(take, root / name, place)
            except OSError as error:
                failures.append(f"{name}: {error.strerror}: {error.filename}")
                continue
            if went is not None:
                removed.append(name)
                freed += went
    return Removal(tuple(removed), freed, tuple(failures))


def delete_counted(folder: Path) -> int:
    """Delete a folder with all it holds, read-only folders included; the bytes that this freed. Blocks.

    Raises ``OSError`` at the first thing that does not go.
    """
    freed = 0
    os.chmod(folder, stat.S_IRWXU)  # noqa: PTH101 - as below
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                freed += delete_counted(Path(entry.path))
                continue
            status = entry.stat(follow_symlinks=False)
            os.unlink(entry.path)  # noqa: PTH108 - tens of thousands of files: a Path each doubles the time
            if status.st_nlink == 1:
                freed += _blocks(status)
    freed += _blocks(os.lstat(folder))
    folder.rmdir()
    return freed


def size_on_disk(folders: Collection[Path]) -> int:
    """Bytes that folders occupy together, files with several names counted once. Blocks."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for folder in folders:
        for parent, _, files in os.walk(folder):
            for path in (parent, *(f"{parent}/{name}" for name in files)):
                try:
                    status = os.lstat(path)
                except FileNotFoundError:
                    continue
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    total += _blocks(status)
    return total


def free_bytes(folder: Path) -> int:
    """What the file system that a folder is on has left for us."""
    return shutil.disk_usage(folder).free


def _blocks(status: os.stat_result) -> int:
    return status.st_blocks * 512
