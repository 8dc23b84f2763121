"""Qualitative severity from CVSS vectors (CVSS 2.0, 3.x and 4.0; rating scales of FIRST and, for 2.0, of the NVD)."""

from __future__ import annotations

from collections.abc import Iterable
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


def from_vector(kind: str, vector: str) -> Severity:
    """The severity of one vector by OSV ``severity[].type``; ``unknown`` where the vector cannot be read.

    An unreadable vector does not make the record unreadable: ``unknown`` already counts as high.
    """
    if len(vector) > LONGEST_VECTOR:
        return Severity.UNKNOWN
    try:
        match kind:
            case "CVSS_V2":
                rating = CVSS2(vector).severities()[0]
            case "CVSS_V3":
                rating = CVSS3(vector).severities()[0]
            case "CVSS_V4":
                rating = CVSS4(vector).severity
            case _:
                return Severity.UNKNOWN
    except CVSSError:
        return Severity.UNKNOWN
    return _RATINGS[rating]


def worst(severities: Iterable[Severity]) -> Severity:
    """The worst severity that is known; ``unknown`` where none is."""
    known = [severity for severity in severities if severity is not Severity.UNKNOWN]
    return max(known, key=RANK.__getitem__, default=Severity.UNKNOWN)
