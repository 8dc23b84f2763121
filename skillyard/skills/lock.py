"""The resolved closure of a skill's packages, as values. See ``pylock`` for the standard text form."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import orjson

from skillyard.ids import LockDigest
from skillyard.skills.errors import UnsoundLockError
from skillyard.skills.skill import Ecosystem

_PYTHON: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){1,2}")
_PLATFORM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*\.(whl|tar\.gz|tgz|zip|tar\.bz2|tar\.xz)")
_MOST_FILE_NAME: Final = 255
_PIN_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,213}[A-Za-z0-9])?")
_PIN_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,255}")
# Names of long ago have capitals and more signs than npm takes today; they are installed still.
_NPM_NAME: Final = re.compile(r"(@[A-Za-z0-9~!'()*_][A-Za-z0-9~!'()*._-]*/)?[A-Za-z0-9~!'()*_][A-Za-z0-9~!'()*._-]*")
_NPM_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,255}")
_MOST_NPM_NAME: Final = 214


@dataclass(frozen=True, slots=True)
class Target:
    """The interpreter and platform a lock is resolved for, in uv's words (``3.11``, ``x86_64-manylinux_2_28``)."""

    python: str
    platform: str


@dataclass(frozen=True, slots=True)
class LockedArtefact:
    """One file of a package on an index: a wheel, or a source archive. ``size`` in bytes where the index gives it.

    ``filename`` is empty where a list of pins gives the hash alone.
    """

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

    Whoever wrote it, every name, version, file name and hash is what it says: tools are handed them as text. Raises
    ``UnsoundLockError`` naming the field.
    """

    ecosystem: Ecosystem
    target: Target
    packages: tuple[LockedPackage, ...]
    builds: tuple[SourceBuild, ...] = ()

    def __post_init__(self) -> None:
        _check_target(self.target)
        for place, package in enumerate(self.packages):
            _check_package(self.ecosystem, package, f"packages[{place}]")
        for place, build in enumerate(self.builds):
            _check_name(self.ecosystem, build.package, f"builds[{place}].package")
            for number, package in enumerate(build.requirements):
                _check_package(self.ecosystem, package, f"builds[{place}].requirements[{number}]")

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


def exact_pin(name: str, version: str) -> str:
    """``name==version``, one line's worth of a requirements file. Raises ``UnsoundLockError`` for anything else, which
    an installer could read as an address, an option or a second line."""
    if not _PIN_NAME.fullmatch(name) or not _PIN_VERSION.fullmatch(version):
        raise UnsoundLockError(f"{f'{name}=={version}'[:200]!r} is not the name and the version of a package")
    return f"{name}=={version}"


def _check_target(target: Target) -> None:
    if not _PYTHON.fullmatch(target.python):
        raise UnsoundLockError(f"{target.python[:100]!r} is no version of Python", field="target.python")
    if not _PLATFORM.fullmatch(target.platform):
        raise UnsoundLockError(f"{target.platform[:100]!r} is no platform", field="target.platform")


def _check_package(ecosystem: Ecosystem, package: LockedPackage, field: str) -> None:
    _check_name(ecosystem, package.name, f"{field}.name")
    if not _VERSIONS[ecosystem](package.version):
        raise UnsoundLockError(
            f"{package.version[:100]!r} is no version of {ecosystem.value}", field=f"{field}.version"
        )
    for place, name in enumerate(package.required_by):
        _check_name(ecosystem, name, f"{field}.required_by[{place}]")
    for place, artefact in enumerate(package.artefacts):
        _check_artefact(artefact, f"{field}.artefacts[{place}]")


def _check_name(ecosystem: Ecosystem, name: str, field: str) -> None:
    if not _NAMES[ecosystem](name):
        raise UnsoundLockError(f"{name[:100]!r} is no name of a package of {ecosystem.value}", field=field)


def _check_artefact(artefact: LockedArtefact, field: str) -> None:
    if not _SHA256.fullmatch(artefact.sha256):
        raise UnsoundLockError("must be 64 hex digits", field=f"{field}.sha256")
    name = artefact.filename
    if name and (len(name) > _MOST_FILE_NAME or not _FILE_NAME.fullmatch(name)):
        raise UnsoundLockError(f"{name[:100]!r} is no plain file name of a package", field=f"{field}.filename")
    if artefact.size is not None and artefact.size < 0:
        raise UnsoundLockError("must not be negative", field=f"{field}.size")


def _is_python_name(name: str) -> bool:
    """By the "names and normalization" specification of the packaging user guide; rules cover every spelling of one."""
    return _PIN_NAME.fullmatch(name) is not None


def _is_python_version(version: str) -> bool:
    """One word. Whether it has an order (PEP 440) is for the rules, where one without counts as banned."""
    return _PIN_VERSION.fullmatch(version) is not None


def _is_npm_name(name: str) -> bool:
    return len(name) <= _MOST_NPM_NAME and _NPM_NAME.fullmatch(name) is not None


def _is_npm_version(version: str) -> bool:
    return _NPM_VERSION.fullmatch(version) is not None


_NAMES: Final = {Ecosystem.PYPI: _is_python_name, Ecosystem.NPM: _is_npm_name}
_VERSIONS: Final = {Ecosystem.PYPI: _is_python_version, Ecosystem.NPM: _is_npm_version}


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
