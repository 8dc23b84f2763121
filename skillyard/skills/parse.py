"""From a folder to a ``Skill``: facts only, found by reading; nothing of the skill is executed or imported."""

from __future__ import annotations

import ast
from collections.abc import Mapping
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
from skillyard.skills.errors import SkillError
from skillyard.skills.frontmatter import FILE, Text
from skillyard.skills.imports import foreign_imports, read_module
from skillyard.skills.manifest import Manifest, read_manifest
from skillyard.skills.request import read_requested, read_version
from skillyard.skills.schema import input_schema
from skillyard.skills.skill import Bundle, DeclaredPackage, Ecosystem, Entry, EntryKind, ParseMode, Skill, SkillKind
from skillyard.skills.tolerance import Tolerance


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
    modules = _modules(folder, bundle, named, tolerance)
    for entry in named:
        if entry.kind is EntryKind.FUNCTION and is_python(entry.path):
            check_function(entry, modules[entry.path], manifest.metadata["skillyard.entry"])
    entries = tuple(dict.fromkeys(named + script_entries(kind, bundle)))
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
        imports=foreign_imports(bundle, modules.items()),
        input_schema=_schema(folder, bundle, entries, modules),
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


def _modules(folder: Path, bundle: Bundle, named: tuple[Entry, ...], tolerance: Tolerance) -> Mapping[str, ast.Module]:
    """Syntax trees of the Python files. One that does not parse is noted, unless it is an entry or mode is strict."""
    entries = {entry.path for entry in named}
    modules = {}
    for file in bundle.files:
        if not is_python(file.path):
            continue
        try:
            modules[file.path] = read_module(folder, file.path)
        except SkillError as error:
            if file.path in entries:
                raise
            tolerance.tolerate("unreadable_python", error.message, file=file.path, line=error.line)
    return modules


def _schema(folder: Path, bundle: Bundle, entries: tuple[Entry, ...], modules: Mapping[str, ast.Module]) -> str | None:
    if not entries:
        return None
    return input_schema(folder, bundle, entries[0], modules.get(entries[0].path))
