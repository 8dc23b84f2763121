"""Nothing that goes wrong while scanning may come out as "clean"."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from skillyard.governance.report import Evidence, EvidenceState, Finding, PackageRef, Report, Severity, Verdict
from skillyard.governance.scan import is_stale, scan, verdict_at
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.scanner import ScanTarget
from skillyard.settings import Settings
from skillyard.skills.lock import closure_digest
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import Ecosystem

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
FRESH = NOW - timedelta(days=1)
POLICY = ScanPolicy(max_age=timedelta(days=7), scanner_timeout=30.0)
GOOD = Evidence("ours", "1", EvidenceState.RAN, FRESH)
JINJA = PackageRef(Ecosystem.PYPI, "jinja2", "2.10")
Scan = Callable[[], Coroutine[Any, Any, Any]]


class Plugin:
    """A scanner as somebody else might write it: it answers with whatever its function gives."""

    def __init__(self, answer: Scan, name: object = "ours") -> None:
        self._answer = answer
        self.name = name

    async def scan(self, target: ScanTarget, *, now: datetime) -> Any:  # noqa: ARG002
        return await self._answer()


def answering(findings: object = (), evidence: object = GOOD, name: object = "ours") -> Plugin:
    async def answer() -> Any:
        return findings, evidence

    return Plugin(answer, name)


def finding(severity: Severity = Severity.HIGH, level: Verdict = Verdict.BLOCK, **fields: Any) -> Finding:
    return Finding("advisory", level, severity, "jinja2==2.10 is affected.", JINJA, **({"advisory": "A-1"} | fields))


@pytest.fixture
def target(tmp_path: Path) -> ScanTarget:
    folder = tmp_path / "demo-skill"
    folder.mkdir()
    (folder / "SKILL.md").write_text("---\nname: demo-skill\ndescription: A skill to scan.\n---\nRead it.\n")
    return ScanTarget(parse_skill(folder), (), folder)


async def report_of(target: ScanTarget, *scanners: Plugin, policy: ScanPolicy = POLICY, **more: Any) -> Report:
    return await scan(target, scanners, policy=policy, now=NOW, **more)  # type: ignore[arg-type]  # plug-ins misbehave


async def test_clean_evidence_passes_and_says_on_what_data(target: ScanTarget) -> None:
    report = await report_of(target, answering())
    assert report.verdict is Verdict.PASS
    assert report.reasons == (
        "Nothing was found in 0 packages and the skill's own files.",
        "Scanner ours 1 ran with data of 2026-05-31.",
    )
    assert (report.bundle_digest, report.lock_digest) == (target.skill.bundle.digest, closure_digest(()))


async def test_no_scanner_at_all_is_indeterminate(target: ScanTarget) -> None:
    report = await report_of(target)
    assert report.verdict is Verdict.INDETERMINATE
    assert "no scanner is installed" in report.reasons[0]


async def test_a_scanner_that_could_not_be_loaded_is_indeterminate(target: ScanTarget) -> None:
    absent = Evidence("theirs", "2.0", EvidenceState.MISSING, None, "it does not import")
    report = await report_of(target, answering(), missing=(absent,))
    assert report.verdict is Verdict.INDETERMINATE
    assert report.reasons[0] == "INDETERMINATE because scanner theirs is missing: it does not import"


def raising(error: BaseException) -> Plugin:
    async def answer() -> None:
        raise error

    return Plugin(answer)


@pytest.mark.parametrize(
    "error",
    [ValueError("boom"), SystemExit(0), TimeoutError(), asyncio.CancelledError(), MemoryError(), KeyError("x")],
)
async def test_a_scanner_that_raises_is_indeterminate(target: ScanTarget, error: BaseException) -> None:
    report = await report_of(target, raising(error), answering(name="other"))
    assert report.verdict is Verdict.INDETERMINATE
    assert [one.state for one in report.evidence] == [EvidenceState.FAILED, EvidenceState.RAN]
    assert "scanner ours failed" in report.reasons[0]


async def test_a_scanner_that_hangs_is_cancelled_and_indeterminate(target: ScanTarget) -> None:
    cleaned = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    report = await report_of(target, Plugin(hang), policy=replace(POLICY, scanner_timeout=0.05))
    assert report.verdict is Verdict.INDETERMINATE
    assert "no answer within 0.05 seconds" in report.reasons[0]
    assert cleaned.is_set()


async def test_a_cancelled_scan_stops_its_scanners(target: ScanTarget) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    task = asyncio.create_task(report_of(target, Plugin(hang)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped.is_set()


def broken(value: Finding | Evidence, **fields: Any) -> Finding | Evidence:
    """The value with fields of types that a type checker would not let pass."""
    return replace(value, **fields)


@pytest.mark.parametrize(
    ("findings", "evidence"),
    [
        (None, GOOD),
        ((), None),
        ({}, GOOD),
        (("bad",), GOOD),
        ((broken(finding(), level=0),), GOOD),
        ((broken(finding(), level="BLOCK"),), GOOD),
        ((broken(finding(), severity="odd"),), GOOD),
        ((broken(finding(), message=None),), GOOD),
        ((broken(finding(), message="\ud800"),), GOOD),
        ((broken(finding(), package="jinja2"),), GOOD),
        ((broken(finding(), aliases="CVE"),), GOOD),
        ((), broken(GOOD, state="done")),
        ((), broken(GOOD, data_date=datetime(2026, 5, 31))),  # noqa: DTZ001
        ((), broken(GOOD, data_date="today")),
        ((), broken(GOOD, version=None)),
    ],
)
async def test_an_answer_that_is_none_is_indeterminate(target: ScanTarget, findings: object, evidence: object) -> None:
    report = await report_of(target, answering(findings, evidence))
    assert report.verdict is Verdict.INDETERMINATE
    assert report.evidence[0].state is EvidenceState.FAILED


async def test_a_scanner_without_a_proper_name_is_still_named(target: ScanTarget) -> None:
    report = await report_of(target, answering(name=None), answering(evidence=replace(GOOD, scanner="advisories")))
    assert [one.scanner for one in report.evidence] == ["Plugin", "ours"], "nobody speaks under another's name"


async def test_a_known_bad_stays_blocked_when_other_evidence_is_missing(target: ScanTarget) -> None:
    report = await report_of(target, answering((finding(),)), raising(ValueError("boom")))
    assert report.verdict is Verdict.BLOCK
    assert report.reasons[0] == "BLOCK by rule advisory: jinja2==2.10 is affected."
    assert report.reasons[1].startswith("INDETERMINATE because")


@pytest.mark.parametrize(
    ("block_at", "severity", "verdict"),
    [
        (Severity.HIGH, Severity.CRITICAL, Verdict.BLOCK),
        (Severity.HIGH, Severity.HIGH, Verdict.BLOCK),
        (Severity.HIGH, Severity.UNKNOWN, Verdict.BLOCK),
        (Severity.HIGH, Severity.MEDIUM, Verdict.FLAG),
        (Severity.LOW, Severity.LOW, Verdict.BLOCK),
        (Severity.CRITICAL, Severity.UNKNOWN, Verdict.FLAG),
    ],
)
async def test_the_policy_says_what_a_severity_does(
    target: ScanTarget, block_at: Severity, severity: Severity, verdict: Verdict
) -> None:
    for level in (Verdict.PASS, Verdict.FLAG, Verdict.BLOCK):
        report = await report_of(
            target, answering((finding(severity, level),)), policy=replace(POLICY, block_at=block_at)
        )
        assert report.verdict is verdict


async def test_what_cannot_be_told_stays_indeterminate_whatever_the_policy(target: ScanTarget) -> None:
    unsure = finding(Severity.LOW, Verdict.INDETERMINATE)
    report = await report_of(target, answering((unsure,)), policy=replace(POLICY, block_at=Severity.CRITICAL))
    assert report.verdict is Verdict.INDETERMINATE


async def test_findings_and_reasons_come_strongest_first(target: ScanTarget) -> None:
    found = (
        Finding("undeclared_import", Verdict.FLAG, Severity.LOW, "flagged", file="run.py", line=3),
        finding(Severity.HIGH, advisory="B"),
        finding(Severity.CRITICAL, advisory="C"),
    )
    report = await report_of(target, answering(found))
    assert [one.advisory for one in report.findings] == ["C", "B", None]
    assert report.reasons[2] == "FLAG by rule undeclared_import: flagged (run.py:3)"


@pytest.mark.parametrize(
    ("data_date", "max_age", "verdict"),
    [
        (NOW - timedelta(days=7), timedelta(days=7), Verdict.PASS),
        (NOW - timedelta(days=7, seconds=1), timedelta(days=7), Verdict.INDETERMINATE),
        (NOW - timedelta(days=900), None, Verdict.PASS),
        (NOW + timedelta(days=2), timedelta(days=7), Verdict.INDETERMINATE),
        (None, timedelta(days=7), Verdict.PASS),
    ],
)
async def test_old_data_is_indeterminate_when_scanning(
    target: ScanTarget, data_date: datetime | None, max_age: timedelta | None, verdict: Verdict
) -> None:
    policy = replace(POLICY, max_age=max_age)
    report = await report_of(target, answering(evidence=replace(GOOD, data_date=data_date)), policy=policy)
    assert report.verdict is verdict
    if verdict is Verdict.INDETERMINATE and data_date and data_date < NOW:
        assert "its data is of 2026-05-25, 7 days old" in report.reasons[0]


async def test_a_report_grows_old_between_scanning_and_deciding(target: ScanTarget) -> None:
    report = await report_of(target, answering())
    assert not is_stale(report, POLICY, NOW + timedelta(days=6))
    assert is_stale(report, POLICY, NOW + timedelta(days=6, seconds=1))
    assert verdict_at(report, POLICY, NOW + timedelta(days=30)) is Verdict.INDETERMINATE
    assert verdict_at(report, replace(POLICY, max_age=None), NOW + timedelta(days=30)) is Verdict.PASS
    blocked = await report_of(target, answering((finding(),)))
    assert verdict_at(blocked, POLICY, NOW + timedelta(days=30)) is Verdict.BLOCK


def test_the_settings_say_how_old_data_may_be() -> None:
    assert ScanPolicy.from_settings(Settings(advisories_max_age_days=2.5)).max_age == timedelta(days=2.5)
