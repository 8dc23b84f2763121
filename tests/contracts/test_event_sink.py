"""What every event sink does: take any event, at once, and keep nothing open."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from skillyard.ids import InvocationId, WorkspaceId
from skillyard.runtime.events import Event, EventSink, InvocationFinished, LogSink, create_log_sink
from skillyard.runtime.testing import MemorySink
from skillyard.settings import Settings

SINKS: list[Callable[[], EventSink]] = [MemorySink, LogSink, lambda: create_log_sink(Settings())]


def one_of_each() -> list[Event]:
    """Every kind of event, filled with values of the declared types."""
    samples = {"WorkspaceId": 1, "InvocationId": "0", "str": "x", "str | None": None, "int": 2}
    return [kind(**{one.name: samples[str(one.type)] for one in dataclasses.fields(kind)}) for kind in get_args(Event)]


@pytest.mark.parametrize("make", SINKS)
def test_a_sink_takes_every_kind_of_event(make: Callable[[], EventSink]) -> None:
    sink = make()
    for event in one_of_each():
        sink.publish(event)


@pytest.mark.parametrize("make", SINKS)
def test_a_sink_keeps_nothing_open(make: Callable[[], EventSink]) -> None:
    gc.collect()
    before = open_descriptors()
    sink = make()
    for event in one_of_each():
        sink.publish(event)
    del sink
    gc.collect()
    assert open_descriptors() <= before


def open_descriptors() -> set[str]:
    """What this process holds open, by number and target; listing them opens none that stays."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(f"{link.name} {link.readlink()}")
    return {one for one in found if not one.endswith("/fd")}


def test_the_twin_keeps_the_order() -> None:
    sink = MemorySink()
    events = [InvocationFinished(WorkspaceId(1), InvocationId(str(number)), "a/b", "failed") for number in range(5)]
    for event in events:
        sink.publish(event)
    assert sink.events == events
