"""Containers that run our own chores (byte-compiling, checking an image), and finding those whose owner died.

A chore's container carries the path of a lock file that its owner holds for as long as it lives, so whoever sweeps
can tell an orphan from a chore in progress, also one of another process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from skillyard.sandbox.engine import ContainerInfo, Engine
from skillyard.sandbox.folders import Place, try_lock

_CHORE = "skillyard.chore"
_LOCK = "skillyard.chore.lock"
_ROOT = "skillyard.chore.root"


def chore_labels(kind: str, place: Place) -> Mapping[str, str]:
    """Labels of a chore that works in a staging place."""
    return {_CHORE: kind, _LOCK: str(place.path.with_suffix(".lock")), _ROOT: str(place.path.parent)}


async def own_user(engine: Engine) -> str:
    """The user a chore runs as so that files it writes into a mounted folder of ours are ours.

    A rootless engine maps its root to the user it runs as; every other id would be a stranger to our folder.
    """
    options = (await engine.info()).get("SecurityOptions") or ()
    return "0:0" if any("rootless" in option for option in options) else f"{os.getuid()}:{os.getgid()}"


async def sweep_chores(engine: Engine, root: Path) -> int:
    """Remove the containers of chores that worked below staging folder ``root`` and whose owner died; how many."""
    orphans = [found for found in await engine.containers({_ROOT: str(root)}) if _is_orphan(found)]
    for orphan in orphans:
        await engine.remove(orphan.id)
    return len(orphans)


def _is_orphan(container: ContainerInfo) -> bool:
    file = Path(container.labels.get(_LOCK, ""))
    if not file.is_file():
        return True
    descriptor = try_lock(file)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True
