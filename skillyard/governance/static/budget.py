"""What one scan may still take, counted as it is taken."""

from __future__ import annotations

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
