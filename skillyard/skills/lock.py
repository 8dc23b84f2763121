"""The resolved closure of a skill's packages, as values. See ``pylock`` for the standard text form."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import orjson

from skillyard.ids import LockDigest
from skillyard.skills.skill import Ecosystem


@dataclass(frozen=True, slots=True)
class Target:
    """The interpreter and platform a lock is resolved for, in uv's words (``3.11``, ``x86_64-manylinux_2_28``)."""

    python: str
    platform: str


@dataclass(frozen=True, slots=True)
class LockedArtefact:
    """One file of a package on an index: a wheel, or a source archive. ``size`` in bytes where the index gives it."""

    filename: str
    sha256: str
    size: int | None


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One exact version. ``direct`` is true where the skill itself declares it; ``required_by`` names the packages
    (canonical names) that ask for it, sorted."""

    name: str
    version: str
    artefacts: tuple[LockedArtefact, ...]
    required_by: tuple[str, ...]
    direct: bool


@dataclass(frozen=True, slots=True)
class SourceBuild:
    """How one package of a lock becomes a wheel: from its only artefact, a source archive.

    ``requirements`` is the whole closure of what its build needs, wheels only, sorted by name. It is there while the
    package is built and no part of the environment that skills get.
    """

    package: str
    """The package's canonical name; a lock has one version of it."""
    requirements: tuple[LockedPackage, ...]


@dataclass(frozen=True)
class Lock:
    """A closure of one ecosystem, packages sorted by name. No addresses, no credentials, no times.

    ``builds``, sorted by package, names the packages that are built from source; all others have wheels.
    """

    ecosystem: Ecosystem
    target: Target
    packages: tuple[LockedPackage, ...]
    builds: tuple[SourceBuild, ...] = ()

    @cached_property
    def digest(self) -> LockDigest:
        """Over ecosystem, target, and (name, version, sorted sha256) only: the same through any mirror.

        Builds count where there are any, so that locks without them keep the digest they always had.
        """
        facts: list[object] = [self.ecosystem.value, [self.target.python, self.target.platform], _facts(self.packages)]
        if self.builds:
            facts.append([[build.package, _facts(build.requirements)] for build in self.builds])
        return LockDigest("sha256:" + hashlib.sha256(orjson.dumps(facts)).hexdigest())

    @cached_property
    def all_packages(self) -> tuple[LockedPackage, ...]:
        """Every package whose code runs somewhere: ``packages``, then what only builds need, by name and version.

        One that is both is there once, with the artefacts of both.
        """
        found = {(one.name, one.version): one for one in self.packages}
        for one in sorted((one for build in self.builds for one in build.requirements), key=_name_and_version):
            known = found.setdefault((one.name, one.version), one)
            artefacts = {artefact.sha256: artefact for artefact in (*known.artefacts, *one.artefacts)}
            if len(artefacts) > len(known.artefacts):
                merged = tuple(sorted(artefacts.values(), key=lambda artefact: artefact.filename))
                found[one.name, one.version] = replace(known, artefacts=merged)
        return tuple(found.values())

    def build_of(self, package: str) -> SourceBuild | None:
        """How the package of that canonical name is built, if it is."""
        return next((build for build in self.builds if build.package == package), None)


def _facts(packages: Iterable[LockedPackage]) -> list[object]:
    return [[one.name, one.version, sorted(artefact.sha256 for artefact in one.artefacts)] for one in packages]


def _name_and_version(package: LockedPackage) -> tuple[str, str]:
    return package.name, package.version


def closure_digest(locks: Iterable[Lock]) -> LockDigest:
    """One digest for all locks of a skill version: a single lock's own, otherwise over the sorted digests.

    A report and an approval name it, so that neither can be used for another closure. No lock at all has a digest too.
    """
    digests = sorted(lock.digest for lock in locks)
    if len(digests) == 1:
        return digests[0]
    return LockDigest("sha256:" + hashlib.sha256(orjson.dumps(["closure", *digests])).hexdigest())
