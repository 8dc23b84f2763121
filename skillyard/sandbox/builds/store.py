"""Built wheels, kept by what they were built from: once built, used again, whether or not a build can be repeated.

On disk: ``<root>/<key>/`` holds the wheel and ``build.json``, its provenance: the archive's hash, the requirements'
digest, the wheel's hash and metadata. It appears by one rename. ``<root>/asked/<key>.json`` remembers what a build
asked for beyond its build-system table, so that a package that was locked before is locked again without running it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from skillyard.sandbox.builds.archive import unpack_source
from skillyard.sandbox.builds.container import BuildContainers, Task
from skillyard.sandbox.builds.download import SourceFetcher
from skillyard.sandbox.builds.metadata import check_wheel_name, read_metadata
from skillyard.sandbox.builds.recipe import HOW_TO_ALLOW, BuildLimits, BuiltWheel, Recipe, SourceArchive, WheelMetadata
from skillyard.sandbox.builds.system import BuildSystem, read_build_system
from skillyard.sandbox.environment import Environment, Progress, ProgressSink, silent
from skillyard.sandbox.errors import BuildError, BuildFailure, WheelError
from skillyard.sandbox.fetch import WantedWheel, WheelFetcher
from skillyard.sandbox.folders import Place, Staging, disk_full_named, locked, remove_folder, sync_folder, write_synced
from skillyard.sandbox.record import hash_file
from skillyard.skills.lock import Target

_FORMAT = 1
_TEXTS = TypeAdapter(tuple[str, ...])


@dataclass(frozen=True, slots=True)
class _Kept:
    """``build.json``."""

    format: int
    filename: str
    source_filename: str
    source_sha256: str
    requirements_digest: str
    sha256: str
    size: int
    metadata: WheelMetadata


_KEPT = TypeAdapter(_Kept)


@dataclass(frozen=True, slots=True)
class OpenSource:
    """An archive that was fetched, verified and unpacked, for as long as its place is there."""

    source: SourceArchive
    target: Target
    place: Place
    tree: Path
    system: BuildSystem


class SourceBuilds:
    """The built wheels below one folder. Concurrent callers, also in other processes, build one thing once."""

    def __init__(
        self,
        *,
        root: Path,
        staging: Staging,
        sources: SourceFetcher,
        containers: BuildContainers,
        wheels: WheelFetcher,
        limits: BuildLimits,
        allowed: bool,
    ) -> None:
        """``allowed`` is the operator's setting; without it nothing is opened, and so nothing built."""
        self._root = root
        self._staging = staging
        self._sources = sources
        self._containers = containers
        self._wheels = wheels
        self._limits = limits
        self._allowed = allowed

    @asynccontextmanager
    async def opened(self, source: SourceArchive, target: Target, url: str | None = None) -> AsyncIterator[OpenSource]:
        """The archive, brought along, or fetched from ``url`` or from where the index has it, and unpacked as data.

        Raises ``BuildError`` (``REFUSED``, ``ARCHIVE``), ``DiskFullError`` or ``ResolverUnavailableError``.
        """
        if not self._allowed:
            message = f"{source} exists only as source; {HOW_TO_ALLOW}"
            raise BuildError(message, failure=BuildFailure.REFUSED)
        async with self._staging.place() as place:
            with disk_full_named(place.path):
                archive = await self._sources.bring(source, target, place.path, url)
                try:
                    tree, system = await asyncio.to_thread(self._unpack, archive, source, place)
                except BuildError as error:
                    raise BuildError(f"{source}: {error}", failure=error.failure) from error
            yield OpenSource(source, target, place, tree, system)

    async def further_requirements(
        self, opened: OpenSource, first: Recipe, environment: Environment, on_progress: ProgressSink = silent
    ) -> tuple[str, ...]:
        """What the build asks for once it can run with the requirements of ``first``: PEP 517's dynamic ones."""
        file = self._root / "asked" / f"{first.key}.json"
        if (known := await asyncio.to_thread(_read_asked, file)) is not None:
            return known
        on_progress(Progress(f"building {opened.source}", 0, None))
        asked = await self._containers.requires(_task("requires", opened, environment), opened.place)
        with disk_full_named(self._root):
            await asyncio.to_thread(_write_asked, file, asked, opened.place)
        return asked

    async def find(self, recipe: Recipe) -> BuiltWheel | None:
        """The wheel that was built by this recipe, whose file is as it was; else ``None``: it is then built again."""
        return await asyncio.to_thread(_load, self.folder(recipe.key))

    async def ensure(self, recipe: Recipe, environment: Environment, on_progress: ProgressSink = silent) -> BuiltWheel:
        """The recipe's wheel, built where it is missing or damaged. ``environment`` is its requirements, materialised.

        Raises ``BuildError``, ``DiskFullError``, ``ResolverUnavailableError``, ``ImageError`` or
        ``EngineUnavailableError``.
        """
        if (found := await self.find(recipe)) is not None:
            return found
        async with self.opened(recipe.source, recipe.requirements.target) as opened:
            return await self.build(opened, recipe, environment, on_progress)

    async def build(
        self, opened: OpenSource, recipe: Recipe, environment: Environment, on_progress: ProgressSink = silent
    ) -> BuiltWheel:
        """As ``ensure``, of a source that is open already."""
        async with locked(self._root / "locks" / f"{recipe.key}.lock"):
            if (found := await self.find(recipe)) is not None:
                return found
            on_progress(Progress(f"building {recipe.source}", 0, None))
            wheel = await self._containers.wheel(_task("wheel", opened, environment), opened.place)
            metadata = await self._checked(wheel, opened)
            with disk_full_named(self._root):
                return await asyncio.to_thread(self._keep, wheel, metadata, recipe, opened.place)

    def stored(self) -> tuple[str, ...]:
        """The keys of the recipes whose wheels are kept, sorted."""
        return tuple(sorted(file.parent.name for file in self._root.glob("*/build.json")))

    def folder(self, key: str) -> Path:
        """Where what was built by a recipe is kept, if it is."""
        return self._root / key

    async def drop(self, key: str) -> None:
        """Forget a built wheel; it is built again when it is next needed and not in the wheel store."""
        async with locked(self._root / "locks" / f"{key}.lock"), self._staging.place() as place:
            await asyncio.to_thread(_move_away, self.folder(key), place)

    def _unpack(self, archive: Path, source: SourceArchive, place: Place) -> tuple[Path, BuildSystem]:
        tree = unpack_source(archive, source.artefact.filename, place.path / "source", self._limits)
        archive.unlink()
        return tree, read_build_system(tree)

    async def _checked(self, wheel: Path, opened: OpenSource) -> WheelMetadata:
        """Unpack the wheel as an installer would, check every file against its RECORD, and read its metadata."""
        source, target, place = opened.source, opened.target, opened.place
        check_wheel_name(wheel.name, source, target)
        sha256, size = await asyncio.to_thread(hash_file, wheel)
        wanted = WantedWheel(source.name, source.version, wheel.name, sha256, size, archive=wheel)
        into = place.path / "checked"
        try:
            await self._wheels.fetch(wanted, target, place, into)
            return await asyncio.to_thread(read_metadata, into, source)
        except WheelError as error:
            message = f"{source} was built to a wheel that is not sound: {error}"
            raise BuildError(message, failure=BuildFailure.WHEEL) from error
        finally:
            await asyncio.shield(asyncio.to_thread(remove_folder, into))

    def _keep(self, wheel: Path, metadata: WheelMetadata, recipe: Recipe, place: Place) -> BuiltWheel:
        sha256, size = hash_file(wheel)
        archive = recipe.source.artefact
        kept = _Kept(
            format=_FORMAT,
            filename=wheel.name,
            source_filename=archive.filename,
            source_sha256=archive.sha256,
            requirements_digest=recipe.requirements.digest,
            sha256=sha256,
            size=size,
            metadata=metadata,
        )
        wheel.chmod(0o444)
        _sync(wheel)
        folder = wheel.parent
        write_synced(folder / "build.json", orjson.dumps(asdict(kept)))
        final = self.folder(recipe.key)
        self._root.mkdir(parents=True, exist_ok=True)
        _move_away(final, place)
        folder.rename(final)
        sync_folder(self._root)
        return BuiltWheel(final / wheel.name, sha256, size, metadata)


def _task(hook: str, opened: OpenSource, environment: Environment) -> Task:
    return Task(str(opened.source), hook, opened.system, opened.tree, environment.path)


def _load(folder: Path) -> BuiltWheel | None:
    try:
        kept = _KEPT.validate_json((folder / "build.json").read_bytes())
        wheel = folder / Path(kept.filename).name
        if kept.format != _FORMAT or hash_file(wheel) != (kept.sha256, kept.size):
            return None
    except (OSError, ValidationError):
        return None
    return BuiltWheel(wheel, kept.sha256, kept.size, kept.metadata)


def _read_asked(file: Path) -> tuple[str, ...] | None:
    try:
        return _TEXTS.validate_json(file.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _write_asked(file: Path, asked: tuple[str, ...], place: Place) -> None:
    part = place.path / "asked.json"
    write_synced(part, orjson.dumps(asked))
    file.parent.mkdir(parents=True, exist_ok=True)
    part.rename(file)


def _move_away(final: Path, place: Place) -> None:
    try:
        final.rename(place.path / f"old-{final.name}")
    except FileNotFoundError:
        return


def _sync(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
