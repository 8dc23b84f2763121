"""Python source to a syntax tree, also where it is for another Python: what parses is looked at, and the rest is told.

Python 2's ``print``, ``exec`` and ``except`` statements are rewritten line by line; lines that still do not parse are
left out, a few of them, so that one broken line hides nothing. ``ast`` alone is used: nothing is compiled or run.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from typing import Final

from skillyard.governance.static.gap import GapError
from skillyard.governance.static.limits import MAX_NODES, MAX_PYTHON

_LEFT_OUT: Final = 12
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_LOADS: Final = (ast.Import, ast.ImportFrom, ast.Attribute)
_PLAIN: Final = frozenset(
    "ctx op ops id attr arg name asname module level type_comment kind simple conversion rest kwd_attrs is_async".split()
)
"""Fields that hold names, numbers, contexts and operators."""
_HOLDING: Final = {
    kind: () if kind is ast.Constant else tuple(name for name in kind._fields if name not in _PLAIN)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}
"""The fields of each kind of node that hold further nodes."""
_PYTHON_2: Final = (
    (re.compile(r"^(\s*)print\s+>>\s*[\w.]+\s*,?\s*(.*?);?\s*$", re.MULTILINE), r"\1print(\2)"),
    (re.compile(r"^(\s*)print\s+(?![=(.,\[])(.+?);?[ \t]*$", re.MULTILINE), r"\1print(\2)"),
    (re.compile(r"^(\s*)print\s*$", re.MULTILINE), r"\1print()"),
    (re.compile(r"^(\s*)except\s+([\w.()]+(?:\s*,\s*[\w.]+\))?)\s*,\s*(\w+)\s*:", re.MULTILINE), r"\1except \2 as \3:"),
    (re.compile(r"^(\s*)exec\s+(?![=(.,\[])(.+?)[ \t]*$", re.MULTILINE), r"\1exec(\2)"),
    (re.compile(r"^(\s*)raise\s+([\w.]+)\s*,\s*(.+?)[ \t]*$", re.MULTILINE), r"\1raise \2(\3)"),
    (re.compile(r"\b0([0-7]+)\b(?!\.)"), r"0o\1"),
    (re.compile(r"<>"), "!="),
    (re.compile(r"`([^`\n]+)`"), r"repr(\1)"),
    (re.compile(r"\bur([\"'])"), r"r\1"),
)
_TOO_MUCH: Final = ("too many", "too deeply", "too complex", "recursion", "nested")


@dataclass(frozen=True, slots=True)
class Source:
    """``problem`` is set where the source did not parse as it is: the line and what the parser said."""

    tree: ast.Module
    problem: tuple[int, str] | None
    functions: tuple[ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, ...]
    """All that the tree has at whatever depth, outer ones first; likewise ``loads``."""
    loads: tuple[ast.Import | ast.ImportFrom | ast.Attribute, ...]


def parse(text: str) -> Source | None:
    """``None`` for what is no Python at all. Raises ``GapError`` for what is too long or too deep to be looked at."""
    if len(text) > MAX_PYTHON:
        raise GapError(f"a Python source of more than {MAX_PYTHON // 2**20} Mi characters is not looked at")
    text = text.replace("\0", "").lstrip("\ufeff")
    try:
        return _source(_tree(text), None)
    except SyntaxError as error:
        if any(word in (error.msg or "") for word in _TOO_MUCH):
            raise GapError("a Python source nested too deep to be looked at") from error
        problem = (error.lineno or 1, error.msg or "invalid syntax")
    tree = _mended(text)
    return None if tree is None else _source(tree, problem)


def _source(tree: ast.Module, problem: tuple[int, str] | None) -> Source:
    nodes: list[ast.AST] = [tree]
    functions: list[ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda] = []
    loads: list[ast.Import | ast.ImportFrom | ast.Attribute] = []
    for node in nodes:  # It grows meanwhile; ``ast.walk`` does the same at five times the cost.
        for name in _HOLDING[type(node)]:
            value = getattr(node, name, None)
            if type(value) is list:
                nodes.extend([one for one in value if isinstance(one, ast.AST)])
            elif isinstance(value, ast.AST):
                nodes.append(value)
        if isinstance(node, _FUNCTIONS):
            functions.append(node)
        elif isinstance(node, _LOADS):
            loads.append(node)
        if len(nodes) > MAX_NODES:
            raise GapError(f"a Python source of more than {MAX_NODES} syntax elements")
    return Source(tree, problem, tuple(functions), tuple(loads))


def _tree(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (RecursionError, MemoryError) as error:
        raise GapError("a Python source nested too deep to be looked at") from error
    except ValueError as error:
        raise SyntaxError(str(error)) from error
    return tree


def _mended(text: str) -> ast.Module | None:
    for pattern, replacement in _PYTHON_2:
        text = pattern.sub(replacement, text)
    lines = text.replace("\t", "        ").split("\n")
    for _ in range(_LEFT_OUT):
        try:
            tree = _tree("\n".join(lines))
        except SyntaxError as error:
            number = (error.lineno or 1) - 1
            if not 0 <= number < len(lines):
                return None
            line = lines[number]
            if not line.strip() or line.strip() == "pass":
                return None
            lines[number] = line[: len(line) - len(line.lstrip())] + "pass"
        else:
            return tree if any(not isinstance(node, ast.Pass) for node in tree.body) else None
    return None
