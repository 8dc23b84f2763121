"""The primary scanner over a real index: what it finds, and what it says when it could not look."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from skillyard.conformance import mismatches
from skillyard.governance.advisories.index import IndexFile, index_path
from skillyard.governance.advisories.sources import FileSource, Taken
from skillyard.governance.advisories.testing import MemorySource
from skillyard.governance.advisories.update import ensure_index, update
from skillyard.governance.report import EvidenceState, Exploitation, Severity, Verdict
from skillyard.governance.scanner import Scanner, ScanTarget
from skillyard.governance.scanners.advisories import AdvisoryScanner, create_scanner
from skillyard.settings import Settings
from skillyard.skills.skill import Ecosystem

MakeTarget = Callable[..., ScanTarget]
CLEAN = {"jinja2": "3.1.6"}


@pytest.fixture
def scanner(tmp_path: Path) -> AdvisoryScanner:
    return create_scanner(Settings(home=tmp_path / "home"))


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return index_path(tmp_path / "home")


def test_it_is_a_scanner(scanner: AdvisoryScanner) -> None:
    assert list(mismatches(scanner, Scanner)) == []


async def test_known_vulnerable_packages_are_found_with_every_id(
    scanner: AdvisoryScanner, index: Path, target: MakeTarget, now: datetime
) -> None:
    await ensure_index(index.parent, now=now)
    pins = {"jinja2": "2.10", "requests": "2.19.1", "flask": "0.12", "werkzeug": "99.0"}
    findings, evidence = await scanner.scan(target(pins), now=now)
    assert {finding.advisory for finding in findings} == {
        "PYSEC-2021-66",
        "PYSEC-2019-217",
        "PYSEC-2023-74",
        "PYSEC-2018-28",
        "PYSEC-2018-66",
        "PYSEC-2019-179",
        "PYSEC-2023-62",
    }
    assert {(finding.rule, finding.level, finding.severity) for finding in findings} == {
        ("advisory", Verdict.BLOCK, Severity.UNKNOWN)
    }
    assert (evidence.state, evidence.data_date) == (EvidenceState.RAN, datetime(2024, 10, 10, tzinfo=UTC))
    (escape,) = [finding for finding in findings if finding.advisory == "PYSEC-2019-217"]
    assert escape.fixed_in == ("2.10.1",)
    assert "CVE-2019-10906" in escape.aliases
    assert escape.message == (
        "jinja2==2.10 is affected by PYSEC-2019-217 (CVE-2019-10906, GHSA-462w-v97r-4m45), "
        "of unknown severity, which counts as high; fixed in 2.10.1."
    )


async def test_npm_packages_are_looked_up_too_and_the_oldest_data_gives_the_date(
    scanner: AdvisoryScanner, index: Path, target: MakeTarget, now: datetime
) -> None:
    await ensure_index(index.parent, now=now)
    findings, evidence = await scanner.scan(target(npm={"marked": "0.3.5"}), now=now)
    assert "NSWG-101" in {finding.advisory for finding in findings}
    assert evidence.data_date == datetime(2026, 4, 8, tzinfo=UTC)
    _, evidence = await scanner.scan(target(CLEAN, npm={"marked": "99.0.0"}), now=now)
    assert evidence.data_date == datetime(2024, 10, 10, tzinfo=UTC)


async def test_mild_findings_flag_and_unclear_ones_are_indeterminate(
    scanner: AdvisoryScanner, index: Path, target: MakeTarget, now: datetime
) -> None:
    mild = [{"type": "CVSS_V3", "score": "CVSS:3.0/AV:P/AC:L/PR:L/UI:R/S:U/C:L/I:L/A:N"}]
    records = [_record("MILD-1", "jinja2", "99", severity=mild), _record("ODD-1", "flask", "next-tuesday")]
    await update(index, MemorySource(records), now=now)
    findings, _ = await scanner.scan(target({"jinja2": "3.0", "flask": "3.0"}), now=now)
    levels = {finding.advisory: (finding.rule, finding.level) for finding in findings}
    assert levels == {
        "MILD-1": ("advisory", Verdict.FLAG),
        "ODD-1": ("advisory_undetermined", Verdict.INDETERMINATE),
    }


async def test_no_index_is_missing_and_a_damaged_one_is_failed(
    scanner: AdvisoryScanner, index: Path, target: MakeTarget, now: datetime
) -> None:
    _, evidence = await scanner.scan(target(CLEAN), now=now)
    assert evidence.state is EvidenceState.MISSING
    assert "advisories update" in (evidence.reason or "")
    damage(index)
    _, evidence = await scanner.scan(target(CLEAN), now=now)
    assert evidence.state is EvidenceState.FAILED


async def test_an_ecosystem_without_data_is_missing(
    scanner: AdvisoryScanner, index: Path, target: MakeTarget, now: datetime
) -> None:
    await update(index, MemorySource([_record("A", "jinja2", "2")]), now=now)
    findings, evidence = await scanner.scan(target({"jinja2": "1.0"}, npm={"marked": "0.3.5"}), now=now)
    assert (findings, evidence.state) == ((), EvidenceState.MISSING)
    assert "npm" in (evidence.reason or "")


async def test_without_packages_no_data_is_needed(target: MakeTarget, tmp_path: Path, now: datetime) -> None:
    scanner = AdvisoryScanner(index=IndexFile(tmp_path / "none.db"))
    for nothing in (target(), target(pypi={})):
        findings, evidence = await scanner.scan(nothing, now=now)
        assert (findings, evidence.state, evidence.data_date) == ((), EvidenceState.RAN, None)


async def test_packages_that_are_declared_and_not_locked_are_not_clean(
    scanner: AdvisoryScanner, index: Path, target: MakeTarget, now: datetime
) -> None:
    await ensure_index(index.parent, now=now)
    unlocked = replace(target(CLEAN), locks=())
    findings, evidence = await scanner.scan(unlocked, now=now)
    assert (findings, evidence.state) == ((), EvidenceState.MISSING)
    assert "pypi" in (evidence.reason or "")


async def test_evidence_tells_one_index_from_another(
    scanner: AdvisoryScanner, index: Path, target: MakeTarget, now: datetime
) -> None:
    await update(index, MemorySource([_record("A", "demo", "2")]), now=now)
    _, first = await scanner.scan(target(CLEAN), now=now)
    await update(index, MemorySource([_record("B", "jinja2", "99")]), now=now)
    findings, second = await scanner.scan(target(CLEAN), now=now)
    assert first.version != second.version
    assert [finding.advisory for finding in findings] == ["B"]


async def test_a_malicious_package_is_blocked_whatever_its_version(
    scanner: AdvisoryScanner, index: Path, target: MakeTarget, now: datetime, tmp_path: Path
) -> None:
    (tmp_path / "bad.txt").write_text("# names\nReqeusts-Py\n")
    listed = FileSource(tmp_path / "bad.txt", taken=Taken(frozenset({Ecosystem.PYPI})))
    taken_over = [{"package": {"ecosystem": "PyPI", "name": "flask"}, "versions": ["9.9.9"]}]
    records = [_record("A", "jinja2", "2"), _record("MAL-2026-1", "flask", "1", affected=taken_over)]
    await update(index, MemorySource(records), now=now)
    await update(index, listed, now=now)
    findings, _ = await scanner.scan(target({"reqeusts-py": "0.0.1", "flask": "9.9.9"}), now=now)
    assert {(one.rule, one.advisory, one.level, one.severity) for one in findings} == {
        ("malicious_package", "MAL-LIST-reqeusts-py", Verdict.BLOCK, Severity.CRITICAL),
        ("malicious_package", "MAL-2026-1", Verdict.BLOCK, Severity.CRITICAL),
    }
    assert all(one.malware and one.why and one.fix for one in findings)
    findings, _ = await scanner.scan(target({"flask": "9.9.8"}), now=now)
    assert findings == (), "an honest release of a package that was taken over once"


async def test_scores_and_what_attackers_do_are_shown_beside_the_severity(
    scanner: AdvisoryScanner, index: Path, target: MakeTarget, now: datetime, tmp_path: Path
) -> None:
    vector = "CVSS:3.0/AV:P/AC:L/PR:L/UI:R/S:U/C:L/I:L/A:N"
    mild = [{"type": "CVSS_V3", "score": vector}]
    records = [_record("MILD-1", "jinja2", "99", severity=mild, aliases=["CVE-2026-0010", "CVE-2026-0011"])]
    await update(index, MemorySource(records), now=now)
    (tmp_path / "epss.csv").write_text(
        "#model_version:v2025.03.14,score_date:2026-05-30T00:00:00+0000\ncve,epss,percentile\n"
        "CVE-2026-0010,0.25,0.9\nCVE-2026-0011,0.5,0.95\n"
    )
    await update(index, FileSource(tmp_path / "epss.csv"), now=now)
    entry = {"cveID": "CVE-2026-0010", "dateAdded": "2026-05-02"}
    kev = {
        "catalogVersion": "2026.05.30",
        "dateReleased": "2026-05-30T10:00:00Z",
        "count": 1,
        "vulnerabilities": [entry],
    }
    (tmp_path / "kev.json").write_text(json.dumps(kev))
    await update(index, FileSource(tmp_path / "kev.json"), now=now)
    (finding,), _ = await scanner.scan(target({"jinja2": "3.0"}), now=now)
    assert (finding.cvss, finding.cvss_vector) == (3.1, vector)
    assert finding.exploitation == Exploitation(0.5, 0.95, date(2026, 5, 30), date(2026, 5, 2))
    assert (finding.level, finding.severity) == (Verdict.FLAG, Severity.LOW), "facts of others set no severity"


def damage(index: Path) -> None:
    index.parent.mkdir(parents=True, exist_ok=True)
    index.write_bytes(b"damaged")


def _record(identity: str, package: str, fixed: str, **fields: object) -> bytes:
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]
    affected = [{"package": {"ecosystem": "PyPI", "name": package}, "ranges": ranges}]
    return json.dumps({"id": identity, "modified": "2026-05-01T00:00:00Z", "affected": affected} | fields).encode()
