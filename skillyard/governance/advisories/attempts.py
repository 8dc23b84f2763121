"""What became of the last attempt at each source: a small file beside the index, for people and for the daily job.

The index itself says nothing of attempts that failed, because they leave it as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from skillyard.governance.errors import AdvisoryIndexError


class AttemptState(StrEnum):
    """How an attempt ended; an interrupted one is not written."""

    UPDATED = "updated"
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The last attempt at one source. ``succeeded_at`` is when one last ended otherwise than in failure."""

    source: str
    at: datetime
    state: AttemptState
    error: str | None
    succeeded_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Kept:
    format: Literal[1]
    attempts: tuple[Attempt, ...]


_KEPT = TypeAdapter(_Kept)


def attempts_path(index: Path) -> Path:
    return index.with_name(index.name + ".attempts")


def read_attempts(index: Path) -> tuple[Attempt, ...]:
    """By source; none before the first. Raises ``AdvisoryIndexError`` for a file that cannot be read."""
    try:
        return _KEPT.validate_json(attempts_path(index).read_bytes()).attempts
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        message = "what became of the last updates cannot be read; the next one writes it anew"
        raise AdvisoryIndexError(message) from error


def write_attempt(index: Path, source: str, *, at: datetime, state: AttemptState, error: str | None = None) -> None:
    """Note an attempt, whole or not at all. For who holds the update lock; blocking."""
    try:
        known = {one.source: one for one in read_attempts(index)}
    except AdvisoryIndexError:
        known = {}
    before = known[source].succeeded_at if source in known else None
    known[source] = Attempt(source, at, state, error, before if state is AttemptState.FAILED else at)
    path = attempts_path(index)
    beside = path.with_name(path.name + ".new")
    try:
        beside.write_bytes(_KEPT.dump_json(_Kept(1, tuple(known[name] for name in sorted(known)))))
        beside.replace(path)
    except OSError as failure:
        raise AdvisoryIndexError(f"the advisory index could not be written: {failure}") from failure
