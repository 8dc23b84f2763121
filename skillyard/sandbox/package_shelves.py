"""The shelves of the wheel store: environments, and the wheels that they and installed versions are made of."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path

import orjson
import structlog

from skillyard.sandbox.folders import Place, Staging
from skillyard.sandbox.gate import Gate, GateBusyError
from skillyard.sandbox.shelf import LookAgain, References, Removal, Scale, ShelfBusyError, delete_counted
from skillyard.skills.lock import Lock

_log = structlog.get_logger("skillyard.sandbox")
_KEY = re.compile(r"[0-9a-f]{64}")
_INTERPRETER = re.compile(r"cpython-\d+")
GATE_SECONDS = 30.0
"""How long taking something away waits for installs that are under way."""


Spared = Callable[[], Awaitable[frozenset[str]]]
"""Asked while nobody uses the store: what must stay."""


async def nothing() -> frozenset[str]:
    """Spares nothing."""
    return frozenset()


class EnvironmentShelf:
    """Environments by their keys."""

    kind = "environments"

    def __init__(self, *, root: Path, gate: Gate, staging: Staging, key_of: Callable[[Lock], str | None]) -> None:
        """``key_of`` is ``None`` for a lock that this store makes no environment of."""
        self.root = root
        self._gate = gate
        self._staging = staging
        self._key_of = key_of

    async def names(self) -> frozenset[str]:
        return await asyncio.to_thread(lambda: frozenset(_folders(self.root, _KEY)))

    async def needed(self, references: References) -> frozenset[str]:
        keys = frozenset(key for lock in references.locks if (key := self._key_of(lock)) is not None)
        there = await self.names()
        return keys | await asyncio.to_thread(
            lambda: frozenset(name for name in there if references.mounts_in(self.root / name))
        )

    async def wheels_of(self, keys: Collection[str]) -> frozenset[str]:
        """The hashes of the wheels that environments say they are made of; one that cannot be read says nothing."""
        return await asyncio.to_thread(lambda: frozenset(one for key in keys for one in _wheels(self.root / key)))

    async def weigh(self, names: Collection[str], scale: Scale) -> int:
        return await asyncio.to_thread(lambda: sum(scale.add(self.root / name) for name in sorted(names)))

    async def remove(self, names: Collection[str], look_again: LookAgain) -> Removal:
        async def spared() -> frozenset[str]:
            return await self.needed(await look_again())

        return await self.take_away(names, spared)

    async def take_away(self, names: Collection[str], spared: Spared = nothing) -> Removal:
        """Remove these, whoever needs them, but for what is spared."""
        folders = {name: self.root / name for name in names}
        return await _take_away(folders, gate=self._gate, staging=self._staging, spared=spared)


class WheelShelf:
    """Wheels by interpreter and hash (``cpython-311/<sha256>``)."""

    kind = "wheels"

    def __init__(self, *, root: Path, environments: EnvironmentShelf, gate: Gate, staging: Staging) -> None:
        self.root = root
        self._environments = environments
        self._gate = gate
        self._staging = staging

    async def names(self) -> frozenset[str]:
        return await asyncio.to_thread(self._names)

    async def needed(self, references: References) -> frozenset[str]:
        """By a lock, whatever interpreter it is for, or by an environment that is in use itself."""
        locked = {
            artefact.sha256
            for lock in references.locks
            for package in lock.all_packages
            for artefact in package.artefacts
        }
        linked = await self._environments.wheels_of(await self._environments.needed(references))
        return frozenset(name for name in await self.names() if name.partition("/")[2] in locked | linked)

    async def weigh(self, names: Collection[str], scale: Scale) -> int:
        return await asyncio.to_thread(lambda: sum(scale.add(self.root / name) for name in sorted(names)))

    async def remove(self, names: Collection[str], look_again: LookAgain) -> Removal:
        async def spared() -> frozenset[str]:
            """Also what an environment that is still there links to: that would free nothing, and hide its origin."""
            linked = await self._environments.wheels_of(await self._environments.names())
            kept = frozenset(name for name in names if name.partition("/")[2] in linked)
            return kept | await self.needed(await look_again())

        return await self.take_away(names, spared)

    async def take_away(self, names: Collection[str], spared: Spared = nothing) -> Removal:
        """Remove these, whoever needs them, but for what is spared."""
        folders = {name: self.root / name for name in names}
        return await _take_away(folders, gate=self._gate, staging=self._staging, spared=spared)

    def _names(self) -> frozenset[str]:
        interpreters = _folders(self.root, _INTERPRETER)
        return frozenset(f"{one}/{name}" for one in interpreters for name in _folders(self.root / one, _KEY))


async def _take_away(folders: Mapping[str, Path], *, gate: Gate, staging: Staging, spared: Spared) -> Removal:
    removed: list[str] = []
    failures: list[str] = []
    freed = 0
    try:
        async with staging.place() as place:
            moved = await _move_out(folders, place, failures, gate=gate, spared=spared)
            for name, folder in moved.items():
                try:
                    freed += await asyncio.to_thread(delete_counted, folder)
                    removed.append(name)
                except OSError as error:
                    failures.append(f"{name}: {error.strerror}: {error.filename}")
    except OSError as error:
        if not failures:
            raise
        # The staging place could not be emptied either; it is out of sight, and swept again at every start.
        _log.error("not_deleted", folder=str(error.filename), error=error.strerror)
    return Removal(tuple(removed), freed, tuple(failures))


async def _move_out(
    folders: Mapping[str, Path],
    place: Place,
    failures: list[str],
    *,
    gate: Gate,
    spared: Spared,
) -> dict[str, Path]:
    """Rename what goes into the staging place, while nobody is using the store; names and where they are now."""
    moved: dict[str, Path] = {}
    try:
        async with gate.alone(seconds=GATE_SECONDS):
            keep = await spared()
            for number, (name, folder) in enumerate(sorted(folders.items())):
                if name in keep:
                    continue
                try:
                    await asyncio.to_thread(_rename, folder, place.path / str(number))
                    moved[name] = place.path / str(number)
                except FileNotFoundError:
                    continue  # Another collection took it.
                except OSError as error:
                    failures.append(f"{name}: {error.strerror}: {folder}")
    except GateBusyError as error:
        raise ShelfBusyError("packages are being installed; try again when they are") from error
    return moved


def _rename(folder: Path, to: Path) -> None:
    folder.chmod(0o755)  # Renaming a folder to another parent writes its "..", which needs the right to.
    folder.rename(to)


def _wheels(environment: Path) -> tuple[str, ...]:
    try:
        facts = orjson.loads((environment / "environment.json").read_bytes())
        return tuple(str(sha256) for sha256 in facts["wheels"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _folders(root: Path, named: re.Pattern[str]) -> list[str]:
    """Names of the folders below ``root`` that look like ours."""
    return [path.name for path in root.glob("*") if named.fullmatch(path.name) and path.is_dir()]
