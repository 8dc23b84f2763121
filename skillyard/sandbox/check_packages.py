"""Reading everything in the wheel store: each wheel against what it was when it was verified and against its RECORD,
each environment against its wheels.

A wheel's archive is not kept. What ties the files to the hash in the lock is ``wheel.json``, written when the archive
had just been checked; RECORD came in the archive. Whoever can write the store can rewrite both alike: this finds what
disks, crashes and stray writes do, and tampering that was not thought through.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from skillyard.sandbox.package_shelves import EnvironmentShelf, WheelShelf
from skillyard.sandbox.record import differing_from_record, hash_file
from skillyard.sandbox.shelf import Checked, Damage, Removal

_ListedFile = tuple[str, int]
"""sha256 and size."""


@dataclass(frozen=True, slots=True)
class _Wheel:
    """What a stored wheel says of itself."""

    files: Path
    listed: Mapping[str, _ListedFile]


async def check_packages(*, environments: EnvironmentShelf, wheels: WheelShelf) -> Checked:
    """Everything that is not as it was stored. Reads every file of every wheel."""
    names, keys = sorted(await wheels.names()), sorted(await environments.names())
    damage = await asyncio.to_thread(_damaged_wheels, wheels.root, names)
    damage += await asyncio.to_thread(_damaged_environments, environments.root, keys, wheels.root, names, damage)
    return Checked({wheels.kind: len(names), environments.kind: len(keys)}, damage)


async def drop_packages(damaged: Sequence[Damage], *, environments: EnvironmentShelf, wheels: WheelShelf) -> Removal:
    """Take damaged things away. A file of a wheel is the same file in every environment, so those go first."""
    bad = [one.name for one in damaged if one.kind == wheels.kind]
    hashes = {name.partition("/")[2] for name in bad}
    keys = {one.name for one in damaged if one.kind == environments.kind}
    for key in await environments.names():
        if hashes & await environments.wheels_of([key]):
            keys.add(key)
    first = await environments.take_away(keys)
    second = await wheels.take_away(bad)
    freed = (first.freed_bytes or 0) + (second.freed_bytes or 0)
    return Removal((*first.removed, *second.removed), freed, (*first.failures, *second.failures))


def _damaged_wheels(root: Path, names: Sequence[str]) -> tuple[Damage, ...]:
    found = ((name, _wheel_damage(root / name)) for name in names)
    return tuple(Damage("wheels", name, *damage) for name, damage in found if damage is not None)


def _damaged_environments(
    root: Path, keys: Sequence[str], wheels: Path, names: Sequence[str], bad_wheels: Sequence[Damage]
) -> tuple[Damage, ...]:
    """A file that is one with its wheel's is not read again."""
    places = {name.partition("/")[2]: name.partition("/")[0] for name in names}
    bad = {damage.name.partition("/")[2]: frozenset(damage.files) for damage in bad_wheels}
    known: dict[str, _Wheel | None] = {}
    found = ((key, _environment_damage(root / key, wheels, places, bad, known)) for key in keys)
    return tuple(Damage("environments", key, *damage) for key, damage in found if damage is not None)


def _wheel_damage(folder: Path) -> tuple[tuple[str, ...], str | None] | None:
    wheel = _read_wheel(folder)
    if wheel is None:
        return ("wheel.json",), "wheel.json cannot be read, or is of another wheel"
    present = _files_below(wheel.files)
    differing = {path for path in present & wheel.listed.keys() if not _same(wheel.files / path, wheel.listed[path])}
    differing |= present ^ wheel.listed.keys()
    differing |= set(differing_from_record(wheel.files))
    return (tuple(sorted(differing)), None) if differing else None


def _environment_damage(
    folder: Path,
    wheels: Path,
    places: Mapping[str, str],
    bad: Mapping[str, frozenset[str]],
    known: dict[str, _Wheel | None],
) -> tuple[tuple[str, ...], str | None] | None:
    try:
        facts = orjson.loads((folder / "environment.json").read_bytes())
        hashes = [str(one) for one in facts["wheels"]]
        listed = {str(path) for path, _ in facts["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return ("environment.json",), "environment.json cannot be read"
    expected: dict[str, tuple[Path, _ListedFile, bool]] = {}
    for one in hashes:
        if one not in known:
            place = places.get(one)
            known[one] = None if place is None else _read_wheel(wheels / place / one)
        wheel = known[one]
        if wheel is None:
            return (), f"its wheel {one} is not in the store, or cannot be read"
        for path, facts_of_file in wheel.listed.items():
            expected[path] = (wheel.files / path, facts_of_file, path in bad.get(one, frozenset()))
    present = _files_below(folder / "files")
    differing = (present ^ expected.keys()) | (listed ^ expected.keys())
    for path in present & expected.keys():
        source, wanted, is_bad = expected[path]
        file = folder / "files" / path
        if is_bad if _one_file(file, source) else not _same(file, wanted):
            differing.add(path)
    return (tuple(sorted(differing)), None) if differing else None


def _read_wheel(folder: Path) -> _Wheel | None:
    try:
        facts = orjson.loads((folder / "wheel.json").read_bytes())
        listed = {str(path): (str(sha256), int(size)) for path, sha256, size in facts["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _Wheel(folder / "files", listed) if facts.get("sha256") == folder.name else None


def _files_below(folder: Path) -> set[str]:
    """Everything that is no folder, by its path from here."""
    cut = len(str(folder)) + 1
    return {
        f"{parent}/{name}"[cut:]
        for parent, folders, files in os.walk(folder)
        for name in (*files, *(one for one in folders if os.path.islink(f"{parent}/{one}")))  # noqa: PTH114 - thousands
    }


def _same(file: Path, expected: _ListedFile) -> bool:
    try:
        return hash_file(file) == expected
    except OSError:
        return False


def _one_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samestat(one.lstat(), other.lstat())
    except FileNotFoundError:
        return False
