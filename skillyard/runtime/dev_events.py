"""What happened to a skill that is being edited, for whoever shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from skillyard.errors import InputError, SkillyardError
from skillyard.governance.report import Verdict
from skillyard.runtime.values import Invocation
from skillyard.sandbox.errors import HealthError
from skillyard.sandbox.hostconfig import BUNDLE_TARGET

_FRAME = re.compile(rf'File "{re.escape(BUNDLE_TARGET)}/([^"\n]+)", line (\d+)')
"""A line of a Python traceback that is about a file of the skill."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the skill's folder something is wrong."""

    file: str
    line: int | None


@dataclass(frozen=True, slots=True)
class Swapped:
    """Calls go to ``new`` now. ``seconds`` is since the change was seen to have settled, ``stages`` what of it
    took how long."""

    changed: tuple[str, ...]
    old: str | None
    new: str
    verdict: Verdict
    packages: int
    locks_known: bool
    """Whether the lock was kept; nothing was resolved then."""
    approved: tuple[str, ...]
    """Packages that the operator's approval was recorded for."""
    stages: Mapping[str, float]
    seconds: float


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The files were written and are what serves calls already."""

    changed: tuple[str, ...]
    serving: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The change did not take over; ``serving`` still answers calls, nothing where it is ``None``."""

    changed: tuple[str, ...]
    error: SkillyardError
    place: Place | None
    serving: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """The change is sound and waits for the operator's approval; ``serving`` answers calls until then."""

    changed: tuple[str, ...]
    version: str
    reason: str
    serving: str | None


@dataclass(frozen=True, slots=True)
class Superseded:
    """Newer content came while this change was being prepared, and is taken instead."""

    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FolderVanished:
    """The folder is gone; ``serving`` goes on answering calls."""

    serving: str | None


@dataclass(frozen=True, slots=True)
class FolderReturned:
    """There is a folder again."""


@dataclass(frozen=True, slots=True)
class Called:
    """What the call that is made after every swap came to."""

    invocation: Invocation


@dataclass(frozen=True, slots=True)
class CallFailed:
    """The call that is made after every swap could not be made."""

    version: str
    error: SkillyardError


DevEvent = Swapped | Unchanged | Refused | Held | Superseded | FolderVanished | FolderReturned | Called | CallFailed


def place_of(error: SkillyardError) -> Place | None:
    """The file and line that an error is about: said by our own reading of the skill, or by the last frame of a failed
    check's traceback that is the skill's."""
    match error:
        case InputError(file=str(file)):
            return Place(file, error.line)
        case HealthError():
            frames = _FRAME.findall(str(error))
            return Place(frames[-1][0], int(frames[-1][1])) if frames else None
        case _:
            return None
