"""Names of popular packages, which ship with the project."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from skillyard.skills.skill import Ecosystem

FOLDER: Final = Path(__file__).parent / "data"


@cache
def popular_names(ecosystem: Ecosystem) -> frozenset[str]:
    """Canonical names. Raises ``OSError`` where the list is not there: no list is not an empty one."""
    lines = (FOLDER / f"{ecosystem.value}.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))
