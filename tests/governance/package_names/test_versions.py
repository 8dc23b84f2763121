"""Versions that beat every real one are told; calendars and packages that count fast are not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from skillyard.governance.package_names.versions import above_line

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("99.99.99", []),
        ("999.9.9", ["1.2.0", "3.1"]),
        ("99.0.0", ["0.9"]),
        ("9999.0.0", ["12.0"]),
        ("99.99.99", ["2024.1"]),
    ],
)
def test_a_version_that_nobody_counts_up_to(version: str, known: list[str]) -> None:
    assert above_line(version, known, NOW) is not None


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("2026.11.1", ["1.0"]),
        ("20260101", ["1.0"]),
        ("24.3.1", ["9.0"]),
        ("80.9.0", ["65.5.1"]),
        ("130.0.1", []),
        ("130.0.1", ["88.0.0"]),
        ("not-a-version", ["1.0"]),
    ],
)
def test_calendars_and_fast_counters(version: str, known: list[str]) -> None:
    assert above_line(version, known, NOW) is None
