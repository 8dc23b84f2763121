"""What one scan may still take, counted as it is taken."""

from __future__ import annotations

import time
from typing import Final

from skillyard.governance.static.gap import GapError
from skillyard.governance.static.limits import MAX_DECODED, MAX_VIEWS


class Budget:
    """Raises ``GapError`` where one more view or one more decoded byte would be too many."""

    def __init__(self, *, views: int = MAX_VIEWS, decoded: int = MAX_DECODED) -> None:
        self.views = views
        self.decoded = decoded

    def view(self) -> None:
        if self.views <= 0:
            raise GapError(f"more than {MAX_VIEWS} texts in one skill, those inside others included")
        self.views -= 1

    def decode(self, size: int) -> None:
        if size > self.decoded:
            raise GapError(f"what is packed or encoded comes to more than {MAX_DECODED // 2**20} MiB")
        self.decoded -= size


MAX_SECONDS: Final = 2.0
"""Processor time for what one detector looks for in one text; an ordinary one of the greatest length takes half."""
MAX_SECONDS_OF_SIGNS: Final = 5.0
"""The same for signs, which are looked for in every sentence."""


class Effort:
    """Processor time that is spent on one text from here on. Raises ``GapError`` where it is too much.

    A text can be made of nothing but beginnings of what is looked for. It is given up long before the scan's own limit,
    so that the report names it.
    """

    def __init__(self, file: str = "", *, of_signs: bool = False) -> None:
        """``file`` is named where the reader of the gap would not know it."""
        self._seconds = MAX_SECONDS_OF_SIGNS if of_signs else MAX_SECONDS
        self._until = time.process_time() + self._seconds
        self._file = file

    def check(self) -> None:
        if time.process_time() > self._until:
            named = f"{self._file}: " if self._file else ""
            raise GapError(f"{named}looking at it took more than {self._seconds:g} seconds")
