"""Versions far above every release that is known of a package: how dependency confusion makes a resolver choose it.

Whoever uploads a package under the name of a private one gives it a version that beats every real one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final

_NINES: Final = re.compile(r"9{2,}(\.\d+)*")
_MAJOR: Final = re.compile(r"v?(?:\d+!)?(\d+)")
_FAR: Final = 10
"""So many times the highest major that is known."""
_LEAST: Final = 50
"""Majors below this are reached by ordinary packages that count fast."""


def above_line(version: str, known: Iterable[str], now: datetime) -> str | None:
    """How a version stands out, as the end of a sentence; ``None`` where it does not.

    ``known`` are versions that are on record. A year, or a date, is a way of counting that packages change to.
    """
    major = _major(version)
    if major is None or _is_calendar(major, now):
        return None
    majors = [one for one in map(_major, known) if one is not None and not _is_calendar(one, now)]
    if majors and major >= _LEAST and major >= _FAR * max(1, *majors):
        return f"is far above every version on record, the highest of which begins with {max(majors)}"
    if not majors and _NINES.fullmatch(version):
        return "is one that nobody counts up to"
    return None


def _major(version: str) -> int | None:
    found = _MAJOR.match(version.strip())
    return int(found[1]) if found else None


def _is_calendar(major: int, now: datetime) -> bool:
    text = str(major)
    year = int(text[:4]) if len(text) in {4, 6, 8} else 0
    return 1990 <= year <= now.year + 1
