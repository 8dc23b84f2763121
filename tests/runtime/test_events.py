"""One listener that fails must not silence the others, nor fail the call it hears about."""

from __future__ import annotations

from skillyard.ids import WorkspaceId
from skillyard.runtime.events import Event, EventBus, SkillInstalled
from skillyard.runtime.testing import MemorySink


class Broken:
    def publish(self, event: Event) -> None:
        raise RuntimeError(f"cannot take {type(event).__name__}")


def test_a_sink_that_raises_does_not_keep_an_event_from_the_others() -> None:
    first, last = MemorySink(), MemorySink()
    event = SkillInstalled(WorkspaceId(1), "acme/adder", "1.0.0", "active")
    EventBus((first, Broken(), last)).publish(event)
    assert first.events == last.events == [event]
