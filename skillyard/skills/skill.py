"""The value that parsing a skill's folder gives, and every later stage reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from skillyard.ids import BundleDigest
from skillyard.skills.permissions import Requested


class Ecosystem(StrEnum):
    """Package ecosystems, by the names OSV uses in lower case."""

    PYPI = "pypi"
    NPM = "npm"


class SkillKind(StrEnum):
    """Follows from content: no code, Python code (or packages), Node code (or packages)."""

    INSTRUCTIONS = "instructions"
    PYTHON = "python"
    NODE = "node"


class EntryKind(StrEnum):
    """``function`` is ``file:callable`` (JSON in and out); ``script`` is a file run with argv, stdin and files."""

    FUNCTION = "function"
    SCRIPT = "script"


class ParseMode(StrEnum):
    """``strict`` takes only the open specification; ``lenient`` warns and goes on where the meaning is clear."""

    STRICT = "strict"
    LENIENT = "lenient"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that can be called. ``path`` is relative to the folder, with forward slashes."""

    kind: EntryKind
    path: str
    function: str | None = None

    def __str__(self) -> str:
        return f"{self.path}:{self.function}" if self.function else self.path


@dataclass(frozen=True, slots=True)
class Origin:
    """Where in the skill something was declared."""

    file: str
    line: int | None
    field: str | None


@dataclass(frozen=True, slots=True)
class DeclaredPackage:
    """One requirement as declared. ``requirement`` is PEP 508 text for PyPI and ``name@range`` for npm."""

    ecosystem: Ecosystem
    name: str
    """Canonical name (PEP 503 for PyPI; npm names are kept as they are, scope included)."""
    requirement: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Note:
    """A warning of the lenient mode, or a difference that normalising would make."""

    code: str
    message: str
    file: str
    line: int | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True)
class BundleFile:
    path: str
    sha256: str
    size: int
    executable: bool


@dataclass(frozen=True, slots=True)
class Bundle:
    """The folder's content: files sorted by path, and the digest of the deterministic archive they make."""

    digest: BundleDigest
    files: tuple[BundleFile, ...]
    size: int
    """Sum of the files' sizes, bytes."""


@dataclass(frozen=True, slots=True)
class Skill:
    """A parsed skill: facts only, nothing executed to find them."""

    name: str
    description: str
    version: str
    """SemVer. Where the manifest gives none: ``0.0.0+`` and the first 12 hex digits of the bundle digest."""
    version_declared: bool
    kind: SkillKind
    license: str | None
    compatibility: str | None
    allowed_tools: tuple[str, ...]
    metadata: Mapping[str, str]
    declared: tuple[DeclaredPackage, ...]
    requested: Requested
    entries: tuple[Entry, ...]
    """Every callable entry; the first is the default. Empty for an instructions-only skill."""
    imports: tuple[str, ...]
    """Dotted modules that the skill's Python files import and that are neither standard library nor the skill's own."""
    input_schema: str | None
    """JSON Schema text for the default entry's input, where the skill ships one or its type hints give one."""
    notes: tuple[Note, ...]
    bundle: Bundle
