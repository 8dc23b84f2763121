"""What a source tree says about its build: the ``[build-system]`` table (PEP 517, PEP 518), read as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skillyard.sandbox.builds.archive import checked_path, refused
from skillyard.skills.errors import SkillError
from skillyard.skills.requirement import python_package
from skillyard.skills.skill import DeclaredPackage, Origin
from skillyard.skills.toml import loads_toml

_MAX_TEXT = 1024 * 1024
_MAX_REQUIREMENTS = 64
_BACKEND = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*(:[A-Za-z_][A-Za-z0-9_.]*)?")

_LEGACY = "setuptools.build_meta:__legacy__"
_LEGACY_REQUIRES = ("setuptools>=40.8.0",)
"""What PEP 517 and PEP 518 prescribe for a tree that says nothing."""


@dataclass(frozen=True, slots=True)
class BuildSystem:
    """``requires`` are PEP 508 texts as written; ``backend_path`` is below the source tree."""

    requires: tuple[str, ...]
    backend: str
    backend_path: tuple[str, ...]


def read_build_system(folder: Path) -> BuildSystem:
    """The build system of an unpacked source tree. Raises ``BuildError`` with the failure ``ARCHIVE``. Blocks."""
    file = folder / "pyproject.toml"
    if not file.is_file():
        if not (folder / "setup.py").is_file():
            raise refused("the archive holds neither pyproject.toml nor setup.py")
        return BuildSystem(_LEGACY_REQUIRES, _LEGACY, ())
    if file.stat().st_size > _MAX_TEXT:
        raise refused("its pyproject.toml is too large")
    try:
        document = loads_toml(file.read_text(encoding="utf-8"), file="pyproject.toml")
    except UnicodeDecodeError as error:
        raise refused(f"its pyproject.toml is not TOML: {error}") from error
    except SkillError as error:
        raise refused(f"its pyproject.toml is {error.message}") from error
    table = document.get("build-system")
    if table is None:
        return BuildSystem(_LEGACY_REQUIRES, _LEGACY, ())
    return _read_table(table)


def declared_requirements(texts: tuple[str, ...], file: str) -> tuple[DeclaredPackage, ...]:
    """Build requirements, checked like a skill's own: by name and version from the index, nothing else.

    Raises ``RequirementError`` that names ``file``, the archive.
    """
    if len(texts) > _MAX_REQUIREMENTS:
        raise refused(f"{file} asks for more than {_MAX_REQUIREMENTS} packages to be built with")
    return tuple(python_package(text, Origin(file, None, "build-system.requires")) for text in texts)


def _read_table(table: object) -> BuildSystem:
    if not isinstance(table, Mapping) or "requires" not in table:
        raise refused("the build-system table of its pyproject.toml lacks 'requires'")
    backend = table.get("build-backend", _LEGACY)
    if not isinstance(backend, str) or not _BACKEND.fullmatch(backend):
        raise refused("the build-backend of its pyproject.toml is no name of an object")
    paths = _texts(table, "backend-path")
    return BuildSystem(_texts(table, "requires"), backend, tuple(checked_path(path) for path in paths))


def _texts(table: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise refused(f"the {key} of its pyproject.toml is no list of texts")
    return tuple(value)
