"""Locks as standard ``pylock.toml`` text (PEP 751, the "pylock.toml" specification of the packaging user guide).

The standard wants an address or a path for every wheel. A lock of ours holds no addresses, because they are a fact
about a mirror (and may carry credentials); it says ``path = "wheels/<file name>"``, beside the lock. Who asked for
whom is in the standard ``packages.dependencies``; what the standard has no place for is under ``tool.skillyard``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import tomli_w
from packaging.pylock import Package, Pylock, PylockValidationError
from packaging.utils import canonicalize_name

from skillyard.skills.errors import LockFormatError
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target
from skillyard.skills.skill import Ecosystem

_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_FILE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+!-]*\.whl$")
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
        "packages": [_package_table(lock, package) for package in lock.packages],
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

    Strict: the standard's own rules, a sha256 for every wheel, only wheels, only packages that something asks for,
    and the digest must be that of the content.
    """
    document = _parse(text, file)
    pylock = _validated(document, file)
    ours = _table(document, ("tool", "skillyard"), file)
    target = Target(python=_text(ours, "python", file, _PYTHON), platform=_text(ours, "platform", file))
    if _text(ours, "ecosystem", file) != Ecosystem.PYPI.value:
        raise LockFormatError("must be pypi", file=file, field="tool.skillyard.ecosystem")
    askers = _askers(pylock, file)
    packages = tuple(_read_package(package, place, askers, file) for place, package in enumerate(pylock.packages))
    names = [package.name for package in packages]
    if names != sorted(set(names)):
        raise LockFormatError("packages must be sorted by name, each once", file=file, field="packages")
    lock = Lock(Ecosystem.PYPI, target, packages)
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


def render_tree(lock: Lock) -> str:
    """One line a package, children indented below who asks for them, in name order; ends with a line break.

    What was already shown with its children is marked ``(*)`` and not unfolded again, so a cycle ends too. An empty
    lock gives an empty text.
    """
    children = {
        package.name: tuple(other for other in lock.packages if package.name in other.required_by)
        for package in lock.packages
    }
    shown: set[str] = set()
    lines: list[str] = []
    for package in lock.packages:
        if package.direct:
            lines += _branch(package, children, shown, "", "")
    return "".join(f"{line}\n" for line in lines)


def _package_table(lock: Lock, package: LockedPackage) -> dict[str, Any]:
    dependencies = [{"name": other.name} for other in lock.packages if package.name in other.required_by]
    wheels = [_wheel_table(artefact) for artefact in package.artefacts]
    table: dict[str, Any] = {"name": package.name, "version": package.version}
    if dependencies:
        table["dependencies"] = dependencies
    return {**table, "wheels": wheels, "tool": {"skillyard": {"direct": package.direct}}}


def _wheel_table(artefact: LockedArtefact) -> dict[str, Any]:
    size = {} if artefact.size is None else {"size": artefact.size}
    path = f"wheels/{artefact.filename}"
    return {"name": artefact.filename, "path": path, **size, "hashes": {"sha256": artefact.sha256}}


def _parse(text: str, file: str) -> Mapping[str, Any]:
    if len(text) > _MAX_TEXT:
        raise LockFormatError(f"is longer than {_MAX_TEXT} characters", file=file)
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise LockFormatError(f"is not TOML: {error}", file=file) from error


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


def _askers(pylock: Pylock, file: str) -> Mapping[str, tuple[str, ...]]:
    """Canonical name → the packages that list it as a dependency, sorted."""
    names = {str(package.name) for package in pylock.packages}
    askers: dict[str, set[str]] = {name: set() for name in names}
    for place, package in enumerate(pylock.packages):
        for number, dependency in enumerate(package.dependencies or ()):
            name = dependency.get("name")
            if not isinstance(name, str) or name not in names or set(dependency) != {"name"}:
                field = f"packages[{place}].dependencies[{number}]"
                raise LockFormatError("must name a package of this lock, and nothing else", file=file, field=field)
            askers[name].add(str(package.name))
    return {name: tuple(sorted(found)) for name, found in askers.items()}


def _read_package(package: Package, place: int, askers: Mapping[str, tuple[str, ...]], file: str) -> LockedPackage:
    field = f"packages[{place}]"
    direct = _table({"tool": package.tool}, ("tool", "skillyard"), file).get("direct")
    if not isinstance(direct, bool):
        raise LockFormatError("must be true or false", file=file, field=f"{field}.tool.skillyard.direct")
    if package.sdist:
        raise LockFormatError("source archives are not allowed", file=file, field=f"{field}.sdist")
    if package.marker or package.index:
        raise LockFormatError("markers and index addresses are not allowed", file=file, field=field)
    artefacts = _wheels(package, field, file)
    if not artefacts:
        raise LockFormatError("a package needs a wheel", file=file, field=f"{field}.wheels")
    name = str(package.name)
    if not direct and not askers[name]:
        raise LockFormatError(f"nothing asks for {name}", file=file, field=f"{field}.tool.skillyard.direct")
    return LockedPackage(canonicalize_name(name), _version(package, field, file), artefacts, askers[name], direct)


def _branch(
    package: LockedPackage,
    children: Mapping[str, tuple[LockedPackage, ...]],
    shown: set[str],
    first: str,
    rest: str,
) -> Iterator[str]:
    label = f"{first}{package.name} {package.version}"
    below = children[package.name]
    if package.name in shown and below:
        yield f"{label} (*)"
        return
    yield label
    shown.add(package.name)
    for child in below:
        last = child is below[-1]
        yield from _branch(
            child, children, shown, rest + ("└── " if last else "├── "), rest + ("    " if last else "│   ")
        )
