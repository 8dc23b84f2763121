"""Severity decides between a block and a flag."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from skillyard.governance.advisories.severity import RANK, scored, worst, worst_score
from skillyard.governance.report import Severity


@pytest.mark.parametrize(
    ("kind", "vector", "severity", "score"),
    [
        ("CVSS_V2", "AV:N/AC:L/Au:N/C:C/I:C/A:C", Severity.HIGH, 10.0),
        ("CVSS_V2", "AV:N/AC:M/Au:N/C:N/I:P/A:N", Severity.MEDIUM, 4.3),
        ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Severity.CRITICAL, 9.8),
        ("CVSS_V3", "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:N", Severity.MEDIUM, 6.5),
        ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", Severity.LOW, 0.0),
        ("CVSS_V4", "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", Severity.CRITICAL, 9.3),
    ],
)
def test_vectors_have_the_score_and_severity_that_first_gives_them(
    kind: str, vector: str, severity: Severity, score: float
) -> None:
    found = scored(kind, vector)
    assert found is not None
    assert (found.severity, found.score, found.vector) == (severity, score, vector)


@pytest.mark.parametrize(
    ("kind", "vector"),
    [
        ("CVSS_V3", "CVSS:3.1/AV:N"),
        ("CVSS_V3", "7.5"),
        ("CVSS_V9", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N"),
        ("Ubuntu", "low"),
        ("CVSS_V3", "CVSS:3.1/" + "AV:N/" * 1000),
    ],
)
def test_what_cannot_be_read_is_unknown_and_never_low(kind: str, vector: str) -> None:
    assert scored(kind, vector) is None
    assert RANK[Severity.UNKNOWN] == RANK[Severity.HIGH]


@given(st.sampled_from(["CVSS_V2", "CVSS_V3", "CVSS_V4"]), st.text(max_size=80))
def test_no_vector_breaks_an_import(kind: str, vector: str) -> None:
    found = scored(kind, vector)
    assert found is None or 0 <= found.score <= 10


def test_the_worst_known_severity_counts() -> None:
    assert worst([Severity.LOW, Severity.UNKNOWN, Severity.MEDIUM]) is Severity.MEDIUM
    assert worst([Severity.UNKNOWN]) is Severity.UNKNOWN
    assert worst([]) is Severity.UNKNOWN


def test_the_highest_score_counts_and_none_is_not_zero() -> None:
    low = scored("CVSS_V3", "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:N")
    high = scored("CVSS_V2", "AV:N/AC:L/Au:N/C:C/I:C/A:C")
    assert worst_score([low, None, high]) is high
    assert worst_score([None]) is None
