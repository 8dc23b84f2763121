"""Locks as standard ``pylock.toml`` text (PEP 751, the "pylock.toml" specification of the packaging user guide).

The standard wants an address or a path for every wheel. A lock of ours holds no addresses, because they are a fact
about a mirror (and may carry credentials); it says ``path = "wheels/<file name>"``, beside the lock. Who asked for
whom is in the standard ``packages.dependencies``; what the standard has no place for is under ``tool.skillyard``.
A package that is built from source has the standard's ``sdist``, and what its build needs under
``tool.skillyard.build.packages``, written like the packages of the lock itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tomli_w
from packaging.pylock import Package, PackageSdist, Pylock, PylockValidationError
from packaging.utils import canonicalize_name

from skillyard.skills.errors import LockFormatError, SkillError
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, SourceBuild, Target
from skillyard.skills.skill import Ecosystem
from skillyard.skills.toml import loads_toml

_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_FILE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+!-]*\.whl$")
_SDIST_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+!-]*\.(tar\.gz|tgz|zip|tar\.bz2|tar\.xz)$")
_PYTHON = re.compile(r"^\d+\.\d+$")
_MAX_TEXT = 16 * 1024 * 1024


def write_pylock(lock: Lock) -> str:
    """The lock as ``pylock.toml``; the same lock gives the same text. Raises ``LockFormatError`` for npm locks."""
    if lock.ecosystem is not Ecosystem.PYPI:
        raise LockFormatError("pylock.toml holds Python packages only", field="tool.skillyard.ecosystem")
    machine = lock.target.platform.partition("-")[0]
    marker = f'python_version == "{lock.target.python}" and sys_platform == "linux" and platform_machine == "{machine}"'
    document = {
        "lock-version": "1.0",
        "environments": [marker],
        "requires-python": f"=={lock.target.python}.*",
        "created-by": "skillyard",
        "packages": [_package_table(lock.packages, package, lock.build_of(package.name)) for package in lock.packages],
        "tool": {
            "skillyard": {
                "ecosystem": lock.ecosystem.value,
                "python": lock.target.python,
                "platform": lock.target.platform,
                "digest": lock.digest,
            }
        },
    }
    return tomli_w.dumps(document)


def read_pylock(text: str, *, file: str = "pylock.toml") -> Lock:
    """A lock that ``write_pylock`` wrote. Raises ``LockFormatError`` naming the field.

    Strict: the standard's own rules, a sha256 for every file, either wheels or a source archive with its build, only
    packages that something asks for, and the digest must be that of the content.
    """
    document = _parse(text, file)
    pylock = _validated(document, file)
    ours = _table(document, ("tool", "skillyard"), file)
    target = Target(python=_text(ours, "python", file, _PYTHON), platform=_text(ours, "platform", file))
    if _text(ours, "ecosystem", file) != Ecosystem.PYPI.value:
        raise LockFormatError("must be pypi", file=file, field="tool.skillyard.ecosystem")
    packages, builds = _read_packages(pylock, file, "packages")
    lock = Lock(Ecosystem.PYPI, target, packages, builds)
    if _text(ours, "digest", file) != lock.digest:
        raise LockFormatError("is not the digest of the packages", file=file, field="tool.skillyard.digest")
    return lock


def read_wheels(text: str, *, file: str) -> Mapping[tuple[str, str], tuple[LockedArtefact, ...]]:
    """(canonical name, version) → wheels sorted by file name, of any tool's ``pylock.toml``.

    Source archives are left out; a package from a directory, an address or version control is refused.
    """
    pylock = _validated(_parse(text, file), file)
    found: dict[tuple[str, str], tuple[LockedArtefact, ...]] = {}
    for place, package in enumerate(pylock.packages):
        field = f"packages[{place}]"
        found[str(package.name), _version(package, field, file)] = _wheels(package, field, file)
    if len(found) != len(pylock.packages):
        raise LockFormatError("a package is listed twice", file=file, field="packages")
    return found


@dataclass(frozen=True, slots=True)
class ListedSource:
    """A package's source archive as an index lists it. ``url`` is where it can be had now, and no part of any lock."""

    artefact: LockedArtefact
    url: str = field(repr=False)


