"""In-memory twins of this room's seams, for tests; they pass the same contract suites as the real ones."""

from __future__ import annotations

from skillyard.runtime.events import Event


class MemorySink:
    """Keeps every event, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish(self, event: Event) -> None:
        self.events.append(event)
