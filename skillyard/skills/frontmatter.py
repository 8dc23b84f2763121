"""The YAML between the two ``---`` lines at the top of ``SKILL.md``, read strictly and with line numbers; and other
YAML that people write, which is read in the same way.

Every scalar is text, as written: YAML's guesses (``1.10`` a number, ``no`` a boolean) would change what an author
meant. Refused, because a manifest needs none of it and each is a known way to hide or to explode content: anchors,
aliases, tags, directives, several documents, merge keys, duplicate keys, keys that are not text, more than a few levels
or nodes.
The delimiters are whole lines, so ``---`` within a description is part of the description.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import orjson
import yaml

from skillyard.skills.bundle import open_file
from skillyard.skills.errors import SkillError

FILE = "SKILL.md"
MAX_FILE_BYTES = 1024 * 1024
MAX_FRONTMATTER_BYTES = 64 * 1024
MAX_DEPTH = 10
MAX_NODES = 2000


@dataclass(frozen=True, slots=True)
class YamlKind:
    """What is read: the file and the words that errors name it by, and how large it may be."""

    file: str
    words: str
    max_bytes: int
    max_nodes: int


FRONTMATTER = YamlKind(FILE, "the YAML at the top", MAX_FRONTMATTER_BYTES, MAX_NODES)

_LINES = re.compile(r"(?<=\n)")
_FENCE = re.compile(r"---[ \t]*\r?\n?")


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar; ``line`` counts from 1 in the file."""

    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Items:
    items: tuple[Node, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping, in the order written. ``lines`` gives the line of each key."""

    fields: dict[str, Node]
    lines: dict[str, int]
    line: int


Node = Text | Items | Fields


@dataclass(frozen=True, slots=True)
class Document:
    """A ``SKILL.md``: its fields, and the Markdown after them; ``byte_order_mark`` tells whether it began with one."""

    fields: Fields
    body: str
    byte_order_mark: bool


def read_document(folder: Path, name: str = FILE) -> Document:
    """Read and split a folder's ``SKILL.md``; raises ``SkillError`` naming the line."""
    text = _decode(_read(folder, name))
    mark = text.startswith("\ufeff")
    lines = _LINES.split(text.removeprefix("\ufeff"))
    if not _FENCE.fullmatch(lines[0]):
        raise SkillError("must start with a line of three dashes (---), then YAML", file=FILE, line=1)
    for number, line in enumerate(lines[1:], start=1):
        if _FENCE.fullmatch(line):
            fields = parse_yaml("".join(lines[1:number]), first_line=2)
            return Document(fields, "".join(lines[number + 1 :]), mark)
    raise SkillError("the YAML at the top is not closed by a line of three dashes (---)", file=FILE, line=1)


def parse_yaml(text: str, *, first_line: int = 1, kind: YamlKind = FRONTMATTER) -> Fields:
    """Parse a mapping from restricted YAML; raises ``SkillError`` with lines counted from ``first_line``."""
    if len(text.encode()) > kind.max_bytes:
        raise SkillError(f"{kind.words} is larger than {kind.max_bytes // 1024} KiB", file=kind.file)
    try:
        return _Reader(text, first_line, kind).read()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = first_line + mark.line if mark else None
        raise SkillError(f"not valid YAML: {error.problem or error.context}", file=kind.file, line=line) from error
    except yaml.reader.ReaderError as error:
        line = first_line + text.count("\n", 0, error.position)
        raise SkillError("not valid YAML: a character that YAML does not allow", file=kind.file, line=line) from error


def to_json(node: Node) -> str:
    """A node as canonical JSON text; scalars stay text."""
    return orjson.dumps(_plain(node), option=orjson.OPT_SORT_KEYS).decode()


def _plain(node: Node) -> object:
    match node:
        case Text():
            return node.value
        case Items():
            return [_plain(item) for item in node.items]
        case Fields():
            return {key: _plain(value) for key, value in node.fields.items()}
        case _:
            assert_never(node)


def _read(folder: Path, name: str) -> bytes:
    with open_file(folder, name) as (file, info):
        if info.st_size > MAX_FILE_BYTES:
            raise SkillError(f"larger than {MAX_FILE_BYTES // 1024} KiB", file=FILE)
        return file.read(MAX_FILE_BYTES)


def _decode(data: bytes) -> str:
    if b"\0" in data:
        raise SkillError("is a binary file, not text", file=FILE, line=data.count(b"\n", 0, data.index(b"\0")) + 1)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SkillError("is not UTF-8 text", file=FILE, line=line) from error


class _Reader:
    """Builds nodes from the parser's events, so that limits hold while reading and nothing is ever constructed."""

    def __init__(self, text: str, first_line: int, kind: YamlKind) -> None:
        self._kind = kind
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)
        self._first_line = first_line
        self._nodes = 0

    def read(self) -> Fields:
        next(self._events)  # the stream's start
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            raise SkillError(f"{self._kind.words} is empty", file=self._kind.file, line=self._first_line)
        if not isinstance(event, yaml.DocumentStartEvent) or event.version or event.tags:
            raise self._refuse("directives", event)
        node = self._node(next(self._events), 1)
        next(self._events)  # the document's end
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise self._refuse("more than one document", after)
        if not isinstance(node, Fields):
            message = f"{self._kind.words} must be a mapping (field: value)"
            raise SkillError(message, file=self._kind.file, line=node.line)
        return node

    def _node(self, event: yaml.Event, depth: int) -> Node:
        self._nodes += 1
        if self._nodes > self._kind.max_nodes or depth > MAX_DEPTH:
            raise self._refuse(f"more than {self._kind.max_nodes} values or {MAX_DEPTH} levels", event)
        if isinstance(event, yaml.AliasEvent):
            raise self._refuse("aliases (*name)", event)
        if not isinstance(event, yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent):
            raise self._refuse("such a construct", event)
        if event.anchor:
            raise self._refuse("anchors (&name)", event)
        if event.tag:
            raise self._refuse("tags (!name)", event)
        if isinstance(event, yaml.ScalarEvent):
            return Text(event.value, self._line(event))
        if isinstance(event, yaml.SequenceStartEvent):
            return self._items(event, depth)
        return self._fields(event, depth)

    def _items(self, start: yaml.Event, depth: int) -> Items:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Items(tuple(items), self._line(start))

    def _fields(self, start: yaml.Event, depth: int) -> Fields:
        fields: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Text):
                raise self._refuse("keys that are not text", event)
            if key.value == "<<":
                raise self._refuse("merge keys (<<)", event)
            if key.value in fields:
                first = lines[key.value]
                message = f"is given twice, first in line {first}"
                raise SkillError(message, file=self._kind.file, line=key.line, field=key.value)
            fields[key.value] = self._node(next(self._events), depth + 1)
            lines[key.value] = key.line
        return Fields(fields, lines, self._line(start))

    def _line(self, event: yaml.Event) -> int:
        return self._first_line + (event.start_mark.line if event.start_mark else 0)

    def _refuse(self, what: str, event: yaml.Event) -> SkillError:
        message = f"{what} are not allowed in {self._kind.words}"
        return SkillError(message, file=self._kind.file, line=self._line(event))