def read_sources(text: str, *, file: str) -> Mapping[tuple[str, str], ListedSource]:
    """(canonical name, version) → source archive, of any tool's ``pylock.toml``; packages without one are left out."""
    pylock = _validated(_parse(text, file), file)
    found: dict[tuple[str, str], ListedSource] = {}
    for place, package in enumerate(pylock.packages):
        if package.sdist is not None and package.sdist.url:
            where = f"packages[{place}]"
            artefact = _sdist(package.sdist, f"{where}.sdist", file)
            found[str(package.name), _version(package, where, file)] = ListedSource(artefact, package.sdist.url)
    return found


def render_tree(lock: Lock) -> str:
    """One line a package, children indented below who asks for them, in name order; ends with a line break.

    What was already shown with its children is marked ``(*)`` and not unfolded again, so a cycle ends too. An empty
    lock gives an empty text. A package that is built from source says so, with what its build needs.
    """
    shown: set[str] = set()
    lines: list[str] = []
    for package in lock.packages:
        if package.direct:
            lines += _branch(lock, package, shown, "", "")
    return "".join(f"{line}\n" for line in lines)


def _package_table(
    packages: Sequence[LockedPackage], package: LockedPackage, build: SourceBuild | None
) -> dict[str, Any]:
    dependencies = [{"name": other.name} for other in packages if package.name in other.required_by]
    table: dict[str, Any] = {"name": package.name, "version": package.version}
    if dependencies:
        table["dependencies"] = dependencies
    ours: dict[str, Any] = {"direct": package.direct}
    if build is None:
        table["wheels"] = [_file_table("wheels", artefact) for artefact in package.artefacts]
    else:
        (archive,) = package.artefacts
        table["sdist"] = _file_table("sdists", archive)
        needed = build.requirements
        ours["build"] = {"packages": [_package_table(needed, other, None) for other in needed]}
    return {**table, "tool": {"skillyard": ours}}


def _file_table(folder: str, artefact: LockedArtefact) -> dict[str, Any]:
    size = {} if artefact.size is None else {"size": artefact.size}
    path = f"{folder}/{artefact.filename}"
    return {"name": artefact.filename, "path": path, **size, "hashes": {"sha256": artefact.sha256}}


def _parse(text: str, file: str) -> Mapping[str, Any]:
    if len(text) > _MAX_TEXT:
        raise LockFormatError(f"is longer than {_MAX_TEXT} characters", file=file)
    try:
        return loads_toml(text, file=file)
    except SkillError as error:
        raise LockFormatError(error.message, file=file, line=error.line) from error


def _validated(document: Mapping[str, Any], file: str) -> Pylock:
    try:
        return Pylock.from_dict(document)
    except PylockValidationError as error:
        raise LockFormatError(error.message, file=file, field=error.context) from error


def _table(document: Mapping[str, Any], path: tuple[str, ...], file: str) -> Mapping[str, Any]:
    found: object = document
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        raise LockFormatError("is missing", file=file, field=".".join(path))
    return found


def _text(table: Mapping[str, Any], key: str, file: str, pattern: re.Pattern[str] | None = None) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value or (pattern and not pattern.match(value)):
        raise LockFormatError("is missing or has the wrong form", file=file, field=f"tool.skillyard.{key}")
    return value


def _version(package: Package, field: str, file: str) -> str:
    if package.version is None:
        raise LockFormatError("a package needs an exact version", file=file, field=f"{field}.version")
    return str(package.version)


def _wheels(package: Package, field: str, file: str) -> tuple[LockedArtefact, ...]:
    if package.vcs or package.directory or package.archive:
        raise LockFormatError("only wheels of an index are allowed", file=file, field=field)
    return tuple(sorted(_artefacts(package, field, file), key=lambda artefact: artefact.filename))


def _artefacts(package: Package, field: str, file: str) -> Iterator[LockedArtefact]:
    for place, wheel in enumerate(package.wheels or ()):
        where = f"{field}.wheels[{place}]"
        sha256 = wheel.hashes.get("sha256", "")
        if not _SHA256.match(sha256):
            raise LockFormatError("needs a sha256 of 64 hex digits", file=file, field=f"{where}.hashes.sha256")
        # The standard already checked that the name is a wheel's, for this package and version.
        if not _FILE_NAME.match(wheel.filename):
            raise LockFormatError("is no plain file name", file=file, field=f"{where}.name")
        yield LockedArtefact(wheel.filename, sha256, wheel.size)


def _sdist(sdist: PackageSdist, field: str, file: str) -> LockedArtefact:
    sha256 = sdist.hashes.get("sha256", "")
    if not _SHA256.match(sha256):
        raise LockFormatError("needs a sha256 of 64 hex digits", file=file, field=f"{field}.hashes.sha256")
    if not _SDIST_NAME.match(sdist.filename):
        raise LockFormatError("is no plain file name of a source archive", file=file, field=f"{field}.name")
    return LockedArtefact(sdist.filename, sha256, sdist.size)


