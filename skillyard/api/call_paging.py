"""Cursors of lists of calls, newest first: when the last one began, and its id."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from skillyard.errors import InputError
from skillyard.ids import InvocationId
from skillyard.runtime.invocations import Cursor, InvocationSummary

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def cursor_of(last: InvocationSummary) -> str:
    return f"{(last.started_at - _EPOCH) // timedelta(microseconds=1)}.{last.id}"


def place_of(cursor: str | None) -> Cursor | None:
    """Raises ``InputError`` for text that is no cursor."""
    if cursor is None:
        return None
    moment, _, identity = cursor.partition(".")
    try:
        started_at = _EPOCH + timedelta(microseconds=int(moment))
        return Cursor(started_at, InvocationId(str(uuid.UUID(identity))))
    except (ValueError, OverflowError) as error:
        raise InputError("not a cursor of this list", field="cursor") from error
