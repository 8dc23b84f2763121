"""A skill's folder being edited: what changed in it, once it has settled.

The operating system tells that something happened, at once; what happened is found out by comparing two looks at the
folder. So it does not matter how an editor saves (in place, or a new file renamed over the old one), which temporary
files came and went, or whether an event was lost, as on network drives: a look is also taken now and then unasked.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import structlog
import watchfiles

from skillyard.skills.bundle import MAX_VISITED
from skillyard.skills.paths import is_state_name

_log = structlog.get_logger("skillyard.changes")

_STEP_MS = 50
"""A burst of events has ended when none came for this long."""
_BURST_MS = 1000
"""A burst that does not end is looked at after this long."""
_LOOK_MS = 500
"""How often a look is taken unasked, and how soon a folder that went away is seen to be back."""

_Facts = tuple[int, int, int, int]
"""Inode, mode, size and time of the last change of a file: what any way of saving changes one of."""
_Looked = Mapping[str, _Facts]


@dataclass(frozen=True, slots=True)
class Changed:
    """Files that were added, changed or removed: relative paths, sorted."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vanished:
    """The folder is not there any more: moved, renamed or removed."""


@dataclass(frozen=True, slots=True)
class Returned:
    """A folder is there: at the beginning, with all its files, and when one is there again under the same path, the
    same or another. ``paths`` as in ``Changed``."""

    paths: tuple[str, ...]


FolderChange = Changed | Vanished | Returned


async def folder_changes(folder: Path) -> AsyncGenerator[FolderChange]:
    """What is there, and then every change from there on, without end. What is no part of a bundle does not count.

    Close the iterator to let go of the folder (``contextlib.aclosing``).
    """
    seen: _Looked = {}
    while True:
        while (looked_again := await asyncio.to_thread(_look, folder)) is None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_LOOK_MS / 1000)
        yield Returned(_difference(seen, looked_again))
        seen = looked_again
        async with aclosing(_looks(folder)) as looks:
            async for looked in looks:
                changed = _difference(seen, looked)
                seen = looked
                if changed:
                    yield Changed(changed)
        yield Vanished()


async def _looks(folder: Path) -> AsyncGenerator[_Looked]:
    """Looks at the folder after each burst of events and now and then, until there is none under this path."""
    while (identity := await asyncio.to_thread(_identity, folder)) is not None:
        async with aclosing(_moments(folder)) as moments:
            async for _ in moments:
                if (looked := await asyncio.to_thread(_look, folder)) is not None:
                    yield looked
                if await asyncio.to_thread(_identity, folder) != identity:
                    break


async def _moments(folder: Path) -> AsyncGenerator[None]:
    """When to look. Where the system cannot tell of changes (its limit of watches is reached, for one), by the clock
    alone, which is slower by half a second."""
    events = watchfiles.awatch(
        folder,
        watch_filter=None,
        debounce=_BURST_MS,
        step=_STEP_MS,
        rust_timeout=_LOOK_MS,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    try:
        async with aclosing(events):
            async for _ in events:
                yield
    except (OSError, RuntimeError) as error:
        _log.warning("folder_not_watched", folder=str(folder), error=str(error))
    while True:
        await asyncio.sleep(_LOOK_MS / 1000)
        yield


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if folder.is_dir() else None


def _look(folder: Path) -> _Looked | None:
    """Every file that may be part of the bundle; ``None`` where there is no folder."""
    if not folder.is_dir():
        return None
    found: dict[str, _Facts] = {}
    waiting = [""]
    while waiting and len(found) < MAX_VISITED:
        parent = waiting.pop()
        try:
            with os.scandir(folder / parent) as entries:
                for entry in entries:
                    if is_state_name(entry.name):
                        continue
                    path = f"{parent}{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{path}/")
                    else:
                        info = entry.stat(follow_symlinks=False)
                        found[path] = (info.st_ino, info.st_mode, info.st_size, info.st_mtime_ns)
        except OSError:
            # It went while we looked; the next look is a moment away.
            continue
    return found


def _difference(before: _Looked, after: _Looked) -> tuple[str, ...]:
    return tuple(sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path)))
