"""The values of a build: what goes in, what it is called by, and what comes out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import orjson

from skillyard.sandbox.errors import WheelError
from skillyard.sandbox.tags import cache_tag
from skillyard.settings import Settings
from skillyard.skills.lock import Lock, LockedArtefact
from skillyard.skills.skill import Ecosystem

_FORMAT = 1
_MIB = 1024**2

HOW_TO_ALLOW = (
    "building packages from source is off, and the setting SKILLYARD_SOURCE_BUILDS=allow lets them be built in a "
    "container without a network"
)

SOURCE_DATE_EPOCH = 315_619_200
"""The moment that builds take for the time of all files (reproducible-builds.org), 1980-01-02 UTC in seconds."""


@dataclass(frozen=True, slots=True)
class SourceArchive:
    """The source archive of one exact version."""

    name: str
    version: str
    artefact: LockedArtefact

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides what is built: an archive, and the lock of what its build needs, target included."""

    source: SourceArchive
    requirements: Lock

    @property
    def key(self) -> str:
        """64 hex digits over the archive's hash and the requirements' digest; what was built once is found by it."""
        facts = [
            _FORMAT,
            self.source.name,
            self.source.version,
            self.source.artefact.sha256,
            self.requirements.digest,
            cache_tag(self.requirements.target),
        ]
        return hashlib.sha256(orjson.dumps(facts)).hexdigest()


@dataclass(frozen=True, slots=True)
class WheelMetadata:
    """What a wheel says about itself that a resolver needs (core metadata: Requires-Dist, Requires-Python,
    Provides-Extra)."""

    name: str
    version: str
    requires_dist: tuple[str, ...]
    requires_python: str | None
    extras: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BuiltWheel:
    """A wheel that was built here. ``sha256`` is of the file at ``path``."""

    path: Path
    sha256: str
    size: int
    metadata: WheelMetadata


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """What one archive may be and one build may use. Bytes, and seconds for one container."""

    timeout: float = 300.0
    memory_bytes: int = 1024 * _MIB
    scratch_bytes: int = 256 * _MIB
    processes: int = 128
    output_bytes: int = 4 * _MIB
    wheel_bytes: int = 64 * _MIB
    archive_bytes: int = 128 * _MIB
    unpacked_bytes: int = 256 * _MIB
    files: int = 10_000

    @classmethod
    def from_settings(cls, settings: Settings) -> BuildLimits:
        memory = settings.source_build_memory_mib * _MIB
        # Scratch counts as memory, and there are three such folders: together they stay below the limit.
        return cls(timeout=settings.source_build_timeout, memory_bytes=memory, scratch_bytes=memory // 4)


def recipes(lock: Lock) -> tuple[Recipe, ...]:
    """How each package of a lock that is built from source is built. Raises ``WheelError`` for an unsound lock."""
    by_name = {package.name: package for package in lock.packages}
    found = []
    for build in lock.builds:
        package = by_name.get(build.package)
        if package is None or len(package.artefacts) != 1:
            raise WheelError(f"the lock builds {build.package} from source, and names no single archive of it")
        source = SourceArchive(package.name, package.version, package.artefacts[0])
        found.append(Recipe(source, Lock(Ecosystem.PYPI, lock.target, build.requirements)))
    return tuple(found)
