"""What a skill may say while its call runs: how far it is, and log lines. Imported by skills as ``skillyard_call``.

    import skillyard_call

    skillyard_call.progress(3, 10, "reading")
    skillyard_call.log("warning", "two rows are empty", {"rows": [4, 9]})

The words are those of the Model Context Protocol. Each event is one packet to the relay on the call's own socket; what
nobody listens to is lost, and never an error of the call. Outside a sandbox there is no such module.
"""

from __future__ import annotations

import os
import time

from skillyard.sandbox.guest.frames import MAX_EVENT_BYTES
from skillyard.sandbox.guest.plain import dumps, suppress

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

__all__ = ["LEVELS", "log", "progress"]

_SECONDS_BETWEEN = 0.1
_MESSAGE_CHARACTERS = 1000

_socket = -1
_next = 0.0


def progress(progress: float, total: float | None = None, message: str | None = None) -> None:
    """Say how far the call is: ``progress`` grows, towards ``total`` where that is known.

    At most ten a second are sent, so that a loop may call this each time; the last, at ``total``, is sent always.
    Raises ``TypeError`` and ``ValueError`` for what is not a finite number.
    """
    global _next  # noqa: PLW0603 - one process serves one call
    now = time.monotonic()
    done = total is not None and progress >= total
    if now < _next and not done:
        return
    _next = now + _SECONDS_BETWEEN
    event: dict[str, object] = {"type": "progress", "progress": _number(progress)}
    if total is not None:
        event["total"] = _number(total)
    if message is not None:
        event["message"] = _text(message)
    _send(event)


def log(level: str, message: str, data: object = None) -> None:
    """Send a log line. ``level`` is one of ``LEVELS``; ``data`` is any JSON, left out where it is too large.

    Raises ``ValueError`` for an unknown level and ``TypeError`` for data that is not JSON.
    """
    if level not in LEVELS:
        raise ValueError(f"level {level!r} is none of {', '.join(LEVELS)}")
    event: dict[str, object] = {"type": "log", "level": level, "message": _text(message)}
    if data is not None:
        event["data"] = data
    if not _send(event):
        del event["data"]
        event["message"] = f"{event['message']} (its data is larger than {MAX_EVENT_BYTES} bytes)"
        _send(event)


def _number(value: float) -> float:
    return int(value) if isinstance(value, int) else float(value)


def _text(value: str) -> str:
    """Short enough that an event with it always fits, at up to six bytes a character."""
    text = str(value)
    return text if len(text) <= _MESSAGE_CHARACTERS else text[: _MESSAGE_CHARACTERS - 1] + "…"


def _send(event: dict[str, object]) -> bool:
    """False where the event is too large to be sent."""
    packet = dumps(event, allow_nan=False, ensure_ascii=False).encode(errors="replace")
    if len(packet) > MAX_EVENT_BYTES:
        return False
    with suppress(OSError):
        os.write(_socket, packet)
    return True


def _connect(descriptor: int) -> None:
    global _socket  # noqa: PLW0603 - one process serves one call
    _socket = descriptor
