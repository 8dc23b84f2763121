"""What a lock names as files, to be taken to a machine that reaches no index: wheels, the archives of what is built
from source, and the wheels that those builds need. What was not brought here is fetched from the index, by its hash.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from skillyard.sandbox.builds.download import SourceFetcher
from skillyard.sandbox.builds.recipe import BuildLimits, Recipe, SourceArchive, recipes
from skillyard.sandbox.errors import ResolverUnavailableError, WheelError
from skillyard.sandbox.index import PackageIndex
from skillyard.sandbox.resolvers.compile import Question, UvCompile
from skillyard.sandbox.tags import best_wheel
from skillyard.sandbox.wheelhouse import Wheelhouse
from skillyard.settings import Settings
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target, exact_pin
from skillyard.skills.skill import Ecosystem

_AT_ONCE = 4
_MIB = 1024**2


class WheelArchives:
    """Fetches what a lock names. uv says where the index has it, as it does when it installs."""

    def __init__(self, settings: Settings) -> None:
        index = PackageIndex.from_settings(settings)
        self._compiler = UvCompile(index=index, cache=settings.home / "cache" / "uv")
        self._fetcher = SourceFetcher(
            index=index,
            compiler=self._compiler,
            settings=settings,
            limits=BuildLimits(archive_bytes=2048 * _MIB),
            house=Wheelhouse(settings.home / "wheelhouse"),
        )

    async def fetch(self, lock: Lock, into: Path) -> Mapping[str, LockedArtefact]:
        """The wheel of every package, or its source and the wheels that building it needs, below the empty folder
        ``into`` under their SHA-256; what each is, by SHA-256.

        Raises ``WheelError``, ``BuildError`` (``ARCHIVE``), ``DiskFullError``, ``ResolverUnavailableError``.
        """
        if lock.ecosystem is not Ecosystem.PYPI:
            raise WheelError(f"packages of {lock.ecosystem.value} cannot be taken along yet")
        named: dict[str, LockedArtefact] = {}
        built = recipes(lock)
        sources = {recipe.source.name for recipe in built}
        closures = [tuple(one for one in lock.packages if one.name not in sources)]
        closures += [recipe.requirements.packages for recipe in built]
        for number, packages in enumerate(closures):
            wheels = (_wheel(package, lock.target) for package in packages)
            wanted = [one for one in wheels if one.artefact.sha256 not in named]
            await self._wheels(wanted, lock.target, into, into / f".located-{number}")
            named |= {one.artefact.sha256: one.artefact for one in wanted}
        for number, recipe in enumerate(built):
            artefact = recipe.source.artefact
            await self._source(recipe, into / artefact.sha256, into / f".source-{number}")
            named[artefact.sha256] = artefact
        return named

    async def _source(self, recipe: Recipe, place: Path, folder: Path) -> None:
        await asyncio.to_thread(folder.mkdir)
        archive = await self._fetcher.bring(recipe.source, recipe.requirements.target, folder)
        await asyncio.to_thread(archive.replace, place)

    async def _wheels(self, wanted: Sequence[SourceArchive], target: Target, into: Path, folder: Path) -> None:
        """Packages of one closure, which has one version of each. The index is asked for what was not brought here."""
        missing = [one for one in wanted if not await self._fetcher.brought(one, into / one.artefact.sha256)]
        urls = await self._located(missing, target, folder) if missing else {}
        turns = asyncio.Semaphore(_AT_ONCE)

        async def fetch(one: SourceArchive) -> None:
            sha256 = one.artefact.sha256
            if sha256 not in urls:
                raise ResolverUnavailableError(f"the index does not have {one.artefact.filename} as the lock names it")
            async with turns:
                await self._fetcher.fetch(one, urls[sha256], into / sha256)

        try:
            async with asyncio.TaskGroup() as group:
                for one in missing:
                    group.create_task(fetch(one))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _located(self, wanted: Sequence[SourceArchive], target: Target, folder: Path) -> dict[str, str]:
        """Where the index has the wheels of these versions, by SHA-256."""
        await asyncio.to_thread(folder.mkdir)
        pins = "".join(f"{exact_pin(one.name, one.version)}\n" for one in wanted)
        ended = await self._compiler.run(
            Question(folder, target, None), "pins.in", pins, "--no-deps", "--generate-hashes", "--format", "pylock.toml"
        )
        if ended.exit_code != 0:
            raise ResolverUnavailableError(f"the packages were not found: {ended.stderr}")
        try:
            packages = tomllib.loads(ended.stdout)["packages"]
            return {
                str(wheel["hashes"]["sha256"]): str(wheel["url"])
                for package in packages
                for wheel in package.get("wheels", ())
            }
        except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise ResolverUnavailableError("uv answered with something else than a lock") from error


def _wheel(package: LockedPackage, target: Target) -> SourceArchive:
    return SourceArchive(package.name, package.version, best_wheel(package, target))
