"""The real ``npm audit`` on our index; and whatever goes wrong with it, the verdict is INDETERMINATE."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from skillyard.conformance import mismatches
from skillyard.governance.advisories.index import AdvisoryIndex, IndexFile
from skillyard.governance.engines.engine_run import RunLimits
from skillyard.governance.engines.loopback import Loopback, serving
from skillyard.governance.report import EvidenceState, Report, Verdict
from skillyard.governance.scan import scan
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.scanner import Scanner, ScanTarget
from skillyard.governance.scanners.advisories import AdvisoryScanner
from skillyard.governance.scanners.npm_audit import NpmAuditScanner
from tests.governance.engines.conftest import NOW, MakeTarget
from tests.governance.engines.test_pip_audit import answering

Program = Callable[[str], Sequence[str]]
Misrouted = Callable[[str], Callable[[AdvisoryIndex], AbstractContextManager[Loopback]]]
CLEAN = {"left-pad": "1.3.0"}
GOOD = json.dumps(
    {"auditReportVersion": 2, "vulnerabilities": {}, "metadata": {"vulnerabilities": {}, "dependencies": {"total": 1}}}
)


@pytest.fixture
def npm() -> Path:
    found = shutil.which("npm")
    assert found is not None, "npm is not installed"
    return Path(found)


async def report_of(scanner: Scanner, target: ScanTarget, index: IndexFile) -> Report:
    scanners = (AdvisoryScanner(index=index), scanner)
    return await scan(target, scanners, policy=ScanPolicy(max_age=None), now=NOW)


def evidence_of(report: Report) -> tuple[EvidenceState, str]:
    (one,) = [each for each in report.evidence if each.scanner == "npm-audit"]
    return one.state, one.reason or ""


async def test_the_real_npm_audit_finds_what_we_find(index: IndexFile, npm: Path, target: MakeTarget) -> None:
    scanner = NpmAuditScanner(index=index, program=npm)
    assert list(mismatches(scanner, Scanner)) == []
    report = await report_of(scanner, target(npm={"marked": "0.3.5", **CLEAN}), index)
    assert evidence_of(report)[0] is EvidenceState.RAN
    found = [one.advisory for one in report.findings]
    assert "NSWG-101" in found
    assert len(found) == len(set(found))
    assert {one.rule for one in report.findings} == {"advisory"}
    (evidence,) = [one for one in report.evidence if one.scanner == "npm-audit"]
    assert evidence.version.startswith("npm ")
    assert evidence.data_date is not None


async def test_npm_that_is_not_there_is_missing_and_not_needed_without_npm_packages(
    index: IndexFile, target: MakeTarget, tmp_path: Path
) -> None:
    for program in (None, tmp_path / "no-npm"):
        scanner = NpmAuditScanner(index=index, program=program)
        report = await report_of(scanner, target(npm=CLEAN), index)
        assert (report.verdict, evidence_of(report)[0]) == (Verdict.INDETERMINATE, EvidenceState.MISSING)
        assert evidence_of(await report_of(scanner, target({"jinja2": "3.1.6"}), index))[0] is EvidenceState.RAN


OUTPUTS = {
    "empty": "",
    "truncated": GOOD[:40],
    "no JSON": "npm error audit endpoint returned an error",
    "an error": '{"message": "request failed", "error": {"summary": ""}}',
    "no vulnerabilities": GOOD.replace('"vulnerabilities": {}, "metadata"', '"metadata"'),
    "fewer packages": GOOD.replace('"total": 1', '"total": 0'),
    "another report": GOOD.replace('"auditReportVersion": 2', '"auditReportVersion": 3'),
    "a package that is not locked": GOOD.replace('"vulnerabilities": {},', '"vulnerabilities": {"x": {"via": []}},', 1),
    "nothing asked": GOOD,
}


@pytest.mark.parametrize("exit_code", [0, 1, 2, 137])
@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS)
async def test_output_that_is_not_npms_is_indeterminate_whatever_the_exit_code(
    index: IndexFile, program: Program, target: MakeTarget, output: str, exit_code: int
) -> None:
    code = f"import sys\nif '--version' in sys.argv: sys.exit(print('11.0.0'))\nsys.stdout.write({output!r})"
    (path,) = program(f"{code}\nsys.exit({exit_code})")
    report = await report_of(NpmAuditScanner(index=index, program=Path(path)), target(npm=CLEAN), index)
    assert (report.verdict, evidence_of(report)[0]) == (Verdict.INDETERMINATE, EvidenceState.FAILED)


async def test_a_report_about_fewer_packages_than_are_locked_is_indeterminate(
    index: IndexFile, program: Program, target: MakeTarget
) -> None:
    output = OUTPUTS["fewer packages"]
    (path,) = program(f"import sys\nprint('11.0.0' if '--version' in sys.argv else {output!r})")
    report = await report_of(NpmAuditScanner(index=index, program=Path(path)), target(npm=CLEAN), index)
    assert evidence_of(report) == (EvidenceState.FAILED, "it looked at 0 packages, and 1 are locked")


async def test_npm_that_hangs_is_indeterminate(index: IndexFile, program: Program, target: MakeTarget) -> None:
    (path,) = program("import time; time.sleep(1000)")
    scanner = NpmAuditScanner(index=index, program=Path(path), limits=RunLimits(seconds=2))
    report = await report_of(scanner, target(npm=CLEAN), index)
    assert (report.verdict, evidence_of(report)[0]) == (Verdict.INDETERMINATE, EvidenceState.FAILED)


@pytest.mark.parametrize(("status", "body"), [(404, b""), (405, b""), (500, b""), (200, b"<html>"), (200, b"{}")])
async def test_an_endpoint_that_refuses_or_answers_in_our_place_is_indeterminate(
    index: IndexFile, npm: Path, target: MakeTarget, misrouted: Misrouted, status: int, body: bytes
) -> None:
    with answering(status, body) as url:
        scanner = NpmAuditScanner(index=index, program=npm, serve=misrouted(url))
        report = await report_of(scanner, target(npm=CLEAN), index)
    assert (report.verdict, evidence_of(report)[0]) == (Verdict.INDETERMINATE, EvidenceState.FAILED)


def test_the_bulk_endpoint_reads_compressed_questions_and_refuses_what_unpacks_to_too_much(index: IndexFile) -> None:
    with serving(index.current()) as endpoint:
        address = f"{endpoint.url}/-/npm/v1/security/advisories/bulk"
        headers = {"Content-Encoding": "gzip"}
        asked = gzip.compress(b'{"marked": ["0.3.5"]}')
        known = httpx.post(address, content=asked, headers=headers).json()["marked"]
        assert "NSWG-101" in {one["title"] for one in known}
        assert all(one["vulnerable_versions"] for one in known)
        for wrong in (gzip.compress(b" " * 2**22), asked[:-9], b"plain", gzip.compress(b'{"marked": "0.3.5"}')):
            assert httpx.post(address, content=wrong, headers=headers).status_code == 400
