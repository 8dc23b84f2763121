"""What several engines say becomes one list: nothing twice, and no disagreement unseen."""

from __future__ import annotations

from dataclasses import replace

from skillyard.governance.answers import Answer
from skillyard.governance.engines.agreement import agreed
from skillyard.governance.report import Evidence, EvidenceState, Finding, PackageRef, Severity, Verdict
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.skills.skill import Ecosystem

JINJA = PackageRef(Ecosystem.PYPI, "jinja2", "2.10")


def finding(advisory: str, *aliases: str, package: PackageRef = JINJA, level: Verdict = Verdict.BLOCK) -> Finding:
    return Finding("advisory", level, Severity.HIGH, f"{package}: {advisory}", package, advisory, aliases)


def answer(scanner: str, *findings: Finding, state: EvidenceState = EvidenceState.RAN) -> Answer:
    return findings, Evidence(scanner, "1", state, None)


def told(*answers: Answer) -> list[tuple[str, str | None]]:
    return [(one.rule, one.advisory) for findings, _ in agreed(answers) for one in findings]


def test_one_vulnerability_under_two_names_is_told_once() -> None:
    ours = answer("advisories", finding("PYSEC-1", "CVE-1", "GHSA-1"))
    assert told(ours, answer("pip-audit", finding("GHSA-1", "CVE-1"))) == [("advisory", "PYSEC-1")]
    assert told(answer("pip-audit", finding("CVE-1")), ours) == [("advisory", "PYSEC-1")]


def test_what_only_a_second_engine_finds_counts_with_its_severity() -> None:
    (_, (found, _)) = agreed([answer("advisories"), answer("pip-audit", finding("PYSEC-2"))])
    (alone,) = found
    assert (alone.rule, alone.advisory, alone.package) == ("engines_disagree", "PYSEC-2", JINJA)
    assert ScanPolicy().level_of(alone) is Verdict.BLOCK
    assert ScanPolicy().level_of(replace(alone, severity=Severity.LOW)) is Verdict.FLAG
    assert "pip-audit finds jinja2==2.10 affected by PYSEC-2; our own matching does not" in alone.message


def test_what_two_second_engines_find_alone_is_told_once() -> None:
    answers = answer("advisories"), answer("pip-audit", finding("A", "CVE-3")), answer("safety", finding("CVE-3", "B"))
    assert told(*answers) == [("engines_disagree", "A")]


def test_what_a_second_engine_does_not_see_is_a_flag_beside_the_finding() -> None:
    (ours, (theirs, _)) = agreed([answer("advisories", finding("PYSEC-1")), answer("pip-audit")])
    assert [one.advisory for one in ours[0]] == ["PYSEC-1"]
    assert [(one.rule, one.level, one.advisory) for one in theirs] == [("engines_disagree", Verdict.FLAG, None)]


def test_another_package_or_version_is_another_vulnerability() -> None:
    newer = replace(JINJA, version="2.11")
    answers = answer("advisories", finding("PYSEC-1")), answer("pip-audit", finding("PYSEC-1", package=newer))
    assert told(*answers) == [("advisory", "PYSEC-1"), ("engines_disagree", "PYSEC-1"), ("engines_disagree", None)]


def test_an_engine_that_did_not_run_disagrees_with_nobody() -> None:
    ours = answer("advisories", finding("PYSEC-1"))
    for state in (EvidenceState.FAILED, EvidenceState.MISSING, EvidenceState.STALE):
        assert told(ours, answer("pip-audit", state=state)) == [("advisory", "PYSEC-1")]


def test_without_a_primary_that_ran_every_finding_stays() -> None:
    failed = answer("advisories", state=EvidenceState.FAILED)
    assert told(failed, answer("pip-audit", finding("PYSEC-1"))) == [("advisory", "PYSEC-1")]


def test_what_engines_cannot_know_is_no_disagreement() -> None:
    npm = replace(JINJA, ecosystem=Ecosystem.NPM)
    ours = answer("advisories", finding("N", package=npm), finding("U", level=Verdict.INDETERMINATE))
    assert told(ours, answer("pip-audit")) == [("advisory", "N"), ("advisory", "U")]


def test_other_scanners_are_left_alone() -> None:
    other = answer("somebody", finding("PYSEC-1"))
    assert told(answer("advisories", finding("PYSEC-1")), other) == [("advisory", "PYSEC-1")] * 2
