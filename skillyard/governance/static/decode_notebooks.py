"""Notebooks (nbformat 3 and 4): code cells, Markdown cells, and the text of outputs, which an agent reads as well."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from skillyard.governance.static.gap import GapError
from skillyard.governance.static.view import Language

_MAGIC: Final = re.compile(r"^\s*(?:!|%%?(?:bash|sh|system|sx|script\s+\w+))\s?(.*)$")
_CELL_MAGIC: Final = re.compile(r"^\s*%%(?:bash|sh|script|system)\b")


def cells(text: str) -> Iterator[tuple[str, str, Language]]:
    """Which cell, its text, and what it is written in. Raises ``GapError`` for what is no notebook."""
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GapError("a notebook that is not JSON") from error
    if not isinstance(notebook, dict):
        raise GapError("a notebook without cells")
    listed = notebook.get("cells")
    if listed is None:
        sheets = notebook.get("worksheets")
        listed = (
            [cell for sheet in sheets if isinstance(sheet, dict) for cell in _list(sheet.get("cells"))]
            if isinstance(sheets, list)
            else None
        )
    if not isinstance(listed, list):
        raise GapError("a notebook without cells")
    for number, cell in enumerate(listed, start=1):
        if isinstance(cell, dict):
            yield from _cell(f"cell {number}", cell)


def _cell(place: str, cell: dict[str, object]) -> Iterator[tuple[str, str, Language]]:
    source = _text(cell.get("source", cell.get("input")))
    if cell.get("cell_type") == "code":
        yield from _code(place, source)
        for output in _list(cell.get("outputs")):
            if isinstance(output, dict):
                shown = [_text(output.get("text")), _text(output.get("traceback"))]
                data = output.get("data")
                if isinstance(data, dict):
                    shown += [_text(value) for kind, value in data.items() if str(kind).startswith("text/")]
                if joined := "\n".join(part for part in shown if part):
                    yield f"{place}, output", joined, Language.MARKDOWN
    elif source:
        yield place, source, Language.MARKDOWN


def _code(place: str, source: str) -> Iterator[tuple[str, str, Language]]:
    if _CELL_MAGIC.match(source):
        yield place, source.partition("\n")[2], Language.SHELL
        return
    shell = []
    python = []
    for line in source.split("\n"):
        if found := _MAGIC.match(line):
            shell.append(found[1])
            python.append(re.match(r"\s*", line)[0] + "pass")  # type: ignore[index]  # it matches everything
        elif line.lstrip().startswith(("%", "?")) or line.rstrip().endswith("?"):
            python.append("")
        else:
            python.append(line)
    if any(line.strip() for line in python):
        yield place, "\n".join(python), Language.PYTHON
    if shell:
        yield place, "\n".join(shell), Language.SHELL


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return "".join(part for part in value if isinstance(part, str)) if isinstance(value, list) else ""


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
