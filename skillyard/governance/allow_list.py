"""An allow list from what Python's tools write anyway: pinned requirements, with or without hashes, or a lock.

One approval for each package, of exactly that version, and of exactly those files where the list has their hashes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from packaging.pylock import Package, Pylock, PylockValidationError
from packaging.requirements import Requirement

from skillyard.governance.check import WantedPackage, wanted_package
from skillyard.governance.decision import Maturity
from skillyard.governance.errors import RuleError
from skillyard.governance.rules import RuleDraft, draft_approval
from skillyard.skills.declared_files import requirements_txt
from skillyard.skills.errors import RequirementError, SkillError
from skillyard.skills.skill import DeclaredPackage, Ecosystem
from skillyard.skills.toml import loads_toml

MAX_BYTES = 4 * 1024 * 1024
MAX_PACKAGES = 10_000

_HASH = re.compile(r"\s--hash=sha256:([0-9a-f]{64})")


def read_allow_list(text: str, *, file: str) -> tuple[WantedPackage, ...]:
    """The exact versions that a list names. A ``pylock.toml`` (PEP 751) by its name, else pip's requirements.

    Raises ``RuleError`` naming the line for what is not one exact version, and for anything not fetched by name.
    """
    if len(text.encode()) > MAX_BYTES:
        raise RuleError(f"is larger than {MAX_BYTES // 1024 // 1024} MiB", file=file)
    listed = tuple(_of_lock(text, file) if _is_lock(file) else _of_requirements(text, file))
    if len(listed) > MAX_PACKAGES:
        raise RuleError(f"more than {MAX_PACKAGES} packages", file=file)
    if not listed:
        raise RuleError("names no package", file=file)
    return tuple(dict.fromkeys(listed))


def approvals_of(
    packages: Iterable[WantedPackage],
    *,
    min_maturity: Maturity | str,
    now: datetime,
    expires_at: datetime | None = None,
    reason: str | None = None,
) -> tuple[RuleDraft, ...]:
    """One approval a package. Raises ``RuleError`` naming the field."""
    return tuple(
        draft_approval(
            ecosystem=one.ecosystem,
            name=one.name,
            specifier=f"=={one.version}" if one.ecosystem is Ecosystem.PYPI else one.version,
            min_maturity=min_maturity,
            expires_at=expires_at,
            reason=reason,
            hashes=one.hashes,
            now=now,
        )
        for one in packages
    )


def _is_lock(file: str) -> bool:
    return file.endswith(".toml")


def _of_requirements(text: str, file: str) -> Iterator[WantedPackage]:
    try:
        for declared in requirements_txt(text, file):
            yield _pinned(declared, file)
    except RequirementError as error:
        raise RuleError(error.message, file=error.file, line=error.line) from error


def _pinned(declared: DeclaredPackage, file: str) -> WantedPackage:
    line, hashes = declared.origin.line, _HASH.findall(declared.requirement)
    wanted = Requirement(_HASH.sub("", declared.requirement))
    pins = [one.version for one in wanted.specifier if one.operator in ("==", "===")]
    if len(pins) != 1 or len(wanted.specifier) != 1:
        message = f"{wanted.name}: name one exact version, as in {wanted.name}==1.2.3"
        raise RuleError(message, file=file, line=line)
    return _listed(wanted.name, pins[0], hashes, file, line)


def _of_lock(text: str, file: str) -> Iterator[WantedPackage]:
    try:
        lock = Pylock.from_dict(loads_toml(text, file=file))
    except SkillError as error:
        raise RuleError(error.message, file=file, line=error.line) from error
    except PylockValidationError as error:
        raise RuleError(f"not a lock (PEP 751): {error}", file=file) from error
    for place, package in enumerate(lock.packages):
        yield _locked(package, f"packages[{place}]", file)


def _locked(package: Package, field: str, file: str) -> WantedPackage:
    if package.vcs or package.directory or package.archive or package.version is None:
        message = f"{package.name} comes from an address or a folder; only packages of an index can be approved"
        raise RuleError(message, file=file, field=field)
    files = [*(package.wheels or ()), *([package.sdist] if package.sdist else ())]
    hashes = [one.hashes.get("sha256") for one in files]
    if any(one is None for one in hashes):
        raise RuleError(f"a file of {package.name} has no sha256", file=file, field=field)
    return _listed(package.name, str(package.version), [one for one in hashes if one], file, None)


def _listed(name: str, version: str, hashes: Iterable[str], file: str, line: int | None) -> WantedPackage:
    try:
        return wanted_package(ecosystem=Ecosystem.PYPI, name=name, version=version, hashes=hashes)
    except RuleError as error:
        raise RuleError(f"{name}: {error.message}", file=file, line=line) from error
