"""Python packages, resolved by ``uv pip compile`` on the host without building or running anything.

Two runs: the first solves and says who asked for whom (annotations of the requirements format), the second takes the
first's exact versions and lists every wheel with its hash (``pylock.toml``, which has no dependency graph). Pinned
input without dependencies leaves the second run nothing to decide, so both agree by construction; that is checked.

Packages that exist only as source are refused, or built in a container where the settings allow it: see ``sources``.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from skillyard.sandbox.environment import ProgressSink, silent
from skillyard.sandbox.environments import WheelEnvironments, create_store
from skillyard.sandbox.index import PackageIndex
from skillyard.sandbox.resolvers.compile import Question, UvCompile
from skillyard.sandbox.resolvers.requirements import check_declared
from skillyard.sandbox.resolvers.solve import Solver, locked_packages
from skillyard.sandbox.resolvers.sources import SourceResolution
from skillyard.sandbox.resolvers.uv_errors import OnlySourceError
from skillyard.settings import Settings
from skillyard.skills.lock import Lock, Target
from skillyard.skills.skill import DeclaredPackage, Ecosystem


class UvResolver:
    """Implements ``Resolver`` for PyPI."""

    def __init__(self, *, index: PackageIndex, solver: Solver, settings: Settings) -> None:
        self._index = index
        self._solver = solver
        self._settings = settings

    @property
    def ecosystem(self) -> Ecosystem:
        return Ecosystem.PYPI

    async def resolve(
        self, declared: tuple[DeclaredPackage, ...], target: Target, on_progress: ProgressSink = silent
    ) -> Lock:
        """See ``Resolver.resolve``. Markers are evaluated for ``target``, not for this machine."""
        wanted = check_declared(declared)
        if not wanted:
            return Lock(Ecosystem.PYPI, target, ())
        # The folder is new and private, so that no configuration lying about in the working directory is read.
        with tempfile.TemporaryDirectory(prefix="skillyard-resolve-") as name:
            question = Question(Path(name), target, self._newest())
            try:
                solution = await self._solver.solve(question, wanted)
                return Lock(Ecosystem.PYPI, target, locked_packages(solution, wanted))
            except OnlySourceError as error:
                if self._settings.source_builds != "allow":
                    await self._solver.refuse(error, question, wanted)
            async with self._workshop() as store:
                return await SourceResolution(
                    solver=self._solver, store=store, question=question, wanted=wanted, on_progress=on_progress
                ).resolve()

    def _newest(self) -> str | None:
        """The moment after which releases are ignored; the same for all runs."""
        if not self._index.minimum_release_age_days:
            return None
        age = dt.timedelta(days=self._index.minimum_release_age_days)
        return (dt.datetime.now(dt.UTC) - age).strftime("%Y-%m-%dT%H:%M:%SZ")

    @asynccontextmanager
    async def _workshop(self) -> AsyncIterator[WheelEnvironments]:
        """Where source is built: connected to the engine for one resolution that needs it, and for no other."""
        store = await asyncio.to_thread(create_store, self._settings)
        try:
            yield store
        finally:
            await asyncio.shield(store.close())


def create_resolver(settings: Settings) -> UvResolver:
    """The entry point ``pypi`` of the group ``skillyard.resolvers``."""
    index = PackageIndex.from_settings(settings)
    compiler = UvCompile(index=index, cache=settings.home / "cache" / "uv")
    return UvResolver(index=index, solver=Solver(compiler), settings=settings)
