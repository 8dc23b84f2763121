"""The seam to a package resolver: declared packages in, a hashed lock out, nothing executed on the host."""

from __future__ import annotations

from typing import Protocol

from skillyard.sandbox.environment import ProgressSink, silent
from skillyard.skills.lock import Lock, Target
from skillyard.skills.skill import DeclaredPackage, Ecosystem


class Resolver(Protocol):
    """Resolves one ecosystem (entry-point group ``skillyard.resolvers``)."""

    @property
    def ecosystem(self) -> Ecosystem: ...

    async def resolve(
        self, declared: tuple[DeclaredPackage, ...], target: Target, on_progress: ProgressSink = silent
    ) -> Lock:
        """The whole closure with hashes. No declared package gives an empty lock without asking any index.

        Raises ``ResolveError`` (no solution; says what and why), ``RequirementError`` (refused form),
        ``ResolverUnavailableError`` (index or tool did not answer), ``BuildError`` (a package that exists only as
        source and that the settings allow to build could not be built).
        """
        ...
