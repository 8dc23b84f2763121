"""Environments: a lock as a folder of hard links to stored wheels, content-addressed, read-only.

On disk: ``<root>/<key>/`` holds ``files/`` (what a sandbox mounts) and ``environment.json``; it appears by one rename.
A package used by a hundred skills is on disk once, and in memory once, because all of them map the same inodes.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import orjson

from skillyard.ids import EnvironmentKey
from skillyard.sandbox.builds.container import BuildContainers
from skillyard.sandbox.builds.download import SourceFetcher
from skillyard.sandbox.builds.recipe import BuildLimits, BuiltWheel, Recipe, recipes
from skillyard.sandbox.builds.shelf import BuiltShelf
from skillyard.sandbox.builds.store import SourceBuilds
from skillyard.sandbox.bytecode import ByteCompiler
from skillyard.sandbox.check_packages import check_packages, drop_packages
from skillyard.sandbox.chores import sweep_chores
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.environment import Environment, Progress, ProgressSink, silent
from skillyard.sandbox.errors import FileSystemError, WheelError
from skillyard.sandbox.fetch import WantedWheel, WheelFetcher
from skillyard.sandbox.folders import Place, Staging, disk_full_named, locked, sync_folder, write_synced
from skillyard.sandbox.gate import Gate
from skillyard.sandbox.images import BaseImages
from skillyard.sandbox.index import PackageIndex
from skillyard.sandbox.package_shelves import EnvironmentShelf, WheelShelf
from skillyard.sandbox.record import StoredFile
from skillyard.sandbox.resolvers.compile import UvCompile
from skillyard.sandbox.shelf import Checked, Damage, Removal, Shelf
from skillyard.sandbox.tags import best_wheel, cache_tag
from skillyard.sandbox.wheelhouse import Wheelhouse
from skillyard.sandbox.wheels import StoredWheel, WheelStore, move_away, untouched
from skillyard.settings import Settings
from skillyard.skills.lock import Lock, LockedPackage, Target
from skillyard.skills.skill import Ecosystem

_FORMAT = 1
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK)


class WheelEnvironments:
    """Implements ``EnvironmentStore`` for Python packages."""

    def __init__(
        self,
        *,
        root: Path,
        wheels: WheelStore,
        builds: SourceBuilds,
        staging: Staging,
        images: BaseImages,
        engine: Engine,
        house: Wheelhouse,
    ) -> None:
        """``house`` has wheels that were brought along: those are not asked of the index."""
        self._root = root
        self._house = house
        self._wheels = wheels
        self._builds = builds
        self._staging = staging
        self._images = images
        self._engine = engine
        self._gate = Gate(root.parent / ".gate")

    async def materialise(self, lock: Lock, on_progress: ProgressSink = silent) -> Environment:
        """See ``EnvironmentStore.materialise``. Also raises ``ImageError`` where there is no base image to compile in,
        ``FileSystemError`` where the file system has no hard links, and ``BuildError`` for a package that is built
        from source."""
        if lock.ecosystem is not Ecosystem.PYPI:
            raise WheelError(f"this store makes Python environments, not {lock.ecosystem.value} ones")
        async with self._gate.inside():
            return await self._materialise(lock, on_progress)

    async def _materialise(self, lock: Lock, on_progress: ProgressSink) -> Environment:
        key = environment_key(lock)
        if (found := await asyncio.to_thread(_load, self._root / key)) is not None:
            return found
        async with locked(self._root / "locks" / f"{key}.lock"):
            if (found := await asyncio.to_thread(_load, self._root / key)) is not None:
                return found
            built = {recipe.source.name: await self._built(recipe, on_progress) for recipe in recipes(lock)}
            wanted = await asyncio.to_thread(_wanted, lock, built, self._house)
            wheels = await self._wheels.ensure(wanted, lock.target, on_progress)
            on_progress(Progress("linking packages", 0, None))
            async with self._staging.place() as place:
                return await asyncio.to_thread(_link, key, wheels, place, self._root / key)

    @property
    def builds(self) -> SourceBuilds:
        """The wheels that were built from source here."""
        return self._builds

    async def _built(self, recipe: Recipe, on_progress: ProgressSink) -> BuiltWheel:
        """The wheel of one recipe; what its build needs is an environment like any other."""
        if (found := await self._builds.find(recipe)) is not None:
            return found
        requirements = await self._materialise(recipe.requirements, on_progress)
        return await self._builds.ensure(recipe, requirements, on_progress)

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

    async def verify(self) -> Checked:
        """Read every file of every stored wheel, and compare every environment with its wheels."""
        environments, wheels = self._shelves()
        return await check_packages(environments=environments, wheels=wheels)

    async def drop(self, damaged: Sequence[Damage]) -> Removal:
        """Take damaged things away, and with a wheel every environment that links to its files."""
        environments, wheels = self._shelves()
        return await drop_packages(damaged, environments=environments, wheels=wheels)

    def made_of(self, lock: Lock, dropped: Collection[str]) -> bool:
        """Whether what ``drop`` took away was of this lock."""
        hashes = {artefact.sha256 for package in lock.all_packages for artefact in package.artefacts}
        return _key_of(lock) in dropped or any(name.partition("/")[2] in hashes for name in dropped)

    def shelves(self) -> Sequence[Shelf]:
        """Environments before wheels: wheels that only collected environments used can go with them."""
        return *self._shelves(), BuiltShelf(builds=self._builds, gate=self._gate)

    def _shelves(self) -> tuple[EnvironmentShelf, WheelShelf]:
        environments = EnvironmentShelf(root=self._root, gate=self._gate, staging=self._staging, key_of=_key_of)
        wheels = WheelShelf(root=self._wheels.root, environments=environments, gate=self._gate, staging=self._staging)
        return environments, wheels

    async def close(self) -> None:
        """Let go of the connection to the engine."""
        await self._engine.close()


def create_store(settings: Settings) -> WheelEnvironments:
    """The entry point ``wheels`` of the group ``skillyard.environments``. Connects to nothing yet."""
    engine = Engine(address=settings.docker_host)
    root = settings.home / "environments"
    staging = Staging(root / "staging")
    images = BaseImages(engine=engine, settings=settings)
    index = PackageIndex.from_settings(settings)
    fetcher = WheelFetcher(index=index)
    wheels = WheelStore(
        root=root / "wheels",
        staging=staging,
        fetcher=fetcher,
        compiler=ByteCompiler(engine=engine),
        images=images,
    )
    limits = BuildLimits.from_settings(settings)
    compiler = UvCompile(index=index, cache=settings.home / "cache" / "uv")
    house = Wheelhouse(settings.home / "wheelhouse")
    builds = SourceBuilds(
        root=root / "built",
        staging=staging,
        sources=SourceFetcher(index=index, compiler=compiler, settings=settings, limits=limits, house=house),
        containers=BuildContainers(engine=engine, images=images, limits=limits, runtime=settings.runtime_name),
        wheels=fetcher,
        limits=limits,
        allowed=settings.source_builds == "allow",
    )
    return WheelEnvironments(
        root=root / "python",
        wheels=wheels,
        builds=builds,
        staging=staging,
        images=images,
        engine=engine,
        house=house,
    )


def environment_key(lock: Lock) -> EnvironmentKey:
    """64 hex digits over the lock's digest, platform and interpreter, and the layout's format."""
    facts = [_FORMAT, lock.digest, lock.target.platform, cache_tag(lock.target)]
    return EnvironmentKey(hashlib.sha256(orjson.dumps(facts)).hexdigest())


def _key_of(lock: Lock) -> str | None:
    return environment_key(lock) if lock.ecosystem is Ecosystem.PYPI else None


def _wanted(lock: Lock, built: Mapping[str, BuiltWheel], house: Wheelhouse) -> tuple[WantedWheel, ...]:
    return tuple(_wanted_wheel(package, lock.target, built.get(package.name), house) for package in lock.packages)


def _wanted_wheel(package: LockedPackage, target: Target, built: BuiltWheel | None, house: Wheelhouse) -> WantedWheel:
    if built is not None:
        return WantedWheel(package.name, package.version, built.path.name, built.sha256, built.size, built.path)
    found = best_wheel(package, target)
    brought = house.find(found.sha256)
    return WantedWheel(package.name, package.version, found.filename, found.sha256, found.size, brought)


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
