"""Wheels of a lock as files, fetched from the index by their hashes, to be taken to a machine that reaches none."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Mapping
from pathlib import Path

from skillyard.sandbox.builds.download import SourceFetcher
from skillyard.sandbox.builds.recipe import BuildLimits, SourceArchive
from skillyard.sandbox.errors import ResolverUnavailableError, WheelError
from skillyard.sandbox.index import PackageIndex
from skillyard.sandbox.resolvers.compile import Question, UvCompile
from skillyard.sandbox.tags import best_wheel
from skillyard.sandbox.wheelhouse import Wheelhouse
from skillyard.settings import Settings
from skillyard.skills.lock import Lock, LockedArtefact
from skillyard.skills.skill import Ecosystem

_AT_ONCE = 4
_MIB = 1024**2


class WheelArchives:
    """Fetches what a lock names. uv says where the index has it, as it does when it installs."""

    def __init__(self, settings: Settings) -> None:
        index = PackageIndex.from_settings(settings)
        self._compiler = UvCompile(index=index, cache=settings.home / "cache" / "uv")
        limits = BuildLimits(archive_bytes=2048 * _MIB)
        self._fetcher = SourceFetcher(index=index, compiler=self._compiler, settings=settings, limits=limits)
        self._house = Wheelhouse(settings.home / "wheelhouse")

    async def fetch(self, lock: Lock, into: Path) -> Mapping[str, LockedArtefact]:
        """The wheel of every package, below ``into`` under its SHA-256; what each is, by SHA-256.

        Raises ``WheelError`` for a lock that needs more than wheels, ``ResolverUnavailableError``.
        """
        if lock.ecosystem is not Ecosystem.PYPI:
            raise WheelError(f"packages of {lock.ecosystem.value} cannot be taken along yet")
        if lock.builds:
            names = ", ".join(build.package for build in lock.builds)
            raise WheelError(f"packages that are built from source cannot be taken along: {names}")
        wanted = {package.name: (package, best_wheel(package, lock.target)) for package in lock.packages}
        urls = await self._located(lock, into)
        turns = asyncio.Semaphore(_AT_ONCE)

        async def bring(name: str) -> None:
            package, artefact = wanted[name]
            place = into / artefact.sha256
            async with turns:
                if (kept := await asyncio.to_thread(self._house.find, artefact.sha256)) is not None:
                    await asyncio.to_thread(place.hardlink_to, kept)
                    return
                if artefact.sha256 not in urls:
                    raise ResolverUnavailableError(f"the index does not have {artefact.filename} as the lock names it")
                source = SourceArchive(package.name, package.version, artefact)
                await self._fetcher.fetch(source, urls[artefact.sha256], place)

        await asyncio.gather(*map(bring, wanted))
        return {artefact.sha256: artefact for _, artefact in wanted.values()}

    async def _located(self, lock: Lock, into: Path) -> dict[str, str]:
        """Where the index has the wheels of these versions, by SHA-256."""
        folder = into / ".located"
        await asyncio.to_thread(folder.mkdir)
        pins = "".join(f"{package.name}=={package.version}\n" for package in lock.packages)
        question = Question(folder, lock.target, None)
        ended = await self._compiler.run(
            question, "pins.in", pins, "--no-deps", "--generate-hashes", "--format", "pylock.toml"
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
