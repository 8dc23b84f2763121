"""A kept report lets a skill run, so nothing but what was kept may be read back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from skillyard.governance.errors import ReportFormatError
from skillyard.governance.report import (
    Capability,
    CapabilityUse,
    Confidence,
    Evidence,
    EvidenceState,
    Finding,
    PackageRef,
    Report,
    Severity,
    Verdict,
    combine,
)
from skillyard.governance.report_json import report_from_json, report_to_json
from skillyard.ids import BundleDigest, LockDigest
from skillyard.skills.skill import Ecosystem

texts = st.text(st.characters(codec="utf-8"), max_size=12)
times = st.datetimes(timezones=st.just(UTC))
packages = st.builds(PackageRef, st.sampled_from(Ecosystem), texts, texts)
findings = st.builds(
    Finding,
    rule=texts,
    level=st.sampled_from(Verdict),
    severity=st.sampled_from(Severity),
    message=texts,
    package=st.none() | packages,
    advisory=st.none() | texts,
    aliases=st.lists(texts, max_size=3).map(tuple),
    fixed_in=st.lists(texts, max_size=3).map(tuple),
    file=st.none() | texts,
    line=st.none() | st.integers(1, 10_000),
    confidence=st.sampled_from(Confidence),
    evidence=st.none() | texts,
    why=st.none() | texts,
    fix=st.none() | texts,
)
uses = st.builds(CapabilityUse, st.sampled_from(Capability), texts, st.integers(1, 10_000), texts)
evidence = st.builds(
    Evidence,
    texts,
    texts,
    st.sampled_from(EvidenceState),
    st.none() | times,
    st.none() | texts,
    st.lists(texts, max_size=2).map(tuple),
    st.lists(uses, max_size=2).map(tuple),
)


@st.composite
def reports(draw: st.DrawFn) -> Report:
    found = tuple(draw(st.lists(findings, max_size=4)))
    looked = tuple(draw(st.lists(evidence, max_size=3)))
    reasons = tuple(draw(st.lists(texts, min_size=1, max_size=3)))
    digests = BundleDigest(draw(texts)), LockDigest(draw(texts))
    return Report(combine(found, looked), found, looked, reasons, *digests, draw(times))


@given(reports())
def test_what_is_kept_comes_back(report: Report) -> None:
    assert report_from_json(report_to_json(report)) == report
    assert report_from_json(report_to_json(report).decode()) == report


def test_what_the_first_format_kept_comes_back_with_nothing_added() -> None:
    stored = kept()
    report = report_from_json(json.dumps(stored))
    stored["format"] = 1
    old = {"rule", "level", "severity", "message", "package", "advisory", "aliases", "fixed_in", "file", "line"}
    for name in stored["report"]["findings"][0].keys() - old:
        del stored["report"]["findings"][0][name]
    for name in ("skipped", "capabilities"):
        del stored["report"]["evidence"][0][name]
    for name in ("policy", "asked"):
        del stored["report"][name]
    assert report_from_json(json.dumps(stored)) == report


def kept() -> dict[str, Any]:
    package = PackageRef(Ecosystem.PYPI, "jinja2", "2.10")
    found = (Finding("advisory", Verdict.BLOCK, Severity.HIGH, "affected", package, "A-1"),)
    looked = (Evidence("ours", "1", EvidenceState.RAN, datetime(2026, 6, 1, tzinfo=UTC)),)
    report = Report(
        Verdict.BLOCK, found, looked, ("why",), BundleDigest("b"), LockDigest("l"), datetime(2026, 6, 1, tzinfo=UTC)
    )
    stored: dict[str, Any] = json.loads(report_to_json(report))
    return stored


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format", 1),
        ("format", 3),
        ("report/verdict", 0),
        ("report/verdict", 7),
        ("report/verdict", "3"),
        ("report/verdict", 3.0),
        ("report/findings", []),
        ("report/findings/0/level", 1),
        ("report/findings/0/level", True),
        ("report/findings/0/severity", "mild"),
        ("report/findings/0/package/ecosystem", "cargo"),
        ("report/findings/0/comment", "new"),
        ("report/evidence/0/state", "done"),
        ("report/evidence/0/data_date", "2026-06-01T00:00:00"),
        ("report/evidence/0/data_date", 1780272000),
        ("report/made_at", "yesterday"),
        ("report/reasons", []),
        ("report/extra", 1),
        ("extra", 1),
    ],
)
def test_what_was_not_kept_is_refused(path: str, value: object) -> None:
    stored = kept()
    *parents, last = path.split("/")
    place: Any = stored
    for parent in parents:
        place = place[int(parent)] if parent.isdecimal() else place[parent]
    place[int(last) if last.isdecimal() else last] = value
    with pytest.raises(ReportFormatError):
        report_from_json(json.dumps(stored))


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{", b"\xff", '{"format":1}'])
def test_what_is_no_report_is_refused(data: bytes | str) -> None:
    with pytest.raises(ReportFormatError):
        report_from_json(data)


def test_a_missing_field_is_refused_even_where_there_is_a_default() -> None:
    stored = kept()
    del stored["report"]["findings"][0]["aliases"]
    with pytest.raises(ReportFormatError):
        report_from_json(json.dumps(stored))
