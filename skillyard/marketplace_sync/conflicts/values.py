"""Values of conflicts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Final, NewType

from skillyard.ids import WorkspaceId

ConflictId = NewType("ConflictId", int)

MOST_AT_ONCE: Final = 200
"""Conflicts that are settled in one transaction."""


class ConflictKind(StrEnum):
    """``metadata``: what is said about the skill. Of two bundles under one number: ``dependency`` where they differ in
    packages alone, ``content`` in files alone, else ``version``; that is also a channel moved to two versions."""

    VERSION = "version"
    CONTENT = "content"
    DEPENDENCY = "dependency"
    METADATA = "metadata"


class Severity(IntEnum):
    """By what differs: text, parameters (limits, permissions, entries), packages, code."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class Strategy(StrEnum):
    """How a conflict is settled. ``merge`` falls back to ``manual`` where both changed the same thing."""

    REMOTE_WINS = "remote_wins"
    LOCAL_WINS = "local_wins"
    MERGE = "merge"
    MANUAL = "manual"


class ConflictState(StrEnum):
    OPEN = "open"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Conflict:
    """What both sides changed, with all of them. ``remote_rev`` is the remote's revision that it is about.

    ``base``, ``local``, ``theirs`` and ``result`` are canonical JSON: documents of a skill, or of a version with its
    files. ``result`` is what it came to; ``strategy`` how. ``resolved_by`` is ``system`` where the remote's strategy
    settled it by itself.
    """

    id: ConflictId
    workspace: WorkspaceId
    remote: int
    """The ``RemoteId``."""
    remote_name: str
    upload: int | None
    """The ``UploadId`` of our side, as long as it is kept."""
    kind: ConflictKind
    severity: Severity
    state: ConflictState
    key: str
    base: str | None
    local: str
    theirs: str
    remote_rev: int
    result: str | None
    strategy: Strategy | None
    resolved_by: str | None
    detected_at: datetime
    resolved_at: datetime | None

    @property
    def of_version(self) -> bool:
        """Whether it is about two bundles under one number, and not about what is said of a skill."""
        return "@" in self.key
