"""Environments: a lock as a folder of hard links to stored wheels, content-addressed, read-only.

On disk: ``<root>/<key>/`` holds ``files/`` (what a sandbox mounts) and ``environment.json``; it appears by one rename.
A package used by a hundred skills is on disk once, and in memory once, because all of them map the same inodes.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import orjson

from skillyard.ids import EnvironmentKey
from skillyard.sandbox.bytecode import ByteCompiler
from skillyard.sandbox.chores import sweep_chores
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.environment import Environment, Progress, ProgressSink, silent
from skillyard.sandbox.errors import FileSystemError, WheelError
from skillyard.sandbox.fetch import WantedWheel, WheelFetcher
from skillyard.sandbox.folders import Place, Staging, disk_full_named, locked, sync_folder, write_synced
from skillyard.sandbox.images import BaseImages
from skillyard.sandbox.index import PackageIndex
from skillyard.sandbox.record import StoredFile
from skillyard.sandbox.tags import best_wheel, cache_tag
from skillyard.sandbox.wheels import StoredWheel, WheelStore, move_away, untouched
from skillyard.settings import Settings
from skillyard.skills.lock import Lock
from skillyard.skills.skill import Ecosystem

_FORMAT = 1
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK)


class WheelEnvironments:
    """Implements ``EnvironmentStore`` for Python packages."""

    def __init__(self, *, root: Path, wheels: WheelStore, staging: Staging, images: BaseImages, engine: Engine) -> None:
        self._root = root
        self._wheels = wheels
        self._staging = staging
        self._images = images
        self._engine = engine

    async def materialise(self, lock: Lock, on_progress: ProgressSink = silent) -> Environment:
        """See ``EnvironmentStore.materialise``. Also raises ``ImageError`` where there is no base image to compile in,
        and ``FileSystemError`` where the file system has no hard links."""
        if lock.ecosystem is not Ecosystem.PYPI:
            raise WheelError(f"this store makes Python environments, not {lock.ecosystem.value} ones")
        key = environment_key(lock)
        if (found := await asyncio.to_thread(_load, self._root / key)) is not None:
            return found
        async with locked(self._root / "locks" / f"{key}.lock"):
            if (found := await asyncio.to_thread(_load, self._root / key)) is not None:
                return found
            wheels = await self._wheels.ensure(_wanted(lock), lock.target, on_progress)
            on_progress(Progress("linking packages", 0, None))
            async with self._staging.place() as place:
                return await asyncio.to_thread(_link, key, wheels, place, self._root / key)

    async def sweep(self) -> int:
        """Remove what builds that died have left, on disk and on the engine; how much there was.

        Raises ``EngineUnavailableError`` after the disk was swept, if the engine does not answer.
        """
        roots = (self._staging.root, self._images.staging_root)
        try:
            orphans = [await sweep_chores(self._engine, root) for root in roots]
        finally:
            swept = await asyncio.to_thread(self._staging.sweep) + await self._images.sweep()
        return sum(orphans) + swept

    async def verify(self) -> tuple[str, ...]:
        """Read every file of every stored wheel; a sentence for each one that is damaged."""
        found = [(ref, await self._wheels.verify(ref)) for ref in await asyncio.to_thread(self._wheels.stored)]
        return tuple(
            f"wheel {ref.sha256}: {len(damaged)} files are damaged, the first is {damaged[0]}"
            for ref, damaged in found
            if damaged
        )

    async def close(self) -> None:
        """Let go of the connection to the engine."""
        await self._engine.close()


def create_store(settings: Settings) -> WheelEnvironments:
    """The entry point ``wheels`` of the group ``skillyard.environments``. Connects to nothing yet."""
    engine = Engine(address=settings.docker_host)
    root = settings.home / "environments"
    staging = Staging(root / "staging")
    images = BaseImages(engine=engine, settings=settings)
    wheels = WheelStore(
        root=root / "wheels",
        staging=staging,
        fetcher=WheelFetcher(index=PackageIndex.from_settings(settings)),
        compiler=ByteCompiler(engine=engine),
        images=images,
    )
    return WheelEnvironments(root=root / "python", wheels=wheels, staging=staging, images=images, engine=engine)


def environment_key(lock: Lock) -> EnvironmentKey:
    """64 hex digits over the lock's digest, platform and interpreter, and the layout's format."""
    facts = [_FORMAT, lock.digest, lock.target.platform, cache_tag(lock.target)]
    return EnvironmentKey(hashlib.sha256(orjson.dumps(facts)).hexdigest())


def _wanted(lock: Lock) -> tuple[WantedWheel, ...]:
    chosen = ((package, best_wheel(package, lock.target)) for package in lock.packages)
    return tuple(WantedWheel(p.name, p.version, a.filename, a.sha256, a.size) for p, a in chosen)


def _link(key: EnvironmentKey, wheels: Iterable[StoredWheel], place: Place, final: Path) -> Environment:
    wheels = tuple(wheels)
    plan = _plan(wheels)
    folder = place.path / key
    files = folder / "files"
    with disk_full_named(final.parent):
        files.mkdir(parents=True)
        for parent in sorted({name.rpartition("/")[0] for name in plan}):
            os.makedirs(f"{files}/{parent}", exist_ok=True)  # noqa: PTH103 - hundreds, and speed is felt here
        _link_files(plan, files)
        for parent, _, _ in os.walk(files, topdown=False):
            os.chmod(parent, 0o555)  # noqa: PTH101, S103 - hundreds of folders; skills' user reads them
        modules = sorted({module for wheel in wheels for module in wheel.modules})
        facts = {
            "format": _FORMAT,
            "modules": modules,
            "wheels": [wheel.sha256 for wheel in wheels],
            "files": [[path, file.size] for path, (_, file) in plan.items()],
        }
        write_synced(folder / "environment.json", orjson.dumps(facts))
        final.parent.mkdir(parents=True, exist_ok=True)
        move_away(final, place)
        folder.rename(final)
        final.chmod(0o555)
        sync_folder(final.parent)
    return Environment(key, final / "files", tuple(modules))


def _plan(wheels: tuple[StoredWheel, ...]) -> dict[str, tuple[StoredWheel, StoredFile]]:
    """Path → where it comes from. Two wheels may bring one path only with one content, as namespace packages do."""
    plan: dict[str, tuple[StoredWheel, StoredFile]] = {}
    for wheel in wheels:
        for file in wheel.files:
            other, same = plan.setdefault(file.path, (wheel, file))
            if same.sha256 != file.sha256:
                raise WheelError(f"{other.name} {other.version} and {wheel.name} {wheel.version} both hold {file.path}")
    return plan


def _link_files(plan: dict[str, tuple[StoredWheel, StoredFile]], files: Path) -> None:
    target = str(files)
    try:
        for path, (wheel, _) in plan.items():
            os.link(f"{wheel.path}/files/{path}", f"{target}/{path}", follow_symlinks=False)
    except FileNotFoundError as error:
        raise WheelError(f"the wheel store lost {error.filename} while it was linked; try again") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise WheelError(f"two packages disagree on whether {error.filename} is a file or a folder") from error
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise FileSystemError(f"the file system of {files} cannot hard-link: {error.strerror}") from error
        raise


def _load(folder: Path) -> Environment | None:
    """A finished environment whose files look untouched, else ``None``: it is then built again."""
    try:
        facts = orjson.loads((folder / "environment.json").read_bytes())
        files = [(path, size) for path, size in facts["files"]]
        modules = tuple(facts["modules"])
        if facts["format"] != _FORMAT:
            return None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if not untouched(folder / "files", files):
        return None
    return Environment(EnvironmentKey(folder.name), folder / "files", modules)
