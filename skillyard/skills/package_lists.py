"""Lists of packages that other tools write, as locks: ``pylock.toml``, ``package-lock.json``, hashed requirements.

What is read here is looked up, never installed from: a list names no file that we would fetch, so a package may have no
hash. Whatever cannot be read as exact versions is refused; a list that is read in part would hide packages.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

import orjson
from packaging.pylock import Package, Pylock, PylockValidationError
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from skillyard.skills.errors import LockFormatError, SkillError
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target
from skillyard.skills.skill import DeclaredPackage, Ecosystem
from skillyard.skills.toml import loads_toml

MAX_TEXT: Final = 16 * 1024 * 1024
MAX_PACKAGES: Final = 20_000

_SHA256 = re.compile(r"[0-9a-f]{64}")
_HASH = re.compile(r"\s--hash=sha256:([0-9a-f]{64})")
_INSTALLED = "node_modules/"


def lock_of_pylock(text: str, target: Target, *, file: str) -> Lock:
    """Every package of any tool's ``pylock.toml`` (PEP 751), whatever its markers say. Raises ``LockFormatError``."""
    if len(text) > MAX_TEXT:
        raise LockFormatError(f"is longer than {MAX_TEXT} characters", file=file)
    try:
        pylock = Pylock.from_dict(loads_toml(text, file=file))
    except SkillError as error:
        raise LockFormatError(error.message, file=file, line=error.line) from error
    except PylockValidationError as error:
        raise LockFormatError(error.message, file=file, field=error.context) from error
    found = [_of_pylock(package, f"packages[{place}]", file) for place, package in enumerate(pylock.packages)]
    return _lock(Ecosystem.PYPI, target, found, file)


def lock_of_package_lock(text: str, target: Target, *, file: str) -> Lock:
    """Every package of npm's ``package-lock.json`` of version 2 or 3, optional and development ones too.

    Raises ``LockFormatError``, also for one of version 1, which npm 7 and later replace.
    """
    if len(text) > MAX_TEXT:
        raise LockFormatError(f"is longer than {MAX_TEXT} characters", file=file)
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise LockFormatError(f"is not JSON: {error.msg}", file=file, line=error.lineno) from error
    packages = document.get("packages") if isinstance(document, dict) else None
    if not isinstance(packages, dict):
        raise LockFormatError("is missing; this is no lock of npm 7 or later", file=file, field="packages")
    direct = _direct(packages.get(""))
    return _lock(Ecosystem.NPM, target, list(_of_npm(packages, direct, file)), file)


def pinned(declared: Iterable[DeclaredPackage], target: Target) -> Lock:
    """A lock of those Python requirements that name exact versions."""
    found = (_pin(package) for package in declared if package.ecosystem is Ecosystem.PYPI)
    return _lock(Ecosystem.PYPI, target, [one for one in found if one is not None], "requirements")


def is_closure(lock: Lock, declared: Collection[DeclaredPackage]) -> bool:
    """Whether pins are the whole closure: all of them have hashes, and installers that check hashes refuse a list which
    lacks a package."""
    pins = {package.name for package in lock.packages if package.artefacts}
    return bool(declared) and all(one.ecosystem is Ecosystem.PYPI and one.name in pins for one in declared)


def _pin(package: DeclaredPackage) -> LockedPackage | None:
    hashes = _HASH.findall(package.requirement)
    requirement = Requirement(_HASH.sub("", package.requirement))
    exact = [one for one in requirement.specifier if one.operator in ("==", "===") and not one.version.endswith(".*")]
    if len(exact) != 1 or len(list(requirement.specifier)) != 1:
        return None
    files = tuple(LockedArtefact("", one, None) for one in sorted(set(hashes)))
    return LockedPackage(package.name, exact[0].version, files, (), direct=True)


def _of_pylock(package: Package, field: str, file: str) -> LockedPackage:
    if package.version is None:
        raise LockFormatError("has no exact version, so that nothing can be looked up", file=file, field=field)
    listed = [*(package.wheels or ()), *([package.sdist] if package.sdist is not None else ())]
    hashes = ((one.filename, one.hashes.get("sha256", ""), one.size) for one in listed)
    files = tuple(LockedArtefact(*one) for one in sorted(hashes) if _SHA256.fullmatch(one[1]))
    return LockedPackage(canonicalize_name(package.name), str(package.version), files, (), direct=False)


def _of_npm(packages: Mapping[str, object], direct: frozenset[str], file: str) -> Iterator[LockedPackage]:
    for path, entry in packages.items():
        _, installed, name = path.rpartition(_INSTALLED)
        # What is not below node_modules is the project itself and its workspaces; a link leads to one of those.
        if not installed:
            continue
        if not isinstance(entry, dict):
            raise LockFormatError("must be an object", file=file, field=f"packages.{path}"[:200])
        if entry.get("link") is True:
            continue
        version, real = entry.get("version"), entry.get("name", name)
        if not isinstance(version, str) or not version or not isinstance(real, str) or not real:
            raise LockFormatError("has no exact version", file=file, field=f"packages.{path}"[:200])
        yield LockedPackage(real, version, (), (), direct=path == f"{_INSTALLED}{name}" and name in direct)


def _direct(root: object) -> frozenset[str]:
    if not isinstance(root, dict):
        return frozenset()
    tables = (root.get(field) for field in ("dependencies", "devDependencies", "optionalDependencies"))
    return frozenset(str(name) for table in tables if isinstance(table, dict) for name in table)


def _lock(ecosystem: Ecosystem, target: Target, found: list[LockedPackage], file: str) -> Lock:
    if len(found) > MAX_PACKAGES:
        raise LockFormatError(f"lists more than {MAX_PACKAGES} packages", file=file)
    unique = {(one.name, one.version): one for one in sorted(found, key=lambda one: not one.direct, reverse=True)}
    return Lock(ecosystem, target, tuple(unique[key] for key in sorted(unique)))
