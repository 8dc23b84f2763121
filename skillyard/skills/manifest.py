"""The fields of ``SKILL.md``: the six of the open Agent Skills specification, and what lenient reading adds.

Strict: nothing but ``name``, ``description``, ``license``, ``compatibility``, ``metadata`` (text to text) and
``allowed-tools``; the name is ``^[a-z0-9]+(-[a-z0-9]+)*$``, at most 64 characters and the folder's own; the description
has 1 to 1024 characters, compatibility at most 500. Lenient reading notes what departs from that and goes on, as long
as it is clear what is meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skillyard.skills.errors import SkillError
from skillyard.skills.frontmatter import FILE, Document, Fields, Items, Node, Text, read_document, to_json
from skillyard.skills.tolerance import Tolerance

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
MAX_NAME = 64
MAX_DESCRIPTION = 1024
MAX_COMPATIBILITY = 500

SPECIFIED = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
EXTENSIONS = ("version", "packages", "node_packages", "package_manager")
"""Top-level fields outside the specification whose meaning we know; strict manifests say them in ``metadata``."""

_TOOL = re.compile(r"(?:[^\s,()]|\([^()]*\))+")


@dataclass(frozen=True, slots=True)
class Manifest:
    """Checked fields. ``metadata`` holds text values; ``nested`` the values that are lists or mappings (lenient)."""

    name: str
    description: str
    license: str | None
    compatibility: str | None
    allowed_tools: tuple[str, ...]
    metadata: Mapping[str, Text]
    nested: Mapping[str, Node]
    extensions: Mapping[str, Node]
    unknown: Mapping[str, Node]
    body: str

    @property
    def flat_metadata(self) -> dict[str, str]:
        """Metadata as text to text; nested values as JSON text."""
        texts = {key: text.value for key, text in self.metadata.items()}
        return texts | {key: to_json(node) for key, node in self.nested.items()}


def read_manifest(folder: Path, tolerance: Tolerance) -> Manifest:
    """Read and check a folder's ``SKILL.md``; raises ``SkillError`` naming line and field."""
    document = read_document(folder, _find(folder, tolerance))
    if document.byte_order_mark:
        tolerance.tolerate("byte_order_mark", "starts with a byte order mark", file=FILE, line=1)
    return _Checker(document.fields, tolerance).manifest(folder, document)


def check_name(name: str, *, line: int | None = None) -> str:
    """Return a canonical skill name; otherwise raise ``SkillError`` with the name it could be."""
    if NAME.fullmatch(name) and len(name) <= MAX_NAME:
        return name
    if len(name) > MAX_NAME:
        raise SkillError(f"longer than {MAX_NAME} characters", file=FILE, line=line, field="name")
    suggestion = "-".join(re.findall(r"[a-z0-9]+", name.lower()))
    hint = f"; write {suggestion!r}" if suggestion else ""
    message = f"{name!r} is not canonical: lower-case letters and digits, joined by single hyphens{hint}"
    raise SkillError(message, file=FILE, line=line, field="name")


def _find(folder: Path, tolerance: Tolerance) -> str:
    if not folder.is_dir():
        raise SkillError("not a folder", file=str(folder))
    names = {entry.name for entry in folder.iterdir()}
    if FILE in names:
        return FILE
    for name in sorted(names):
        if name.lower() == FILE.lower():
            tolerance.tolerate("file_name", f"should be named {FILE}", file=name)
            return name
    raise SkillError(f"is missing; a skill is a folder with a {FILE}", file=FILE)


class _Checker:
    def __init__(self, fields: Fields, tolerance: Tolerance) -> None:
        self._fields = fields
        self._tolerance = tolerance

    def manifest(self, folder: Path, document: Document) -> Manifest:
        metadata = self._metadata()
        unknown = {key: node for key, node in self._fields.fields.items() if key not in SPECIFIED + EXTENSIONS}
        for key in unknown:
            self._tolerate("unknown_field", "not a field of the specification; belongs into metadata", key)
        extensions = {key: node for key, node in self._fields.fields.items() if key in EXTENSIONS}
        for key in extensions:
            self._tolerate("extension_field", "not a field of the specification; belongs into metadata", key)
        return Manifest(
            name=self._name(folder),
            description=self._description(),
            license=self._text("license"),
            compatibility=self._compatibility(),
            allowed_tools=self._allowed_tools(),
            metadata={key: node for key, node in metadata.items() if isinstance(node, Text)},
            nested={key: node for key, node in metadata.items() if not isinstance(node, Text)},
            extensions=extensions,
            unknown=unknown,
            body=document.body,
        )

    def _name(self, folder: Path) -> str:
        given = self._text("name")
        actual = folder.resolve().name
        if given is None:
            self._tolerate("name_missing", "is missing; the folder's name is taken", "name", self._fields.line)
            return check_name(actual)
        line = self._fields.lines["name"]
        name = check_name(given, line=line)
        if name != actual:
            self._tolerate("name_not_folder", f"{name!r} is not the folder's name, {actual!r}", "name")
        return name

    def _description(self) -> str:
        text = self._text("description")
        if text is None:
            line = self._fields.lines.get("description", self._fields.line)
            raise SkillError("is missing or empty", file=FILE, line=line, field="description")
        if len(text) > MAX_DESCRIPTION:
            message = f"longer than {MAX_DESCRIPTION} characters ({len(text)})"
            self._tolerate("description_long", message, "description")
        return text

    def _compatibility(self) -> str | None:
        text = self._text("compatibility")
        if text is not None and len(text) > MAX_COMPATIBILITY:
            message = f"longer than {MAX_COMPATIBILITY} characters ({len(text)})"
            self._tolerate("compatibility_long", message, "compatibility")
        return text

    def _allowed_tools(self) -> tuple[str, ...]:
        field = "allowed-tools"
        node = self._fields.fields.get(field)
        if isinstance(node, Items) and all(isinstance(item, Text) for item in node.items):
            self._tolerate("tools_list", "should be one text, separated by spaces", field)
            return tuple(item.value.strip() for item in node.items if isinstance(item, Text))
        text = self._text(field) or ""
        if "," in re.sub(r"\([^()]*\)", "", text):
            self._tolerate("tools_commas", "should be separated by spaces, not commas", field)
        if re.sub(r"[\s,]", "", _TOOL.sub("", text)):
            raise SkillError("has parentheses that do not match", file=FILE, line=self._line(field), field=field)
        return tuple(_TOOL.findall(text))

    def _metadata(self) -> dict[str, Node]:
        node = self._fields.fields.get("metadata")
        if node is None or (isinstance(node, Text) and not node.value.strip()):
            return {}
        if not isinstance(node, Fields):
            raise SkillError("must be a mapping of text to text", file=FILE, line=node.line, field="metadata")
        for key, value in node.fields.items():
            if not isinstance(value, Text):
                self._tolerance.tolerate(
                    "nested_metadata",
                    "must be text; lists and mappings are outside the specification",
                    file=FILE,
                    line=node.lines[key],
                    field=f"metadata.{key}",
                )
        return node.fields

    def _text(self, field: str) -> str | None:
        """A text field without surrounding space; ``None`` where it is missing or empty."""
        node = self._fields.fields.get(field)
        if node is None:
            return None
        if not isinstance(node, Text):
            raise SkillError("must be text", file=FILE, line=self._line(field), field=field)
        return node.value.strip() or None

    def _line(self, field: str) -> int:
        return self._fields.lines.get(field, self._fields.line)

    def _tolerate(self, code: str, message: str, field: str, line: int | None = None) -> None:
        self._tolerance.tolerate(code, message, file=FILE, line=line or self._line(field), field=field)
