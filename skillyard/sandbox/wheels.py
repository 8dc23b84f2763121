"""The wheel store: every wheel unpacked once, verified, byte-compiled once, read-only, found by its sha256.

On disk: ``<root>/<interpreter>/<sha256>/`` holds ``files/`` (what an environment links to) and ``wheel.json`` (what
those files were when they were verified). A folder appears under its final name by one rename, complete or not at all.
All files carry one fixed time stamp, so that a later write shows without reading them.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson

from skillyard.sandbox.bytecode import ByteCompiler, collect_bytecode
from skillyard.sandbox.environment import Progress, ProgressSink, silent
from skillyard.sandbox.fetch import WantedWheel, WheelFetcher
from skillyard.sandbox.folders import Place, Staging, disk_full_named, locked, sync_folder, write_synced
from skillyard.sandbox.images import BaseImages
from skillyard.sandbox.modules import top_level_modules
from skillyard.sandbox.record import StoredFile, hash_file
from skillyard.sandbox.tags import cache_tag
from skillyard.skills.lock import Target

STAMP_NS = 315_619_200 * 10**9
"""Time stamp of every stored file, 1980-01-02 UTC in nanoseconds: the first that zip tools can express anywhere."""

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class StoredWheel:
    """A wheel in the store. ``files`` are below ``path / "files"``, bytecode included, sorted by path."""

    sha256: str
    name: str
    version: str
    path: Path
    files: tuple[StoredFile, ...]
    modules: tuple[str, ...]


class WheelStore:
    """The wheels below one folder, shared by every environment there."""

    def __init__(
        self, *, root: Path, staging: Staging, fetcher: WheelFetcher, compiler: ByteCompiler, images: BaseImages
    ) -> None:
        self._root = root
        self._staging = staging
        self._fetcher = fetcher
        self._compiler = compiler
        self._images = images

    async def ensure(
        self, wanted: Sequence[WantedWheel], target: Target, on_progress: ProgressSink = silent
    ) -> tuple[StoredWheel, ...]:
        """All ``wanted`` wheels, fetched where they are missing or damaged. A wheel is fetched by one caller only.

        Raises ``WheelError``, ``DiskFullError``, ``ResolverUnavailableError``, ``ImageError`` or
        ``EngineUnavailableError``; what was complete by then stays, nothing else does.
        """
        found = await self._present(wanted, target)
        missing = [wheel for wheel in wanted if wheel.sha256 not in found]
        if missing:
            found |= await self._add(missing, target, on_progress)
        return tuple(found[wheel.sha256] for wheel in wanted)

    @property
    def root(self) -> Path:
        return self._root

    def _folder(self, sha256: str, target: Target) -> Path:
        return self._root / cache_tag(target) / sha256

    def _lock_file(self, sha256: str) -> Path:
        return self._root / "locks" / f"{sha256}.lock"

    async def _present(self, wanted: Sequence[WantedWheel], target: Target) -> dict[str, StoredWheel]:
        def look() -> dict[str, StoredWheel]:
            loaded = (_load(self._folder(wheel.sha256, target)) for wheel in wanted)
            return {wheel.sha256: wheel for wheel in loaded if wheel is not None}

        return await asyncio.to_thread(look)

    async def _add(
        self, missing: Sequence[WantedWheel], target: Target, on_progress: ProgressSink
    ) -> dict[str, StoredWheel]:
        async with AsyncExitStack() as stack:
            # Everybody takes the locks in one order, so that two builds with wheels in common cannot wait in a circle.
            for wheel in sorted(missing, key=lambda wheel: wheel.sha256):
                await stack.enter_async_context(locked(self._lock_file(wheel.sha256)))
            found = await self._present(missing, target)
            missing = [wheel for wheel in missing if wheel.sha256 not in found]
            if missing:
                place = await stack.enter_async_context(self._staging.place())
                found |= await self._build(missing, target, place, on_progress)
        return found

    async def _build(
        self, missing: Sequence[WantedWheel], target: Target, place: Place, on_progress: ProgressSink
    ) -> dict[str, StoredWheel]:
        image = await self._images.python_image(on_progress)
        files = await self._fetch_all(missing, target, place, on_progress)
        on_progress(Progress("compiling packages", 0, len(missing)))
        out = place.path / "out"
        with disk_full_named(place.path):
            await asyncio.to_thread(out.mkdir)
        await self._compiler.compile(image, place, [wheel.sha256 for wheel in missing], out)
        on_progress(Progress("compiling packages", len(missing), len(missing)))
        added = {}
        for wheel in missing:
            final = self._folder(wheel.sha256, target)
            added[wheel.sha256] = await asyncio.to_thread(
                _store, wheel, files[wheel.sha256], place=place, out=out, tag=cache_tag(target), final=final
            )
        return added

    async def _fetch_all(
        self, missing: Sequence[WantedWheel], target: Target, place: Place, on_progress: ProgressSink
    ) -> dict[str, tuple[StoredFile, ...]]:
        done: dict[str, tuple[StoredFile, ...]] = {}
        on_progress(Progress("fetching packages", 0, len(missing)))

        async def fetch(wheel: WantedWheel) -> None:
            into = place.path / wheel.sha256 / "files"
            done[wheel.sha256] = await self._fetcher.fetch(wheel, target, place, into)
            on_progress(Progress("fetching packages", len(done), len(missing)))

        try:
            async with asyncio.TaskGroup() as group:
                for wheel in missing:
                    group.create_task(fetch(wheel))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return done


def _store(
    wheel: WantedWheel, files: tuple[StoredFile, ...], *, place: Place, out: Path, tag: str, final: Path
) -> StoredWheel:
    """Put the bytecode beside its sources, freeze the files, write the list of them and give the folder its name."""
    folder = place.path / wheel.sha256
    with disk_full_named(final.parent):
        sources = [file.path for file in files if file.path.endswith(".py")]
        compiled = collect_bytecode(out / wheel.sha256 / "files", folder / "files", sources, tag)
        listed = [*files, *(StoredFile(path, *hash_file(folder / "files" / path)) for path in compiled)]
        listed.sort(key=lambda file: file.path)
        modules = top_level_modules([file.path for file in files])
        _freeze(folder / "files")
        facts = {
            "format": _FORMAT,
            "name": wheel.name,
            "version": wheel.version,
            "filename": wheel.filename,
            "sha256": wheel.sha256,
            "modules": modules,
            "files": [[file.path, file.sha256, file.size] for file in listed],
        }
        write_synced(folder / "wheel.json", orjson.dumps(facts))
        final.parent.mkdir(parents=True, exist_ok=True)
        move_away(final, place)
        folder.rename(final)
        final.chmod(0o555)
        sync_folder(final.parent)
    return StoredWheel(wheel.sha256, wheel.name, wheel.version, final, tuple(listed), modules)


def _freeze(folder: Path) -> None:
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = f"{parent}/{name}"
            os.chmod(path, 0o444)  # noqa: PTH101 - thousands of files: a Path each doubles the time
            os.utime(path, ns=(STAMP_NS, STAMP_NS))
        os.chmod(parent, 0o555)  # noqa: PTH101, S103 - the user that skills run as reads them


def move_away(final: Path, place: Place) -> None:
    """Free a name, leaving the folder to be removed with the staging place."""
    try:
        final.chmod(0o755)  # Renaming a folder to another parent writes its "..", which needs the right to.
        final.rename(place.path / f"old-{final.name}")
    except FileNotFoundError:
        return


def _load(folder: Path) -> StoredWheel | None:
    """A stored wheel whose files look untouched; ``None`` where it is missing or any file is not as it was stored."""
    try:
        facts = orjson.loads((folder / "wheel.json").read_bytes())
        files = tuple(StoredFile(path, sha256, size) for path, sha256, size in facts["files"])
        if facts["format"] != _FORMAT or facts["sha256"] != folder.name:
            return None
        wheel = StoredWheel(folder.name, facts["name"], facts["version"], folder, files, tuple(facts["modules"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return wheel if untouched(folder / "files", ((file.path, file.size) for file in files)) else None


def untouched(folder: Path, files: Iterable[tuple[str, int]]) -> bool:
    """Whether each (path, size) below ``folder`` is a regular file of that size with the store's time stamp.

    Catches what a crash or a stray write does to files, at two microseconds a file; ``check_packages`` reads them.
    """
    root = str(folder)
    try:
        for path, size in files:
            status = os.lstat(f"{root}/{path}")
            if status.st_size != size or status.st_mtime_ns != STAMP_NS or not stat.S_ISREG(status.st_mode):
                return False
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