def _read_packages(pylock: Pylock, file: str, where: str) -> tuple[tuple[LockedPackage, ...], tuple[SourceBuild, ...]]:
    askers = _askers(pylock, file, where)
    read = [_read_package(package, f"{where}[{n}]", askers, file) for n, package in enumerate(pylock.packages)]
    names = [package.name for package, _ in read]
    if names != sorted(set(names)):
        raise LockFormatError("packages must be sorted by name, each once", file=file, field=where)
    return tuple(package for package, _ in read), tuple(build for _, build in read if build is not None)


def _askers(pylock: Pylock, file: str, where: str) -> Mapping[str, tuple[str, ...]]:
    """Canonical name → the packages that list it as a dependency, sorted."""
    names = {str(package.name) for package in pylock.packages}
    askers: dict[str, set[str]] = {name: set() for name in names}
    for place, package in enumerate(pylock.packages):
        for number, dependency in enumerate(package.dependencies or ()):
            name = dependency.get("name")
            if not isinstance(name, str) or name not in names or set(dependency) != {"name"}:
                field = f"{where}[{place}].dependencies[{number}]"
                raise LockFormatError("must name a package of this lock, and nothing else", file=file, field=field)
            askers[name].add(str(package.name))
    return {name: tuple(sorted(found)) for name, found in askers.items()}


def _read_package(
    package: Package, field: str, askers: Mapping[str, tuple[str, ...]], file: str
) -> tuple[LockedPackage, SourceBuild | None]:
    ours = _table({"tool": package.tool}, ("tool", "skillyard"), file)
    direct = ours.get("direct")
    if not isinstance(direct, bool):
        raise LockFormatError("must be true or false", file=file, field=f"{field}.tool.skillyard.direct")
    if package.marker or package.index:
        raise LockFormatError("markers and index addresses are not allowed", file=file, field=field)
    name = str(package.name)
    artefacts = _wheels(package, field, file)
    build = None
    if package.sdist is not None:
        if artefacts:
            raise LockFormatError("has wheels, and is not built from source", file=file, field=f"{field}.sdist")
        artefacts = (_sdist(package.sdist, f"{field}.sdist", file),)
        build = _read_build(canonicalize_name(name), ours, field, file)
    elif "build" in ours:
        raise LockFormatError("is for a source archive", file=file, field=f"{field}.tool.skillyard.build")
    if not artefacts:
        raise LockFormatError("a package needs a wheel", file=file, field=f"{field}.wheels")
    if not direct and not askers[name]:
        raise LockFormatError(f"nothing asks for {name}", file=file, field=f"{field}.tool.skillyard.direct")
    locked = LockedPackage(canonicalize_name(name), _version(package, field, file), artefacts, askers[name], direct)
    return locked, build


def _read_build(name: str, ours: Mapping[str, Any], field: str, file: str) -> SourceBuild:
    """What a build needs is read by the rules of a lock of its own, but for builds: those have wheels only."""
    where = f"{field}.tool.skillyard.build"
    build = ours.get("build")
    if not isinstance(build, Mapping) or set(build) != {"packages"}:
        raise LockFormatError("a source archive needs its build's packages", file=file, field=where)
    document = {"lock-version": "1.0", "created-by": "skillyard", "packages": build["packages"]}
    packages, nested = _read_packages(_validated(document, file), file, f"{where}.packages")
    if nested:
        raise LockFormatError("builds use wheels only", file=file, field=f"{where}.packages")
    return SourceBuild(name, packages)


def _branch(lock: Lock, package: LockedPackage, shown: set[str], first: str, rest: str) -> Iterator[str]:
    label = f"{first}{package.name} {package.version}{_origin(lock, package)}"
    below = tuple(other for other in lock.packages if package.name in other.required_by)
    if package.name in shown and below:
        yield f"{label} (*)"
        return
    yield label
    shown.add(package.name)
    for child in below:
        last = child is below[-1]
        yield from _branch(lock, child, shown, rest + ("└── " if last else "├── "), rest + ("    " if last else "│   "))


def _origin(lock: Lock, package: LockedPackage) -> str:
    build = lock.build_of(package.name)
    if build is None:
        return ""
    needed = ", ".join(f"{one.name} {one.version}" for one in build.requirements)
    return f" (built from source with {needed})" if needed else " (built from source)"
