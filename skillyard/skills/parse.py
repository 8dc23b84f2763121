"""From a folder to a ``Skill``: facts only, found by reading; nothing of the skill is executed or imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from skillyard.skills.bundle import make_bundle
from skillyard.skills.declared import declared_packages
from skillyard.skills.entries import (
    check_function,
    is_node,
    is_other_code,
    is_python,
    named_entries,
    script_entries,
)
from skillyard.skills.errors import BundleTooLargeError, SkillError
from skillyard.skills.frontmatter import FILE, Text
from skillyard.skills.imports import MAX_ALL_PYTHON_BYTES, MAX_PYTHON_BYTES, foreign_imports, parsed
from skillyard.skills.manifest import Manifest, read_manifest
from skillyard.skills.request import read_requested, read_version
from skillyard.skills.schema import hinted_schema, shipped_schema
from skillyard.skills.skill import Bundle, DeclaredPackage, Ecosystem, Entry, EntryKind, ParseMode, Skill, SkillKind
from skillyard.skills.tolerance import Tolerance

UNREAD_PYTHON = "unread_python"
"""Code of the note that a Python file is too large to be parsed, so that what it imports is not known."""


@dataclass(frozen=True, slots=True)
class _Code:
    """What Python files say: their imports, and the schema by the hints of the default entry's function."""

    imports: frozenset[str] = frozenset()
    schema: str | None = None


def parse_skill(folder: Path, mode: ParseMode = ParseMode.LENIENT) -> Skill:
    """Parse a folder. Blocks on disk: call it in a thread.

    Raises ``SkillError`` or one of its kin (``RequirementError``, ``BundleTooLargeError``, ``UnsafePathError``), each
    with file, line and field where there is one.
    """
    tolerance = Tolerance(mode)
    bundle = make_bundle(folder)
    manifest = read_manifest(folder, tolerance)
    declared = declared_packages(folder, bundle, manifest, tolerance)
    named = named_entries(manifest.metadata, bundle)
    kind = _kind(bundle, declared, named, tolerance)
    entries = tuple(dict.fromkeys(named + script_entries(kind, bundle)))
    code = _read_code(folder, bundle, manifest, tolerance, named=named, entries=entries)
    schema = shipped_schema(folder, bundle, entries[0]) if entries else None
    version = _version(manifest, tolerance)
    return Skill(
        name=manifest.name,
        description=manifest.description,
        version=version or f"0.0.0+{bundle.digest.removeprefix('sha256:')[:12]}",
        version_declared=version is not None,
        kind=kind,
        license=manifest.license,
        compatibility=manifest.compatibility,
        allowed_tools=manifest.allowed_tools,
        metadata=manifest.flat_metadata,
        declared=declared,
        requested=read_requested(manifest.metadata, tolerance),
        entries=entries,
        imports=tuple(sorted(code.imports)),
        input_schema=code.schema if schema is None else schema,
        notes=tolerance.notes,
        bundle=bundle,
    )


def _version(manifest: Manifest, tolerance: Tolerance) -> str | None:
    """The declared version; ``None`` where there is none. Said twice, it must be the same."""
    found: dict[str, Text] = {}
    for field, node in (
        ("metadata.version", manifest.metadata.get("version")),
        ("version", manifest.extensions.get("version")),
    ):
        if node is not None:
            if not isinstance(node, Text):
                raise SkillError("must be text", file=FILE, line=node.line, field=field)
            text = Text(read_version(node, field, tolerance), node.line)
            found.setdefault(text.value, text)
    if len(found) > 1:
        line = max(text.line for text in found.values())
        raise SkillError(f"two versions: {' and '.join(found)}", file=FILE, line=line, field="version")
    return next(iter(found), None)


def _kind(
    bundle: Bundle, declared: tuple[DeclaredPackage, ...], named: tuple[Entry, ...], tolerance: Tolerance
) -> SkillKind:
    """Code or packages make a skill Python or Node; where it has both, the default entry decides, then Python."""
    paths = [file.path for file in bundle.files]
    python = any(is_python(path) for path in paths) or any(p.ecosystem is Ecosystem.PYPI for p in declared)
    node = any(is_node(path) for path in paths) or any(p.ecosystem is Ecosystem.NPM for p in declared)
    other = [file.path for file in bundle.files if is_other_code(file.path, executable=file.executable)]
    if other:
        tolerance.remark("other_code", "is a program that no entry can run", file=other[0])
    if python and node:
        node = bool(named) and is_node(named[0].path)
        chosen = "Node" if node else "Python"
        tolerance.remark("two_kinds", f"has code or packages of Python and of Node; runs as {chosen}", file=FILE)
        return SkillKind.NODE if node else SkillKind.PYTHON
    if node:
        return SkillKind.NODE
    return SkillKind.PYTHON if python or other else SkillKind.INSTRUCTIONS


def _read_code(
    folder: Path,
    bundle: Bundle,
    manifest: Manifest,
    tolerance: Tolerance,
    *,
    named: tuple[Entry, ...],
    entries: tuple[Entry, ...],
) -> _Code:
    """Python files, one after the other, the named entries first.

    One that does not parse or is too large is noted, unless it is a named entry or mode is strict.
    """
    needed = {entry.path for entry in named}
    imports: set[str] = set()
    schema = None
    left = MAX_ALL_PYTHON_BYTES
    for file in sorted(bundle.files, key=lambda file: file.path not in needed):
        if not is_python(file.path):
            continue
        try:
            cost = 0 if file.size > MAX_PYTHON_BYTES else file.size
            if cost > left:
                message = f"is not analysed: Python is, up to {MAX_ALL_PYTHON_BYTES // 1024} KiB of a skill"
                raise BundleTooLargeError(message, file=file.path)
            left -= cost
            found = _code_of(folder, bundle, file.path, entries, manifest)
        except SkillError as error:
            if file.path in needed:
                raise
            code = UNREAD_PYTHON if isinstance(error, BundleTooLargeError) else "unreadable_python"
            tolerance.tolerate(code, error.message, file=file.path, line=error.line)
            continue
        imports |= found.imports
        schema = schema if found.schema is None else found.schema
    return _Code(frozenset(imports), schema)


def _code_of(folder: Path, bundle: Bundle, path: str, entries: tuple[Entry, ...], manifest: Manifest) -> _Code:
    """Raises ``SkillError`` also where an entry names a function that the file does not have."""
    with parsed(folder, path) as module:
        for entry in entries:
            if entry.path == path and entry.kind is EntryKind.FUNCTION:
                check_function(entry, module, manifest.metadata["skillyard.entry"])
        schema = hinted_schema(entries[0], module) if entries and entries[0].path == path else None
        return _Code(foreign_imports(bundle, path, module), schema)
