"""A new skill to start from: the smallest Python function skill that is valid strictly and answers a call."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from skillyard.errors import ConflictError
from skillyard.skills.errors import SkillError
from skillyard.skills.manifest import check_name

_MANIFEST = """\
---
name: {name}
description: Counts the words, lines and characters of a text. Use when somebody asks how long a text is.
license: Apache-2.0
metadata:
  version: "0.1.0"
  skillyard.entry: "scripts/main.py:run"
---

# {title}

Call it with a text:

    skillyard run {name} --input '{{"text": "to be or not to be"}}'

Packages that the skill needs are declared in the metadata above, for example
`skillyard.python: "pandas>=2,<3"`.
"""

_SCRIPT = '''\
"""Counts what a text is made of."""


def run(text: str) -> dict[str, int]:
    """Count the words, lines and characters of a text."""
    return {
        "words": len(text.split()),
        "lines": len(text.splitlines()),
        "characters": len(text),
    }
'''


def create_skill(name: str, parent: Path) -> Path:
    """Write the folder ``parent/name`` and return it; it is there completely or not at all.

    Raises ``SkillError`` for a name that is not canonical or a parent that cannot be written, ``ConflictError`` if the
    folder exists.
    """
    check_name(name)
    folder = parent / name
    if folder.exists() or folder.is_symlink():
        raise ConflictError(f"{folder} exists already")
    try:
        beside = Path(tempfile.mkdtemp(prefix=".skillyard-", dir=parent))
        try:
            draft = beside / name
            (draft / "scripts").mkdir(parents=True)
            title = name.replace("-", " ").capitalize()
            (draft / "SKILL.md").write_text(_MANIFEST.format(name=name, title=title), encoding="utf-8")
            (draft / "scripts" / "main.py").write_text(_SCRIPT, encoding="utf-8")
            draft.rename(folder)
        finally:
            shutil.rmtree(beside)
    except OSError as error:
        raise SkillError(f"cannot be written: {error.strerror}", file=str(folder)) from error
    return folder
