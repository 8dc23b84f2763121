"""Since when nothing refers to things: what a grace period is counted from, kept between collections.

One file of JSON, replaced as a whole. Where it cannot be read, counting begins anew: late is safe, early is not.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import structlog

from skillyard.sandbox.folders import write_synced

_log = structlog.get_logger("skillyard.collect")


@dataclass(frozen=True, slots=True)
class Marks:
    """By kind and name, when something was first seen without a reference; and when all was last looked at."""

    since: Mapping[str, Mapping[str, datetime]]
    collected_at: datetime | None

    @classmethod
    def load(cls, file: Path) -> Marks:
        """Blocks."""
        try:
            stored = orjson.loads(file.read_bytes())
            since = {
                str(kind): {str(name): datetime.fromisoformat(at) for name, at in marks.items()}
                for kind, marks in stored["since"].items()
            }
            at = stored["collected_at"]
            return cls(since, None if at is None else datetime.fromisoformat(at))
        except FileNotFoundError:
            return cls({}, None)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _log.error("marks_unreadable", file=str(file), error=str(error))
            return cls({}, None)

    def seen(self, kind: str, idle: Collection[str], now: datetime) -> Mapping[str, datetime]:
        """Since when each of these has been without a reference, ``now`` for what was not yet."""
        known = self.since.get(kind, {})
        return {name: min(known.get(name, now), now) for name in idle}

    def save(self, file: Path) -> None:
        """Blocks."""
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
        document = {
            "since": {kind: {name: at.isoformat() for name, at in marks.items()} for kind, marks in self.since.items()},
            "collected_at": None if self.collected_at is None else self.collected_at.isoformat(),
        }
        try:
            write_synced(beside, orjson.dumps(document))
            beside.replace(file)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)  # noqa: PTH108 - nothing else of this needs a Path


def is_ripe(since: datetime, now: datetime, grace: timedelta) -> bool:
    return now - since >= grace
