"""The sandboxes that this process has started: which containers are its own, and which files they stand on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from skillyard.ids import SkillVersionId
from skillyard.sandbox.sandbox import RunningSandbox


@runtime_checkable
class Contained(Protocol):
    """A sandbox that is a container of the engine. Other kinds of sandboxes are for their own makers to find."""

    @property
    def container(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Ground:
    """The folders that a sandbox mounts, each with the inode that it was before the start."""

    folders: tuple[tuple[Path, int | None], ...]

    @classmethod
    def of(cls, *folders: Path | None) -> Ground:
        """Blocks for a stat of each folder."""
        return cls(tuple((folder, _inode(folder)) for folder in folders if folder is not None))

    def is_replaced(self) -> bool:
        """Blocks for a stat of each folder."""
        return any(_inode(folder) != was for folder, was in self.folders)


@dataclass(frozen=True, slots=True)
class _Standing:
    sandbox: RunningSandbox
    version: SkillVersionId
    ground: Ground


class Started:
    """Sandboxes from their start until they are no longer alive."""

    def __init__(self) -> None:
        self._standing: list[_Standing] = []

    def add(self, sandbox: RunningSandbox, version: SkillVersionId, ground: Ground) -> None:
        self._standing = [one for one in self._standing if one.sandbox.alive]
        self._standing.append(_Standing(sandbox, version, ground))

    def containers(self) -> frozenset[str]:
        """The ids of the containers of living sandboxes."""
        alive = (one.sandbox for one in self._standing if one.sandbox.alive)
        return frozenset(sandbox.container for sandbox in alive if isinstance(sandbox, Contained))

    def on_replaced_files(self) -> frozenset[SkillVersionId]:
        """Versions with living sandboxes that stand on a folder which is not there any more, or is another now.

        Blocks for a stat of each folder.
        """
        alive = [one for one in self._standing if one.sandbox.alive]
        return frozenset(one.version for one in alive if one.ground.is_replaced())


def _inode(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except FileNotFoundError:
        return None
