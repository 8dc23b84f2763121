"""What a running call says about itself: output as it comes, progress, log lines.

Progress and log lines are the skill's own words, named as in the Model Context Protocol. Nothing in them is believed:
they are JSON of a known shape, or they are told as a warning of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson


class LogLevel(StrEnum):
    """The severities of RFC 5424, which the Model Context Protocol uses."""

    DEBUG = "debug"
    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"
    ALERT = "alert"
    EMERGENCY = "emergency"


@dataclass(frozen=True, slots=True)
class Output:
    """A piece of a running call's standard output (``stream`` 1) or standard error (``stream`` 2)."""

    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far a call says that it is; ``total`` is ``None`` where the end is not known."""

    progress: float
    total: float | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Logged:
    """A log line of a call. ``data`` is JSON of any shape, or ``None``."""

    level: LogLevel
    message: str
    data: Any = None


Emitted = Output | Progressed | Logged


class EventError(ValueError):
    """What a skill sent as an event is none; the message says why."""


def parse_events(packet: bytes) -> Iterator[Progressed | Logged]:
    """The events of one packet, a JSON object a line. Raises ``EventError`` at the first line that is none."""
    for line in packet.splitlines():
        if line.strip():
            yield _parse(line)


def _parse(line: bytes) -> Progressed | Logged:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise EventError(f"it is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise EventError("it is not a JSON object")
    match value:
        case {"type": "progress", "progress": progress, **rest}:
            return _progressed(progress, rest)
        case {"type": "log", "level": level, "message": message, **rest}:
            return _logged(level, message, rest)
        case _:
            raise EventError("it is neither progress (`progress`) nor log (`level`, `message`)")


def _progressed(progress: object, rest: dict[str, Any]) -> Progressed:
    total, message = rest.pop("total", None), rest.pop("message", None)
    if not _is_number(progress) or not (total is None or _is_number(total)):
        raise EventError("`progress` and `total` must be numbers")
    if not (message is None or isinstance(message, str)):
        raise EventError("`message` must be text")
    _refuse(rest)
    return Progressed(progress, total, message)  # type: ignore[arg-type]  # checked above


def _logged(level: object, message: object, rest: dict[str, Any]) -> Logged:
    try:
        severity = LogLevel(level)  # type: ignore[arg-type]  # whatever else it is, it is no level
    except ValueError as error:
        raise EventError(f"`level` must be one of {', '.join(LogLevel)}") from error
    if not isinstance(message, str):
        raise EventError("`message` must be text")
    data = rest.pop("data", None)
    _refuse(rest)
    return Logged(severity, message, data)


def _refuse(rest: dict[str, Any]) -> None:
    if rest:
        raise EventError(f"it has the unknown member {min(rest)[:100]!a}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
