"""Writing foreign files into a staging folder: every name checked, every byte counted, before it reaches the disk."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from skillyard.skills.bundle import MAX_VISITED, Tally
from skillyard.skills.errors import BundleTooLargeError, SkillError, SourceError
from skillyard.skills.frontmatter import FILE
from skillyard.skills.paths import PathSet, check_path, printable
from skillyard.skills.sources.process import finished

T = TypeVar("T")


class Staging:
    """A folder being filled within the limits of a bundle. ``stop`` makes the next write raise ``StoppedError``."""

    def __init__(self, root: Path, stop: threading.Event) -> None:
        self._root = root
        self._stop = stop
        self._tally = Tally()
        self._paths = PathSet()
        self._members = 0

    def count_member(self, name: str) -> None:
        """Count anything an archive lists, also what is not written: folders and tool state."""
        self.check_stopped()
        self._members += 1
        if self._members > MAX_VISITED:
            raise BundleTooLargeError(f"more than {MAX_VISITED} members", file=printable(name))

    def check_stopped(self) -> None:
        if self._stop.is_set():
            raise StoppedError

    def write(self, path: str, chunks: Iterable[bytes], *, executable: bool) -> None:
        """Write a new file; raises ``UnsafePathError`` or ``BundleTooLargeError`` as soon as a rule is broken."""
        check_path(path)
        self._tally.add_file(path)
        self._paths.add(path)
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        with target.open("xb") as file:
            for chunk in chunks:
                self.check_stopped()
                size += len(chunk)
                self._tally.add_bytes(path, size, len(chunk))
                file.write(chunk)
            os.fchmod(file.fileno(), 0o755 if executable else 0o644)


class StoppedError(Exception):
    """The fetch was cancelled; never seen outside this package."""


async def in_thread(work: Callable[[threading.Event], T]) -> T:
    """Run blocking work; when cancelled, tell it to stop and wait until it has, so that nobody writes afterwards."""
    stop = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        try:
            await finished(task)
        finally:
            if not task.cancelled():
                task.exception()  # looked at, so that asyncio does not report it as lost
        raise


@asynccontextmanager
async def emptied_on_failure(into: Path) -> AsyncIterator[None]:
    """Empty the staging folder again if the block fails or is cancelled; a full disk becomes ``SourceError``."""
    try:
        yield
    except OSError as error:
        _empty(into)
        raise SourceError(f"the skill could not be staged: {error.strerror or error}") from error
    except BaseException:
        _empty(into)
        raise


def skill_root(staged: Path) -> Path:
    """The one folder with a ``SKILL.md``: the staged folder, a single folder at its top, or the only one below that."""
    top = _below_single_folders(staged)
    if has_manifest(top):
        return top
    found = sorted(Path(folder) for folder, _folders, files in os.walk(top) if _manifests(files))
    if len(found) > 1:
        names = ", ".join(printable(folder.relative_to(staged).as_posix()) for folder in found[:10])
        raise SkillError(f"more than one skill: {names}; say which folder is meant", file=FILE)
    if not found:
        raise SkillError(f"is missing; a skill is a folder with a {FILE}", file=FILE)
    return found[0]


def only_skill(staged: Path) -> Path:
    """As ``skill_root`` where there is one skill; else the staged folder, or the single folder at its top."""
    try:
        return skill_root(staged)
    except SkillError:
        return _below_single_folders(staged)


def has_manifest(folder: Path) -> bool:
    """Whether there is a ``SKILL.md``, in whatever case: the parser says what is wrong with its name."""
    return _manifests([path.name for path in folder.iterdir()])


def _manifests(names: list[str]) -> bool:
    return any(name.lower() == FILE.lower() for name in names)


def _below_single_folders(folder: Path) -> Path:
    while len(inner := list(folder.iterdir())) == 1 and inner[0].is_dir():
        folder = inner[0]
    return folder


def _empty(folder: Path) -> None:
    for inner in folder.iterdir():
        if inner.is_dir() and not inner.is_symlink():
            shutil.rmtree(inner)
        else:
            inner.unlink()
