"""The strict ``SKILL.md`` that publishing writes: lenient fields rewritten into ``metadata``, every change shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from skillyard.skills.declared import packages_in_manifest
from skillyard.skills.errors import SkillError
from skillyard.skills.frontmatter import FILE, Fields, Node, Text, to_json
from skillyard.skills.manifest import MAX_COMPATIBILITY, MAX_DESCRIPTION, Manifest, read_manifest
from skillyard.skills.request import read_version
from skillyard.skills.skill import DeclaredPackage, Ecosystem, Note, ParseMode
from skillyard.skills.tolerance import Tolerance

_KEYS = {Ecosystem.PYPI: "skillyard.python", Ecosystem.NPM: "skillyard.npm"}


def normalise(folder: Path, *, version: str | None = None) -> tuple[str, tuple[Note, ...]]:
    """The text of the strict ``SKILL.md`` and the differences to the one there, which is not changed.

    With ``version`` (SemVer) it says this number, whatever was there.

    Raises ``SkillError`` for what cannot be made strict without the author: a description or compatibility that is too
    long, one metadata key with two values, and everything that lenient parsing refuses.
    """
    tolerance = Tolerance(ParseMode.LENIENT)
    manifest = read_manifest(folder, tolerance)
    _refuse_too_long(manifest.description, MAX_DESCRIPTION, "description")
    _refuse_too_long(manifest.compatibility or "", MAX_COMPATIBILITY, "compatibility")
    metadata = _Metadata(manifest)
    metadata.take_version(tolerance)
    metadata.take_packages(tuple(packages_in_manifest(manifest, tolerance)))
    metadata.take_rest()
    if version is not None:
        metadata.values["version"] = version
    fields: dict[str, object] = {"name": manifest.name, "description": manifest.description}
    if manifest.license:
        fields["license"] = manifest.license
    if manifest.compatibility:
        fields["compatibility"] = manifest.compatibility
    if metadata.values:
        fields["metadata"] = metadata.values
    if manifest.allowed_tools:
        fields["allowed-tools"] = " ".join(manifest.allowed_tools)
    text = yaml.dump(fields, Dumper=_TextDumper, sort_keys=False, allow_unicode=True, width=110)
    return f"---\n{text}---\n{manifest.body}", tuple(metadata.differences) + _renamings(tolerance)


class _TextDumper(yaml.SafeDumper):
    """Writes every text so that any YAML reader takes it for text: what could be a number or a boolean is quoted."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the base class fixes the signature
        """Never write anchors: the strict format has none."""
        return True


class _Metadata:
    """The metadata being written, and what is different about it."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self.values = {key: text.value for key, text in manifest.metadata.items()}
        self.differences: list[Note] = []

    def take_version(self, tolerance: Tolerance) -> None:
        for source, node in self._versions():
            version = read_version(node, source, tolerance)
            if source == "version" or version != node.value:
                self._move(source, node, "version", version, {node.value, version})

    def take_packages(self, packages: tuple[DeclaredPackage, ...]) -> None:
        for ecosystem, key in _KEYS.items():
            own = [package for package in packages if package.ecosystem is ecosystem]
            foreign = [package for package in own if package.origin.field != f"metadata.{key}"]
            if not foreign:
                continue
            texts = dict.fromkeys(package.requirement for package in own)
            separator = "\n" if any(";" in text for text in texts) else " "
            self.values[key] = separator.join(texts)
            for package in foreign:
                origin = package.origin
                message = f"{package.requirement} moves to metadata {key}"
                self.differences.append(Note("moved", message, FILE, origin.line, origin.field))

    def take_rest(self) -> None:
        manifest = self._manifest
        manager = manifest.extensions.get("package_manager")
        if isinstance(manager, Text):
            self._move("package_manager", manager, "skillyard.package-manager", manager.value)
        for key, node in manifest.nested.items():
            self._move(f"metadata.{key}", node, key, to_json(node))
        for key, node in manifest.unknown.items():
            value = node.value if isinstance(node, Text) else to_json(node)
            self._move(key, node, key, value)

    def _versions(self) -> list[tuple[str, Text]]:
        sources: Mapping[str, Node | None] = {
            "metadata.version": self._manifest.metadata.get("version"),
            "version": self._manifest.extensions.get("version"),
        }
        for field, node in sources.items():
            if isinstance(node, Fields):
                raise SkillError("must be text", file=FILE, line=node.line, field=field)
        return [(field, node) for field, node in sources.items() if isinstance(node, Text)]

    def _move(self, source: str, node: Node, key: str, value: str, replaces: set[str] | None = None) -> None:
        if self.values.get(key, value) not in {value, *(replaces or set())}:
            raise SkillError(f"says something else than metadata.{key}", file=FILE, line=node.line, field=source)
        self.values[key] = value
        self.differences.append(Note("moved", f"becomes metadata {key}: {value}", FILE, node.line, source))


def _refuse_too_long(text: str, most: int, field: str) -> None:
    if len(text) > most:
        raise SkillError(f"longer than {most} characters ({len(text)})", file=FILE, field=field)


def _renamings(tolerance: Tolerance) -> tuple[Note, ...]:
    """Notes on the name and on how tools are listed: those are changed by writing them, not by moving them."""
    codes = {"file_name", "byte_order_mark", "name_missing", "tools_list", "tools_commas"}
    return tuple(note for note in tolerance.notes if note.code in codes)
