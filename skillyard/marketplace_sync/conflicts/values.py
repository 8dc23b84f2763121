"""Values of conflicts."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class ConflictKind(StrEnum):
    """``version``: one number stands for two bundles, or a channel was moved to two versions. ``content``: files.
    ``dependency``: declared packages. ``metadata``: what is said about the skill."""

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
