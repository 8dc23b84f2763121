"""Version order by ecosystem: PEP 440 for PyPI, SemVer 2.0 with npm's partial versions for npm."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Protocol, assert_never

from packaging.utils import canonicalize_name, canonicalize_version
from packaging.version import InvalidVersion, Version
from semver import Version as SemVer

from skillyard.errors import InputError
from skillyard.skills.skill import Ecosystem

_PARTIAL = re.compile(r"(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?")
_WILDCARDS = frozenset("xX*")


class UnorderableVersionError(InputError):
    """A version that its ecosystem's order does not know, so that nothing can be said about it."""

    code = "unorderable_version"


class VersionKey(Protocol):
    """Something that sorts as versions of one ecosystem do. Keys of two ecosystems do not compare."""

    def __lt__(self, other: Any, /) -> bool: ...
    def __le__(self, other: Any, /) -> bool: ...


@lru_cache(maxsize=65536)
def canonical_name(ecosystem: Ecosystem, name: str) -> str:
    """PEP 503 for PyPI; npm names are kept as they are, because npm tells them apart by case."""
    return canonicalize_name(name) if ecosystem is Ecosystem.PYPI else name


@lru_cache(maxsize=65536)
def version_key(ecosystem: Ecosystem, version: str) -> VersionKey:
    """The sort key of a version. Raises ``UnorderableVersionError``."""
    match ecosystem:
        case Ecosystem.PYPI:
            return _pep440(version)
        case Ecosystem.NPM:
            return _semver(version)
        case _:
            assert_never(ecosystem)


@lru_cache(maxsize=65536)
def canonical_version(ecosystem: Ecosystem, version: str) -> str:
    """The one spelling of a version: ``1.0-RC.1`` → ``1.0rc1`` (PEP 440), ``v1.2`` → ``1.2.0`` (npm)."""
    return str(version_key(ecosystem, version))


@lru_cache(maxsize=65536)
def equal_form(ecosystem: Ecosystem, version: str) -> str:
    """A form that two versions share exactly when they are equal: PEP 440 has ``1.0`` equal ``1.0.0``."""
    canonical = canonical_version(ecosystem, version)
    return canonicalize_version(canonical) if ecosystem is Ecosystem.PYPI else canonical.partition("+")[0]


@lru_cache(maxsize=4096)
def public_version(ecosystem: Ecosystem, version: str) -> str:
    """A version without its local label (PEP 440) or build metadata (SemVer): ``1.0+cpu`` is a build of 1.0.

    Advisories speak of releases; PEP 440 has ``==1.0`` match ``1.0+cpu``, and SemVer's precedence ignores builds.
    """
    return canonical_version(ecosystem, version).partition("+")[0]


def npm_span(version: str) -> tuple[str, str] | None:
    """The half-open span of an npm partial version: ``2.0.x`` and ``2.0`` → (``2.0.0``, ``2.1.0``).

    ``None`` for a full version, for anything that is not an npm version, and for a bare ``*`` (see ``is_any``).
    """
    found = _PARTIAL.fullmatch(_without_prefix(version))
    parts = [] if found is None else [part for part in found.groups() if part is not None]
    numbers = _leading_numbers(parts)
    if not numbers or len(numbers) == 3:
        return None
    upper = [*numbers[:-1], numbers[-1] + 1]
    return _padded(numbers), _padded(upper)


def is_any(version: str) -> bool:
    """Whether a listed npm version stands for every version (``*``, ``x``)."""
    return version.strip() in _WILDCARDS


def _leading_numbers(parts: list[str]) -> list[int]:
    numbers: list[int] = []
    for part in parts:
        if part in _WILDCARDS:
            break
        numbers.append(int(part))
    return numbers


def _padded(numbers: list[int]) -> str:
    return ".".join(str(number) for number in [*numbers, 0, 0][:3])


def _without_prefix(version: str) -> str:
    return version.strip().lstrip("=v").strip()


def _pep440(version: str) -> Version:
    try:
        return Version(version)
    except InvalidVersion as error:
        raise UnorderableVersionError(f"{version!r} is not a PEP 440 version") from error


def _semver(version: str) -> SemVer:
    text = _without_prefix(version)
    span = npm_span(text)
    try:
        return SemVer.parse(span[0] if span else text)
    except ValueError as error:
        raise UnorderableVersionError(f"{version!r} is not a SemVer version") from error
