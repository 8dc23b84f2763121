"""What happened, told to whoever listens. Past tense; the audit log, not this, is the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import structlog

from skillyard.ids import InvocationId, WorkspaceId
from skillyard.settings import Settings


@dataclass(frozen=True, slots=True)
class SkillInstalled:
    workspace: WorkspaceId
    skill: str
    version: str
    state: str


@dataclass(frozen=True, slots=True)
class SkillRefused:
    workspace: WorkspaceId
    skill: str
    version: str
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class PointerMoved:
    workspace: WorkspaceId
    skill: str
    old: str | None
    new: str


@dataclass(frozen=True, slots=True)
class VersionStopped:
    workspace: WorkspaceId
    skill: str
    version: str
    reason: str
    sandboxes: int


@dataclass(frozen=True, slots=True)
class SkillQuarantined:
    workspace: WorkspaceId
    skill: str
    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class QuarantineLifted:
    workspace: WorkspaceId
    skill: str
    version: str


@dataclass(frozen=True, slots=True)
class InvocationFinished:
    workspace: WorkspaceId
    invocation: InvocationId
    skill: str
    state: str


Event = (
    SkillInstalled
    | SkillRefused
    | SkillQuarantined
    | QuarantineLifted
    | PointerMoved
    | VersionStopped
    | InvocationFinished
)


class EventSink(Protocol):
    """Takes events (entry-point group ``skillyard.event_sinks``). Must not block; an exception is logged."""

    def publish(self, event: Event) -> None: ...


class LogSink:
    """Writes each event as one structured log line."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("skillyard.events")

    def publish(self, event: Event) -> None:
        self._log.info(type(event).__name__, **{name: getattr(event, name) for name in event.__slots__})


def create_log_sink(_settings: Settings) -> LogSink:
    """Entry point ``skillyard.event_sinks: log``."""
    return LogSink()


class EventBus:
    """Hands every event to every sink; a sink that raises is logged by name and does not disturb the others."""

    def __init__(self, sinks: tuple[EventSink, ...] = ()) -> None:
        self._sinks = sinks
        self._log = structlog.get_logger("skillyard.events")

    def publish(self, event: Event) -> None:
        for sink in self._sinks:
            try:
                sink.publish(event)
            except Exception as error:  # noqa: BLE001 - a third party's sink must not fail the call it hears about
                self._log.error("event_sink_failed", sink=type(sink).__name__, error=str(error))
