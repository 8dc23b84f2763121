"""A record that is misread makes an affected package look clean, so what is not OSV is refused, with its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from skillyard.governance.advisories.advisory import Interval
from skillyard.governance.advisories.osv import parse_record
from skillyard.governance.errors import AdvisorySourceError
from skillyard.governance.report import Severity
from skillyard.skills.skill import Ecosystem

MakeRecord = Callable[..., bytes]
VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
PYPI = {"ecosystem": "PyPI", "name": "demo"}


def test_a_record_becomes_one_advisory_a_package(record: MakeRecord) -> None:
    affected = [
        {"package": {"ecosystem": "PyPI", "name": "Jw.Util"}, "versions": ["1.0"]},
        {"package": {"ecosystem": "npm", "name": "jw-util"}, "versions": ["1.0.0"], "severity": _severity(VECTOR)},
        {"package": {"ecosystem": "PyPI:mirror", "name": "jw_util"}, "versions": ["2.5"]},
        {"package": {"ecosystem": "Maven", "name": "a:b"}, "versions": ["nonsense"]},
        {"ranges": [{"type": "GIT", "repo": "r", "events": [{"introduced": "0"}]}]},
    ]
    python, node = parse_record(record(aliases=["CVE-2", "CVE-1", "TEST-1"], affected=affected), source="x")
    assert (python.ecosystem, python.package, python.versions) == (Ecosystem.PYPI, "jw-util", frozenset({"1", "2.5"}))
    assert python.severity is Severity.UNKNOWN
    assert (node.ecosystem, node.package, node.severity) == (Ecosystem.NPM, "jw-util", Severity.CRITICAL)
    assert python.aliases == ("CVE-1", "CVE-2")


def test_git_ranges_are_not_read_as_versions(record: MakeRecord) -> None:
    git = {"type": "GIT", "repo": "r", "events": [{"introduced": "0"}, {"fixed": "deadbeef"}]}
    ordered = {"type": "ECOSYSTEM", "events": [{"introduced": "1.0"}, {"fixed": "1.2"}]}
    (both,) = parse_record(record(affected=[{"package": PYPI, "ranges": [git, ordered]}]), source="x")
    assert (both.intervals, both.undetermined) == ((Interval("1.0", fixed="1.2"),), ())
    (git_only,) = parse_record(record(affected=[{"package": PYPI, "ranges": [git]}]), source="x")
    assert git_only.undetermined == ("the record names no versions",)


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2021-09-26T23:32:08.989778Z", datetime(2021, 9, 26, 23, 32, 8, 989778, tzinfo=UTC)),
        ("2021-09-27T01:32:08+02:00", datetime(2021, 9, 26, 23, 32, 8, tzinfo=UTC)),
        ("1-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),  # PYSEC records carry it
    ],
)
def test_time_stamps_of_real_records_are_read(record: MakeRecord, written: str, moment: datetime) -> None:
    (one,) = parse_record(record(modified=written), source="x")
    assert one.modified == moment


def test_null_is_an_absent_array_as_the_schema_has_it(record: MakeRecord) -> None:
    (one,) = parse_record(record(aliases=None, severity=None), source="x")
    assert one.aliases == ()


def _severity(vector: object) -> list[dict[str, Any]]:
    return [{"type": "CVSS_V3", "score": vector}]


def _events(*events: object) -> list[dict[str, Any]]:
    return [{"package": PYPI, "ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"id": 7}, "id is not a string"),
        ({"id": ""}, "id is not a string"),
        ({"id": "A\x1b[31m"}, "not printable"),
        ({"id": "A" * 600}, "longer than"),
        ({"modified": "yesterday"}, "modified is not an RFC 3339"),
        ({"modified": "2021-01-01T00:00:00"}, "modified has no time zone"),
        ({"modified": "0001-01-01T00:00:00+14:00"}, "modified is not an RFC 3339"),
        ({"modified": None}, "modified is not a string"),
        ({"withdrawn": 3}, "withdrawn is not a string"),
        ({"aliases": "CVE-1"}, "aliases is not an array"),
        ({"aliases": [1]}, "aliases is not a string"),
        ({"affected": {}}, "affected is not an array"),
        ({"affected": ["demo"]}, "affected[] is not an object"),
        ({"affected": [{"package": {"ecosystem": "PyPI"}}]}, "name is missing"),
        ({"affected": [{"package": {"name": "demo"}}]}, "ecosystem is missing"),
        ({"affected": [{"package": PYPI, "versions": [1.0]}]}, "versions is not a string"),
        ({"affected": [{"package": PYPI, "ranges": [{"events": []}]}]}, "type is missing"),
        ({"affected": [{"package": PYPI, "ranges": [{"type": "ODD", "events": []}]}]}, "type is unknown: ODD"),
        ({"affected": _events({"fixed": "1.0"})}, "no introduced event"),
        ({"affected": _events({"introduced": "0", "fixed": "1.0"})}, "exactly one event"),
        ({"affected": _events({"introduced": "0"}, {"patched": "1.0"})}, "unknown: patched"),
        ({"affected": _events({"introduced": 0})}, "introduced is not a string"),
        ({"severity": [{"type": "CVSS_V3"}]}, "score is missing"),
        ({"severity": _severity(9.8)}, "score is not a string"),
    ],
)
def test_what_is_not_osv_is_refused_with_its_place(record: MakeRecord, fields: dict[str, Any], names: str) -> None:
    with pytest.raises(AdvisorySourceError) as refusal:
        parse_record(json.dumps(json.loads(record()) | fields).encode(), source="all.jsonl", line=12)
    assert names in str(refusal.value)
    assert (refusal.value.source, refusal.value.line) == ("all.jsonl", 12)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"text"', b"<html>", b"\xff\xfe", b"[" * 5000])
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(AdvisorySourceError, match=r"^x:3: not "):
        parse_record(data, source="x", line=3)


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))
events = st.dictionaries(st.sampled_from(["introduced", "fixed", "last_affected", "limit", "x"]), scalars, max_size=2)
entries = st.fixed_dictionaries(
    {"package": st.just(PYPI) | st.just({"ecosystem": "npm", "name": "demo"}) | values},
    optional={
        "versions": st.lists(scalars, max_size=3) | values,
        "severity": st.lists(st.fixed_dictionaries({"type": scalars, "score": scalars}), max_size=2) | values,
        "ranges": st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["ECOSYSTEM", "SEMVER", "GIT"]) | scalars, "events": st.lists(events) | values}
            )
        )
        | values,
    },
)
records = st.fixed_dictionaries(
    {"id": st.just("A") | values, "modified": st.just("2026-01-01T00:00:00Z") | values},
    optional={"affected": st.lists(entries, max_size=3) | values, "aliases": values, "withdrawn": values},
)


@given(records)
def test_any_json_is_either_read_or_refused(value: object) -> None:
    data = json.dumps(value).encode()
    try:
        advisories = parse_record(data, source="x")
    except AdvisorySourceError:
        return
    assert all(one.package and one.id == "A" for one in advisories)
