"""The seam to wherever a skill comes from, and the values that cross it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Fetched:
    """A skill's folder, staged. ``origin`` says where it came from, without credentials, well enough to fetch it again;
    ``commit`` is the pinned Git commit, 40 hex digits, or ``None`` for sources that have none."""

    folder: Path
    origin: str
    commit: str | None


class Source(Protocol):
    """Brings one skill's files into a staging folder. What is staged has the limits of a bundle and no links."""

    async def fetch(self, into: Path) -> Fetched:
        """Stage the skill below ``into``, an existing empty folder that the caller owns and removes.

        Raises ``SkillError`` or its kin for what is fetched but refused, ``SourceError`` for what cannot be fetched.
        A fetch that fails or is cancelled has stopped and leaves ``into`` empty.
        """
        ...
