"""In-memory twins of this package's seams, for tests; never registered, never imported by product code."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from skillyard.skills.paths import is_state
from skillyard.skills.source import Fetched
from skillyard.skills.sources.staging import Staging, emptied_on_failure, in_thread, skill_root


class MemorySource:
    """A skill held as paths and content; passes the contract suite of ``Source``."""

    def __init__(self, name: str, files: Mapping[str, bytes]) -> None:
        self._name = name
        self._files = dict(files)

    async def fetch(self, into: Path) -> Fetched:
        """See ``Source``."""
        async with emptied_on_failure(into):
            folder = await in_thread(lambda stop: self._stage(into / self._name, stop))
        return Fetched(folder, f"memory:{self._name}", None)

    def _stage(self, folder: Path, stop: threading.Event) -> Path:
        folder.mkdir()
        staging = Staging(folder, stop)
        for path, content in self._files.items():
            staging.count_member(path)
            if not is_state(path):
                staging.write(path, [content], executable=False)
        return skill_root(folder)
