"""Severity decides between a block and a flag."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from skillyard.governance.advisories.severity import RANK, from_vector, worst
from skillyard.governance.report import Severity


@pytest.mark.parametrize(
    ("kind", "vector", "severity"),
    [
        ("CVSS_V2", "AV:N/AC:L/Au:N/C:C/I:C/A:C", Severity.HIGH),
        ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Severity.CRITICAL),
        ("CVSS_V3", "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:N", Severity.MEDIUM),
        ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", Severity.LOW),
        ("CVSS_V4", "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", Severity.CRITICAL),
    ],
)
def test_vectors_have_the_severity_that_first_gives_them(kind: str, vector: str, severity: Severity) -> None:
    assert from_vector(kind, vector) is severity


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
    assert from_vector(kind, vector) is Severity.UNKNOWN
    assert RANK[Severity.UNKNOWN] == RANK[Severity.HIGH]


@given(st.sampled_from(["CVSS_V2", "CVSS_V3", "CVSS_V4"]), st.text(max_size=80))
def test_no_vector_breaks_an_import(kind: str, vector: str) -> None:
    assert from_vector(kind, vector) in Severity


def test_the_worst_known_severity_counts() -> None:
    assert worst([Severity.LOW, Severity.UNKNOWN, Severity.MEDIUM]) is Severity.MEDIUM
    assert worst([Severity.UNKNOWN]) is Severity.UNKNOWN
    assert worst([]) is Severity.UNKNOWN
