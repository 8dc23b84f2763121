"""Clocks that are wrong, and that are set while a server runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_SHIFT = Path(__file__).parents[1] / "assets" / "wrong_clock"


@dataclass(frozen=True)
class Clock:
    """One server's time of day. ``file`` says by how many seconds it is wrong; servers look now and then."""

    file: Path

    def set(self, seconds: int) -> None:
        beside = self.file.with_suffix(".new")
        beside.write_text(f"{seconds}\n")
        beside.rename(self.file)

    @property
    def settings(self) -> Mapping[str, str]:
        """For the stage's ``serve``."""
        return {"python_path": str(_SHIFT)}

    @property
    def environment(self) -> Mapping[str, str]:
        """For the server that goes by this clock."""
        return {"WRONG_CLOCK_FILE": str(self.file)}


def clock(file: Path) -> Clock:
    """A clock that is right, so far."""
    made = Clock(file)
    made.set(0)
    return made
