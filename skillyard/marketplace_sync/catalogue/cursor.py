"""Cursors of a feed: opaque to who holds one, checked in full by who gave it."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from skillyard.marketplace_sync.catalogue.store import Catalogue
from skillyard.marketplace_sync.errors import CursorError, CursorGoneError

_TEXT = re.compile(r"([0-9a-f-]{36}):([0-9]{1,18}):([0-9]{1,18}):([0-9]{1,18})?")
_MAX = 200


@dataclass(frozen=True, slots=True)
class FeedCursor:
    """``seq`` was read last. ``up_to`` is set while a snapshot is being read: it ends there."""

    feed_id: str
    epoch: int
    seq: int
    up_to: int | None = None

    def __str__(self) -> str:
        text = f"{self.feed_id}:{self.epoch}:{self.seq}:{'' if self.up_to is None else self.up_to}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_cursor(text: str) -> FeedCursor:
    """Raises ``CursorError``."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4) if len(text) <= _MAX else b""
        found = _TEXT.fullmatch(base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii"))
    except (ValueError, binascii.Error) as error:
        raise CursorError("not a cursor of this feed", field="cursor") from error
    if found is None:
        raise CursorError("not a cursor of this feed", field="cursor")
    up_to = None if found[4] is None else int(found[4])
    return FeedCursor(found[1], int(found[2]), int(found[3]), up_to)


def check(cursor: FeedCursor, catalogue: Catalogue) -> None:
    """Raises ``CursorGoneError`` where the feed cannot go on from it."""
    if (cursor.feed_id, cursor.epoch) != (catalogue.feed_id, catalogue.epoch):
        raise CursorGoneError("the cursor belongs to another feed; begin again with a snapshot")
    if cursor.seq < catalogue.horizon and cursor.up_to is None:
        raise CursorGoneError("the cursor lies before what the feed still remembers; begin again with a snapshot")
    if cursor.seq > catalogue.seq:
        raise CursorGoneError("the cursor lies ahead of the feed, which was put back; begin again with a snapshot")
