"""What can be called in a skill: the entries its manifest names, then every script."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import assert_never

from skillyard.skills.errors import SkillError
from skillyard.skills.frontmatter import FILE, Text
from skillyard.skills.skill import Bundle, Entry, EntryKind, SkillKind

PYTHON = (".py",)
NODE = (".js", ".mjs", ".cjs")
SHELL = (".sh",)
_OTHER_CODE = (
    ".pyw .pyc .pyx .pyd .ts .mts .jsx .tsx .sh .bash .zsh .fish .rb .pl .php .lua .r .jl .go .rs .c .cc .cpp .java "
    ".jar .class .ps1 .bat .cmd .exe .dll .so .dylib .wasm .applescript"
)
_DOCUMENT_SUFFIXES = (
    ".md .txt .rst .html .css .json .jsonl .yaml .yml .toml .ini .csv .tsv .xml .xsd .svg .png .jpg .jpeg .gif .webp "
    ".ico .pdf .docx .xlsx .pptx .ttf .otf .woff .woff2 license .lock"
)
_OTHER_SUFFIXES = tuple(_OTHER_CODE.split())
_DOCUMENTS = tuple(_DOCUMENT_SUFFIXES.split())
"""Files that are no programs whatever their mode says; file systems without modes make everything executable."""
_ENTRY = re.compile(r"(?P<path>[^:\s]+)(?::(?P<function>[^:\s]+))?")
_FIELD = "metadata.skillyard.entry"


def is_python(path: str) -> bool:
    return path.endswith(PYTHON)


def is_node(path: str) -> bool:
    return path.endswith(NODE)


def is_other_code(path: str, *, executable: bool) -> bool:
    """A program in a language that is not run here; it is code all the same, so the skill is no mere instructions."""
    if is_python(path) or is_node(path):
        return False
    return path.lower().endswith(_OTHER_SUFFIXES) or (executable and not path.lower().endswith(_DOCUMENTS))


def named_entries(metadata: Mapping[str, Text], bundle: Bundle) -> tuple[Entry, ...]:
    """``skillyard.entry``: one or more ``file:function`` or ``file``, separated by spaces; the first is the default."""
    text = metadata.get("skillyard.entry")
    if text is None:
        return ()
    parts = text.value.split()
    if not parts:
        raise _wrong("is empty", text)
    return tuple(dict.fromkeys(_named(part, text, bundle) for part in parts))


def script_entries(kind: SkillKind, bundle: Bundle) -> tuple[Entry, ...]:
    """Every file under ``scripts/`` that the kind's interpreter runs; package markers are no scripts."""
    match kind:
        case SkillKind.INSTRUCTIONS:
            return ()
        case SkillKind.PYTHON:
            # Shell scripts come last: where nothing is named, the first entry is the default.
            return _scripts(bundle, PYTHON) + _scripts(bundle, SHELL)
        case SkillKind.NODE:
            return _scripts(bundle, NODE)
        case _:
            assert_never(kind)


def check_function(entry: Entry, module: ast.Module, text: Text) -> None:
    """Raise ``SkillError`` if a Python file binds no such name at its top level, or the function takes no keywords."""
    function = next(
        (node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == entry.function), None
    )
    if function is not None:
        if function.args.posonlyargs:
            raise _wrong(f"{entry}: arguments before '/' cannot be given by name", text)
        return
    if not any(entry.function in _bound(node) for node in module.body):
        raise _wrong(f"{entry}: {entry.path} has no function {entry.function!r}", text)


def _named(part: str, text: Text, bundle: Bundle) -> Entry:
    match = _ENTRY.fullmatch(part)
    if match is None:
        raise _wrong(f"{part!r} is neither file:function nor a file", text)
    path, function = match["path"], match["function"]
    if all(file.path != path for file in bundle.files):
        raise _wrong(f"{path!r} is not a file of the skill", text)
    if not path.endswith(PYTHON + NODE + SHELL):
        raise _wrong(f"{path!r} is neither Python nor JavaScript nor a shell script", text)
    if function is None:
        return Entry(EntryKind.SCRIPT, path)
    if path.endswith(SHELL):
        raise _wrong(f"{path!r} is a shell script, which has no functions to call", text)
    if not function.isidentifier():
        raise _wrong(f"{function!r} is not the name of a function", text)
    return Entry(EntryKind.FUNCTION, path, function)


def _scripts(bundle: Bundle, suffixes: tuple[str, ...]) -> tuple[Entry, ...]:
    paths = [file.path for file in bundle.files if file.path.startswith("scripts/") and file.path.endswith(suffixes)]
    return tuple(Entry(EntryKind.SCRIPT, path) for path in paths if path.rpartition("/")[2] != "__init__.py")


def _bound(node: ast.stmt) -> set[str]:
    """Names that a top-level statement binds, other than by calling something; nested blocks count as well."""
    names = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in inner.names}
        elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            names.add(inner.id)
        elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and inner is not node:
            names.add(inner.name)
    if isinstance(node, ast.ClassDef | ast.AsyncFunctionDef):
        return {node.name}
    return names


def _wrong(message: str, text: Text) -> SkillError:
    return SkillError(message, file=FILE, line=text.line, field=_FIELD)
