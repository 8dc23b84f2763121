"""How much of the folder of uploads is taken, in all and by each workspace, and who may still bring something.

The folder is counted now and then, and what this process takes is added in between: counting it for every file of a
bundle would cost the square of their number.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter
from pathlib import Path

from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.errors import IncomingFullError
from skillyard.skills.bundle import MAX_FILE_BYTES

_COUNTED_EVERY = 5.0
_OWNED = re.compile(r"(?:\.part-)?[0-9a-f]{64}\.([0-9]{1,18})(?:\.[0-9a-f]{16})?")


class Room:
    """Of one folder. No workspace may take more than half of it, so that one alone does not keep the others out."""

    def __init__(self, root: Path, *, most_bytes: int) -> None:
        self._root = root
        self._most = most_bytes
        self._share = max(most_bytes // 2, min(most_bytes, MAX_FILE_BYTES))
        self._lock = threading.Lock()
        self._counted_at: float | None = None
        self._counts = 0
        self._held: Counter[int | None] = Counter()
        """Bytes by workspace; ``None`` is whoever left something here under a name of before."""
        self._reserved: Counter[int | None] = Counter()

    def look(self) -> None:
        """Count what is there, where that was not done lately. Blocks on disk."""
        if self._counted_at is None or time.monotonic() - self._counted_at > _COUNTED_EVERY:
            counted = _counted(self._root)
            with self._lock:
                self._held = counted
                self._counted_at = time.monotonic()
                self._counts += 1

    def reserve(self, workspace: WorkspaceId, wanted: int) -> int:
        """Keep room for what is about to come; give what it returns to ``settle``. Raises ``IncomingFullError``."""
        with self._lock:
            held = self._held.total() + self._reserved.total()
            if held + wanted > self._most:
                raise IncomingFullError(f"uploads that nothing was published of take {held} bytes; try again later")
            own = self._held[workspace] + self._reserved[workspace]
            if own + wanted > self._share:
                raise IncomingFullError(
                    f"uploads of your workspace that nothing was published of take {own} bytes of {self._share}; "
                    f"publish, or try again later"
                )
            self._reserved[workspace] += wanted
            return self._counts

    def settle(self, workspace: WorkspaceId, wanted: int, *, counts: int, grown: int) -> None:
        """What room was kept for has come, or will not; ``grown`` is how many bytes there are more than before."""
        with self._lock:
            self._reserved[workspace] -= wanted
            # Counted anew meanwhile, the folder had some of them already; the next count knows all.
            if counts == self._counts:
                self._held[workspace] += grown

    def recount(self) -> None:
        """Something was taken away: look anew before anybody is refused."""
        with self._lock:
            self._counted_at = None


def _counted(root: Path) -> Counter[int | None]:
    held: Counter[int | None] = Counter()
    with os.scandir(root) as entries:
        for entry in entries:
            try:
                size = entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                # It became a whole file meanwhile, or was swept.
                continue
            owned = _OWNED.fullmatch(entry.name)
            held[int(owned[1]) if owned else None] += size
    return held
