"""Values of the outbox."""

from __future__ import annotations

from enum import StrEnum


class UploadKind(StrEnum):
    """What goes up: a new version, a skill's metadata and channels, a rating, counts, a yank by the publisher."""

    VERSION = "version"
    SKILL = "skill"
    RATING = "rating"
    COUNTS = "counts"
    YANK = "yank"


class UploadState(StrEnum):
    """``waiting`` for its turn, ``conflict`` until somebody decides, ``dead`` until an operator retries it, ``sent``,
    ``dropped`` when a conflict was settled against it or a newer item took its place."""

    WAITING = "waiting"
    CONFLICT = "conflict"
    DEAD = "dead"
    SENT = "sent"
    DROPPED = "dropped"
