"""A copy of the package with something broken in it, for processes to import instead of the real one."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

from tests.acceptance.story import Break, Edit, HarnessError

ROOT = Path(__file__).resolve().parents[2]


def broken_copy(break_: Break, into: Path) -> Path:
    """Copies the package into ``into``, which then goes on ``PYTHONPATH``; raises ``HarnessError`` for a stale edit."""
    shutil.copytree(ROOT / "skillyard", into / "skillyard", ignore=shutil.ignore_patterns("__pycache__"))
    for edit in break_.edits:
        path = into / edit.file
        path.write_text(edited(path.read_text(), edit))
    return into


def edited(text: str, edit: Edit) -> str:
    """The file's text with the edit made. Raises ``HarnessError`` where it does not fit, or the result is no Python."""
    found = text.count(edit.old)
    if found != 1:
        raise HarnessError(f"{edit.file} holds {edit.old!r} {found} times, not once: bring the break up to date")
    changed = text.replace(edit.old, edit.new)
    try:
        ast.parse(changed)
    except SyntaxError as error:
        raise HarnessError(f"{edit.file} is no Python any more with {edit.new!r}: {error}") from error
    return changed
