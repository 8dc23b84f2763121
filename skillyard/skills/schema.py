"""The JSON Schema (draft 2020-12) of what an entry takes.

A file beside the script, ``scripts/report.schema.json`` for ``scripts/report.py``, says it in the author's words;
otherwise it follows from the function's type hints, read from the syntax tree. A hint that is not understood
constrains nothing: the schema never refuses what the function would take.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import orjson

from skillyard.skills.declared_files import read_text
from skillyard.skills.errors import SkillError
from skillyard.skills.skill import Bundle, Entry, EntryKind

Schema = dict[str, object]
Function = ast.FunctionDef | ast.AsyncFunctionDef

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_SIMPLE: dict[str, Schema] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "list": {"type": "array"},
    "tuple": {"type": "array"},
    "dict": {"type": "object"},
    "None": {"type": "null"},
    "object": {},
    "Any": {},
}
_ARRAYS = {"list", "List", "Sequence", "Iterable", "Collection"}
_OBJECTS = {"dict", "Dict", "Mapping", "MutableMapping"}


def shipped_schema(folder: Path, bundle: Bundle, entry: Entry) -> str | None:
    """JSON text of the file beside the script, ``None`` where there is none; a bad file is a ``SkillError``."""
    path = f"{entry.path.rpartition('.')[0]}.schema.json"
    if any(file.path == path for file in bundle.files):
        return _shipped(read_text(folder, path), path)
    return None


def hinted_schema(entry: Entry, module: ast.Module) -> str | None:
    """JSON text of what the function's hints say, ``None`` where the entry is none or they say nothing."""
    if entry.kind is not EntryKind.FUNCTION:
        return None
    function = next((node for node in module.body if isinstance(node, Function) and node.name == entry.function), None)
    if function is None:
        return None
    try:
        return orjson.dumps(function_schema(function)).decode()
    except (RecursionError, orjson.JSONEncodeError):
        return None  # hints nested deeper, or with larger numbers, than JSON text holds say nothing


def function_schema(function: Function) -> Schema:
    """The schema of a function's keyword arguments."""
    arguments = function.args
    named = arguments.posonlyargs + arguments.args
    defaults: list[ast.expr | None] = [None] * (len(named) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = list(zip(named, defaults, strict=True)) + list(
        zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    )
    schema: Schema = {
        "$schema": _DIALECT,
        "type": "object",
        "properties": {argument.arg: _property(argument, default) for argument, default in pairs},
        "required": [argument.arg for argument, default in pairs if default is None],
        "additionalProperties": arguments.kwarg is not None,
    }
    summary = (ast.get_docstring(function) or "").partition("\n\n")[0].replace("\n", " ").strip()
    return schema | {"description": summary} if summary else schema


def _shipped(text: str, path: str) -> str:
    try:
        schema = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise SkillError(f"not valid JSON: {error.msg}", file=path, line=error.lineno) from error
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise SkillError("must be a JSON Schema of an object", file=path, line=1)
    try:
        return orjson.dumps(schema).decode()
    except orjson.JSONEncodeError as error:
        raise SkillError("is nested too deep", file=path) from error


def _property(argument: ast.arg, default: ast.expr | None) -> Schema:
    schema = dict(_hint(argument.annotation))
    if default is None:
        return schema
    try:
        value = ast.literal_eval(default)
        orjson.dumps(value)
    except (ValueError, TypeError, RecursionError, orjson.JSONEncodeError):
        return schema
    return schema | {"default": value}


def _hint(node: ast.expr | None) -> Schema:
    match node:
        case ast.Constant(value=None):
            return _SIMPLE["None"]
        case ast.Constant(value=str(text)):
            return _quoted(text)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _SIMPLE.get(name, {})
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union([_hint(left), _hint(right)])
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            return _generic(name, inner)
        case _:
            return {}


def _quoted(text: str) -> Schema:
    try:
        return _hint(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}


def _generic(name: str, inner: ast.expr) -> Schema:
    arguments = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
    match name:
        case "Optional":
            return _union([_hint(inner), _SIMPLE["None"]])
        case "Union":
            return _union([_hint(argument) for argument in arguments])
        case "Annotated":
            return _hint(arguments[0])
        case "Literal":
            return _literal(arguments)
        case _ if name in _ARRAYS:
            return {"type": "array", "items": _hint(inner)}
        case _ if name in _OBJECTS and len(arguments) == 2:
            return {"type": "object", "additionalProperties": _hint(arguments[1])}
        case "tuple" | "Tuple":
            return _tuple(arguments)
        case _:
            return {}


def _tuple(arguments: list[ast.expr]) -> Schema:
    if len(arguments) == 2 and isinstance(arguments[1], ast.Constant) and arguments[1].value is ...:
        return {"type": "array", "items": _hint(arguments[0])}
    items = [_hint(argument) for argument in arguments]
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _literal(arguments: list[ast.expr]) -> Schema:
    values = [argument.value for argument in arguments if isinstance(argument, ast.Constant)]
    plain = all(value is None or isinstance(value, str | int | bool) for value in values)
    return {"enum": values} if plain and len(values) == len(arguments) else {}


def _union(options: list[Schema]) -> Schema:
    """One of several; one that says nothing makes the whole say nothing."""
    if any(not option for option in options):
        return {}
    flat: list[Schema] = []
    for option in options:
        inner = option["anyOf"] if option.keys() == {"anyOf"} else [option]
        flat.extend(inner if isinstance(inner, list) else [option])
    return {"anyOf": flat}
