"""The seam to wherever a lock becomes importable packages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from skillyard.ids import EnvironmentKey
from skillyard.skills.lock import Lock


@dataclass(frozen=True, slots=True)
class Environment:
    """A lock on disk, read-only and content-addressed. ``modules`` are its importable top-level names, sorted."""

    key: EnvironmentKey
    path: Path
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """A step of a longer piece of work, for people to watch. ``total`` is ``None`` while unknown."""

    step: str
    done: int
    total: int | None


ProgressSink = Callable[[Progress], None]


def silent(_progress: Progress) -> None:
    """The null sink."""


class EnvironmentStore(Protocol):
    """Materialises locks. Concurrent calls for one lock build it once; a killed build leaves nothing behind."""

    async def materialise(self, lock: Lock, on_progress: ProgressSink = silent) -> Environment:
        """Raises ``WheelError``, ``BuildError``, ``DiskFullError``, ``ResolverUnavailableError`` or
        ``EngineUnavailableError``."""
        ...

    async def sweep(self) -> int:
        """Remove what builds that died have left behind; how much there was."""
        ...

    async def close(self) -> None:
        """Let go of every connection it holds. Idempotent."""
        ...
