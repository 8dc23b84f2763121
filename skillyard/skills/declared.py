"""The packages a skill declares, from every place where it may declare them, each entry with where it was said.

The places are the manifest's ``metadata`` keys ``skillyard.python`` and ``skillyard.npm``; the top-level fields
``packages`` and ``node_packages``; ``metadata.openclaw`` (OpenClaw's ``dependencies`` and ``install``); and files of
the bundle (see ``declared_files``). Entries are merged, not replaced: one package may be asked for in several places,
and the resolver has to satisfy all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from skillyard.skills.declared_files import packages_in_files
from skillyard.skills.errors import RequirementError, SkillError
from skillyard.skills.frontmatter import FILE, Fields, Items, Node, Text
from skillyard.skills.manifest import Manifest
from skillyard.skills.requirement import MAX_PACKAGES, npm_requirement, python_package
from skillyard.skills.skill import Bundle, DeclaredPackage, Ecosystem, Origin
from skillyard.skills.tolerance import Tolerance

_FIELDS = {Ecosystem.PYPI: "packages", Ecosystem.NPM: "node_packages"}
_KEYS = {Ecosystem.PYPI: "skillyard.python", Ecosystem.NPM: "skillyard.npm"}
_OPENCLAW_KINDS = {
    "pip": Ecosystem.PYPI,
    "pypi": Ecosystem.PYPI,
    "python": Ecosystem.PYPI,
    "uv": Ecosystem.PYPI,
    "npm": Ecosystem.NPM,
    "node": Ecosystem.NPM,
}
_NPM_RANGE_WORD = re.compile(r"\|\||-|[<>=~^]+|[<>=~^]*v?[0-9xX*]+(\.[0-9xX*]+){0,2}([-+].*)?")
_NPM_OPERATOR = re.compile(r"(^|@)(\|\||-|[<>=~^]+)$")
_MANAGERS = {"pip", "uv", "npm", "pnpm", "yarn", "bun"}


def declared_packages(
    folder: Path, bundle: Bundle, manifest: Manifest, tolerance: Tolerance
) -> tuple[DeclaredPackage, ...]:
    """Every entry, in the order of the places; exact repetitions at one place are dropped.

    Raises ``RequirementError`` for an entry that is refused, naming file, line and field.
    """
    found: dict[DeclaredPackage, None] = {}
    for package in _all(folder, bundle, manifest, tolerance):
        found[package] = None
        if len(found) > MAX_PACKAGES:
            raise RequirementError(f"more than {MAX_PACKAGES} packages are declared", file=package.origin.file)
    return tuple(found)


def packages_in_manifest(manifest: Manifest, tolerance: Tolerance) -> Iterator[DeclaredPackage]:
    """The entries of ``SKILL.md`` itself."""
    for ecosystem in Ecosystem:
        text = manifest.metadata.get(_KEYS[ecosystem])
        if text is not None:
            yield from _in_text(text, ecosystem, f"metadata.{_KEYS[ecosystem]}")
    for ecosystem in Ecosystem:
        node = manifest.extensions.get(_FIELDS[ecosystem])
        if node is not None:
            yield from _in_list(node, ecosystem, _FIELDS[ecosystem])
    _check_manager(manifest, tolerance)
    openclaw = manifest.nested.get("openclaw")
    if openclaw is not None:
        yield from _in_openclaw(openclaw, tolerance)


def package(ecosystem: Ecosystem, text: str, origin: Origin) -> DeclaredPackage:
    """One requirement of either ecosystem."""
    return python_package(text, origin) if ecosystem is Ecosystem.PYPI else npm_requirement(text, origin)


def _all(folder: Path, bundle: Bundle, manifest: Manifest, tolerance: Tolerance) -> Iterator[DeclaredPackage]:
    yield from packages_in_manifest(manifest, tolerance)
    yield from packages_in_files(folder, bundle, tolerance)


def _in_text(text: Text, ecosystem: Ecosystem, field: str) -> Iterator[DeclaredPackage]:
    """Entries separated by white space; a line with a semicolon is one entry, because markers contain spaces."""
    origin = Origin(FILE, text.line, field)
    for line in text.value.splitlines():
        parts = _split_npm(line) if ecosystem is Ecosystem.NPM else [line] if ";" in line else line.split()
        for part in parts:
            yield package(ecosystem, part, origin)


def _split_npm(line: str) -> list[str]:
    """npm ranges contain spaces (``a@>=1 <2 b@^1 || ^2``): a word that can only go on with a range does so."""
    parts: list[str] = []
    after_operator = False
    for word in line.split():
        if parts and (after_operator or _NPM_RANGE_WORD.fullmatch(word)):
            parts[-1] += f" {word}"
        else:
            parts.append(word)
        after_operator = bool(_NPM_OPERATOR.search(word))
    return parts


def _in_list(node: Node, ecosystem: Ecosystem, field: str) -> Iterator[DeclaredPackage]:
    if isinstance(node, Text):
        yield from _in_text(node, ecosystem, field)
        return
    if not isinstance(node, Items):
        raise SkillError("must be a list of requirements", file=FILE, line=node.line, field=field)
    for index, item in enumerate(node.items):
        place = f"{field}[{index}]"
        if not isinstance(item, Text):
            raise SkillError("must be text, for example pandas>=2", file=FILE, line=item.line, field=place)
        yield package(ecosystem, item.value, Origin(FILE, item.line, place))


def _check_manager(manifest: Manifest, tolerance: Tolerance) -> None:
    node = manifest.extensions.get("package_manager")
    if node is None:
        return
    if not isinstance(node, Text) or node.value not in _MANAGERS:
        known = ", ".join(sorted(_MANAGERS))
        raise SkillError(f"must be one of {known}", file=FILE, line=node.line, field="package_manager")
    if node.value not in {"uv", "npm"}:
        message = f"packages are resolved with uv and npm, not with {node.value}"
        tolerance.remark("package_manager", message, file=FILE, line=node.line, field="package_manager")


def _in_openclaw(node: Node, tolerance: Tolerance) -> Iterator[DeclaredPackage]:
    if not isinstance(node, Fields):
        return
    for list_name, kind_name, package_name in (("dependencies", "type", "name"), ("install", "kind", "package")):
        items = node.fields.get(list_name)
        if items is None:
            continue
        field = f"metadata.openclaw.{list_name}"
        if not isinstance(items, Items):
            raise SkillError("must be a list", file=FILE, line=items.line, field=field)
        for index, item in enumerate(items.items):
            yield from _openclaw_item(item, kind_name, package_name, f"{field}[{index}]", tolerance)


def _openclaw_item(
    item: Node, kind_name: str, package_name: str, field: str, tolerance: Tolerance
) -> Iterator[DeclaredPackage]:
    if not isinstance(item, Fields):
        raise SkillError("must be a mapping", file=FILE, line=item.line, field=field)
    kind = _required_text(item, kind_name, field)
    ecosystem = _OPENCLAW_KINDS.get(kind.value.lower())
    if ecosystem is None:
        message = f"{kind.value!r} packages are not provided to the skill"
        tolerance.remark("unsupported_kind", message, file=FILE, line=item.line, field=field)
        return
    names = _required_text(item, package_name, field)
    version = item.fields.get("version")
    for name in names.value.split():
        text = _with_version(name, version, ecosystem)
        yield package(ecosystem, text, Origin(FILE, names.line, f"{field}.{package_name}"))


def _required_text(item: Fields, name: str, field: str) -> Text:
    node = item.fields.get(name)
    if not isinstance(node, Text) or not node.value.strip():
        raise SkillError("is missing or not text", file=FILE, line=item.line, field=f"{field}.{name}")
    return node


def _with_version(name: str, version: Node | None, ecosystem: Ecosystem) -> str:
    """A bare version means exactly that version; anything else is a specifier already."""
    if not isinstance(version, Text) or version.value.strip() in {"", "*", "latest"}:
        return name
    wanted = version.value.strip()
    if ecosystem is Ecosystem.NPM:
        return f"{name}@{wanted}"
    return f"{name}=={wanted}" if re.match(r"v?\d", wanted) else f"{name}{wanted}"
