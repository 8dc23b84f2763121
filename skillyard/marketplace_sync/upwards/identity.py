"""Who a remote sees: stable names that say nothing about anybody.

``origin`` stands for one workspace of this instance, ``rater`` for one of its persons. Both are made from the identity
of the instance's own feed, which is in the database: every server process on it says the same, and a restored backup
goes on as who it was. A person's name goes up only as the author that they gave themselves.
"""

from __future__ import annotations

import hashlib

from skillyard.ids import PersonId, WorkspaceId


def origin_of(feed_id: str, workspace: WorkspaceId) -> str:
    """32 hex digits."""
    return _hash("origin", feed_id, str(workspace))


def rater_of(feed_id: str, workspace: WorkspaceId, person: PersonId) -> str:
    """32 hex digits."""
    return _hash("rater", feed_id, str(workspace), str(person))


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(("skillyard", *parts)).encode()).hexdigest()[:32]
