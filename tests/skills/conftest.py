"""Skills written for one test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

MakeSkill = Callable[..., Path]


@pytest.fixture
def make_skill(tmp_path: Path) -> MakeSkill:
    """Writes a skill's folder: its frontmatter (a valid one if none is given) and further files, text or bytes."""

    def make(
        frontmatter: str | None = None, files: Mapping[str, str | bytes] | None = None, name: str = "demo"
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        fields = frontmatter if frontmatter is not None else f"name: {name}\ndescription: Does a thing.\n"
        (folder / "SKILL.md").write_text(f"---\n{fields.rstrip()}\n---\n\nBody.\n", encoding="utf-8")
        for path, content in (files or {}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            data = content if isinstance(content, bytes) else content.encode()
            (folder / path).write_bytes(data)
        return folder

    return make
