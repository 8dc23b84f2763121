"""Resolving with packages that exist only as source, where the settings allow it.

What such a package needs is known only once it was built, and it is built in a container. So: solve; where a wheel is
lacking, take that package as source and, until it is known better, as one without dependencies; build the version that
was chosen; tell uv what its wheel says; solve again. It ends when every chosen version is known, or after some rounds.
"""

from __future__ import annotations

from dataclasses import dataclass

from skillyard.sandbox.builds.recipe import Recipe, SourceArchive, WheelMetadata
from skillyard.sandbox.builds.system import declared_requirements
from skillyard.sandbox.environment import ProgressSink
from skillyard.sandbox.environments import WheelEnvironments
from skillyard.sandbox.errors import ResolveError, ResolverUnavailableError
from skillyard.sandbox.resolvers.compile import Question, Sources
from skillyard.sandbox.resolvers.requirements import Pinned, Wanted, check_declared
from skillyard.sandbox.resolvers.solve import Solution, Solver, locked_packages
from skillyard.sandbox.resolvers.uv_errors import OnlySourceError
from skillyard.skills.lock import Lock, LockedPackage, SourceBuild
from skillyard.skills.skill import Ecosystem

_MOST_SOURCES = 16
_MOST_ROUNDS = 48
_Version = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Built:
    recipe: Recipe
    metadata: WheelMetadata


class SourceResolution:
    """One resolution. ``store`` builds, and materialises what builds need."""

    def __init__(
        self,
        *,
        solver: Solver,
        store: WheelEnvironments,
        question: Question,
        wanted: tuple[Wanted, ...],
        on_progress: ProgressSink,
    ) -> None:
        self._solver = solver
        self._store = store
        self._question = question
        self._wanted = wanted
        self._on_progress = on_progress
        self._names: set[str] = set()
        self._built: dict[_Version, _Built] = {}

    async def resolve(self) -> Lock:
        """Raises ``BuildError`` and what ``Solver.solve`` raises."""
        for _ in range(_MOST_ROUNDS):
            try:
                solution = await self._solver.solve(self._question, self._wanted, self._sources())
            except OnlySourceError as error:
                self._add_source(error)
                continue
            packages = locked_packages(solution, self._wanted)
            unknown = [pin for pin in solution.pins if pin.name in self._names and _key(pin) not in self._built]
            if not unknown:
                return self._lock(packages)
            for pin in unknown:
                self._built[_key(pin)] = await self._build(pin, solution)
        raise ResolveError(f"no solution was found in {_MOST_ROUNDS} rounds of building packages from source")

    def _sources(self) -> Sources:
        known = tuple(built.metadata for _, built in sorted(self._built.items()))
        return Sources(tuple(sorted(self._names)), known)

    def _add_source(self, error: OnlySourceError) -> None:
        """One at a time: the next round may need no other."""
        name = next((name for name in error.names if name not in self._names), None)
        if name is None:
            raise error
        if len(self._names) == _MOST_SOURCES:
            raise ResolveError(f"more than {_MOST_SOURCES} packages would have to be built from source") from error
        self._names.add(name)

    async def _build(self, pin: Pinned, solution: Solution) -> _Built:
        listed = solution.sources.get(_key(pin))
        if listed is None:
            raise ResolverUnavailableError(f"uv chose {pin.name} {pin.version} and did not list its source archive")
        source = SourceArchive(pin.name, pin.version, listed.artefact)
        builds = self._store.builds
        async with builds.opened(source, self._question.target, listed.url) as opened:
            texts = opened.system.requires
            recipe = Recipe(source, await self._requirements(source, texts))
            environment = await self._store.materialise(recipe.requirements, self._on_progress)
            further = await builds.further_requirements(opened, recipe, environment, self._on_progress)
            if further:
                recipe = Recipe(source, await self._requirements(source, (*texts, *further)))
                environment = await self._store.materialise(recipe.requirements, self._on_progress)
            wheel = await builds.build(opened, recipe, environment, self._on_progress)
        return _Built(recipe, wheel.metadata)

    async def _requirements(self, source: SourceArchive, texts: tuple[str, ...]) -> Lock:
        """What a build needs, resolved with hashes; as wheels only, so that no build needs another."""
        target = self._question.target
        wanted = check_declared(declared_requirements(texts, source.artefact.filename))
        if not wanted:
            return Lock(Ecosystem.PYPI, target, ())
        try:
            solution = await self._solver.solve(self._question, wanted)
        except OnlySourceError as error:
            message = f"building {source} needs {error.names[0]}, and what builds need has to have wheels: {error}"
            raise ResolveError(message) from error
        return Lock(Ecosystem.PYPI, target, locked_packages(solution, wanted))

    def _lock(self, packages: tuple[LockedPackage, ...]) -> Lock:
        builds = tuple(
            SourceBuild(package.name, self._built[package.name, package.version].recipe.requirements.packages)
            for package in packages
            if package.name in self._names
        )
        return Lock(Ecosystem.PYPI, self._question.target, packages, builds)


def _key(pin: Pinned) -> _Version:
    return pin.name, pin.version
