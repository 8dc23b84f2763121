"""Scores and qualitative severity from CVSS vectors (2.0, 3.x and 4.0; rating scales of FIRST, for 2.0 of the NVD)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cvss import CVSS2, CVSS3, CVSS4
from cvss.exceptions import CVSSError

from skillyard.governance.report import Severity

RANK: Final = {
    Severity.LOW: 1,
    Severity.MEDIUM: 2,
    Severity.HIGH: 3,
    Severity.UNKNOWN: 3,
    Severity.CRITICAL: 4,
}
"""How severities compare. ``unknown`` ranks as high: most records carry no vector, and unknown is not low."""

_RATINGS: Final = {
    "None": Severity.LOW,
    "Low": Severity.LOW,
    "Medium": Severity.MEDIUM,
    "High": Severity.HIGH,
    "Critical": Severity.CRITICAL,
}
LONGEST_VECTOR: Final = 512
"""Characters; longer vectors are not read."""


@dataclass(frozen=True, slots=True)
class Cvss:
    """One vector that could be read, and its base score (0 to 10)."""

    score: float
    vector: str
    severity: Severity


def scored(kind: str, vector: str) -> Cvss | None:
    """One vector by OSV ``severity[].type``; ``None`` where it cannot be read.

    An unreadable vector does not make the record unreadable: its severity is ``unknown``, which counts as high.
    """
    if len(vector) > LONGEST_VECTOR:
        return None
    try:
        match kind:
            case "CVSS_V2":
                second = CVSS2(vector)
                score, rating = second.scores()[0], second.severities()[0]
            case "CVSS_V3":
                third = CVSS3(vector)
                score, rating = third.scores()[0], third.severities()[0]
            case "CVSS_V4":
                fourth = CVSS4(vector)
                score, rating = fourth.base_score, fourth.severity
            case _:
                return None
    except CVSSError:
        return None
    return Cvss(float(score), vector, _RATINGS[rating])


def worst_score(scores: Iterable[Cvss | None]) -> Cvss | None:
    """The highest of the scores there are; of equal ones the first."""
    return max((one for one in scores if one is not None), key=lambda one: one.score, default=None)


def worst(severities: Iterable[Severity]) -> Severity:
    """The worst severity that is known; ``unknown`` where none is."""
    known = [severity for severity in severities if severity is not Severity.UNKNOWN]
    return max(known, key=RANK.__getitem__, default=Severity.UNKNOWN)
