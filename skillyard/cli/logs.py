"""Logs of every process that the command line starts: standard error, no values of variables in tracebacks."""

from __future__ import annotations

import logging
import sys

import orjson
import structlog

from skillyard.cli.exit_codes import UsageProblemError
from skillyard.settings import Settings


def configure_logs(settings: Settings, *, quiet: bool) -> None:
    """Send structured and standard logs to standard error, from the settings' level on.

    ``quiet`` is for commands that one person watches: they show warnings and worse, unless a level was set. A server
    writes for people on a terminal, and JSON lines elsewhere.
    """
    level = _level(settings.log_level)
    if quiet and "log_level" not in settings.model_fields_set:
        level = max(level, logging.WARNING)
    logging.basicConfig(
        level=max(level, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s"
    )
    structlog.configure(
        processors=log_processors(for_people=quiet or sys.stderr.isatty()),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def log_processors(*, for_people: bool) -> list[structlog.typing.Processor]:
    """What makes a line of an event: readable, or a JSON object for whatever collects logs."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # The traceback as text: renderers of their own would print the values of variables, secrets among them.
        structlog.processors.format_exc_info,
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if for_people
        else structlog.processors.JSONRenderer(serializer=_json),
    ]


def _json(event: structlog.typing.EventDict, **_options: object) -> str:
    return orjson.dumps(event, default=str).decode()


def _level(name: str) -> int:
    found = logging.getLevelNamesMapping().get(name.upper())
    if found is None:
        raise UsageProblemError(f"{name!r} is not a log level, for example INFO", field="SKILLYARD_LOG_LEVEL")
    return found
