"""The same findings under another policy, with waivers, at another time: judged anew, never scanned anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from skillyard.governance.errors import ReportFormatError
from skillyard.governance.judge import judged
from skillyard.governance.report import Evidence, EvidenceState, Finding, PackageRef, Report, Severity, Verdict
from skillyard.governance.report_json import report_from_json, report_to_json
from skillyard.governance.scan import report_of, verdict_at
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.waivers.waiver import Waiver, how_to_waive
from skillyard.ids import BundleDigest, LockDigest, PersonId, WaiverId, WorkspaceId
from skillyard.skills.skill import Ecosystem

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = ScanPolicy()
JINJA = PackageRef(Ecosystem.PYPI, "jinja2", "2.10")
FILE = "a" * 64
RAN = Evidence("ours", "1", EvidenceState.RAN, NOW)
VULNERABLE = Finding("advisory", Verdict.BLOCK, Severity.HIGH, "affected", JINJA, "PYSEC-1", ("CVE-1", "GHSA-1"))
IN_A_FILE = Finding(
    "reverse_shell", Verdict.BLOCK, Severity.CRITICAL, "a shell", file="run.sh", line=3, file_sha256=FILE
)


def report(*findings: Finding, evidence: tuple[Evidence, ...] = (RAN,), policy: ScanPolicy = POLICY) -> Report:
    digests: Any = {"bundle_digest": BundleDigest("b"), "lock_digest": LockDigest("l")}
    return report_of(findings, evidence, policy=policy, now=NOW, locks=(), asked=policy.asked, **digests)


def waiver(**fields: Any) -> Waiver:
    made = Waiver(
        WaiverId(7), WorkspaceId(1), JINJA, "PYSEC-1", None, None, "not reachable", PersonId(1), "ann", NOW + DAY, NOW
    )
    return replace(made, **fields)


OF_FILE = waiver(package=None, advisory=None, rule="reverse_shell", file_sha256=FILE)


def test_a_policy_that_changes_judges_a_stored_report_anew() -> None:
    stored = report_from_json(report_to_json(report(VULNERABLE, IN_A_FILE)))
    assert stored.verdict is Verdict.BLOCK
    lenient = ScanPolicy(rules={"advisory": Verdict.FLAG, "reverse_shell": Verdict.PASS})
    now = judged(stored, lenient, NOW)
    assert now.verdict is Verdict.FLAG
    assert [(one.rule, one.level, one.said) for one in now.findings] == [
        ("advisory", Verdict.FLAG, Verdict.BLOCK),
        ("reverse_shell", Verdict.PASS, Verdict.BLOCK),
    ]
    assert (stored.policy, now.policy) == (POLICY.digest, lenient.digest)
    assert judged(report_from_json(report_to_json(now)), POLICY, NOW) == stored


def test_a_rule_can_be_made_stricter_than_its_scanner_says() -> None:
    flagged = replace(IN_A_FILE, level=Verdict.FLAG)
    assert report(flagged, policy=ScanPolicy(rules={"reverse_shell": Verdict.BLOCK})).verdict is Verdict.BLOCK


def test_a_pass_by_policy_does_not_say_that_nothing_was_found() -> None:
    made = report(IN_A_FILE, policy=ScanPolicy(rules={"reverse_shell": Verdict.PASS}))
    assert made.verdict is Verdict.PASS
    assert made.reasons[0] == "1 finding, which the scan policy lets pass; nothing else was found."


@pytest.mark.parametrize("name", ["PYSEC-1", "pysec-1", "CVE-1", "GHSA-1"])
def test_a_waiver_lets_an_advisory_be_by_any_of_its_names_and_it_stays_listed(name: str) -> None:
    now = judged(report(VULNERABLE), POLICY, NOW, waivers=[waiver(advisory=name)])
    assert now.verdict is Verdict.FLAG
    (found,) = now.findings
    assert found.waiver is not None
    assert (found.waiver.level, found.waiver.owner, found.waiver.reason) == (Verdict.BLOCK, "ann", "not reachable")
    assert now.reasons[0].endswith("Waived by ann until 2026-06-02 (waiver 7): not reachable")


def test_a_waiver_of_a_rule_is_about_one_content_of_a_file() -> None:
    assert judged(report(IN_A_FILE), POLICY, NOW, waivers=[OF_FILE]).verdict is Verdict.FLAG
    for other in (replace(IN_A_FILE, file_sha256="b" * 64), replace(IN_A_FILE, file_sha256=None)):
        assert judged(report(other), POLICY, NOW, waivers=[OF_FILE]).verdict is Verdict.BLOCK


@pytest.mark.parametrize(
    "other",
    [
        waiver(package=replace(JINJA, version="2.11")),
        waiver(package=replace(JINJA, ecosystem=Ecosystem.NPM)),
        waiver(advisory="PYSEC-2"),
        waiver(revoked_at=NOW),
        waiver(expires_at=NOW),
        OF_FILE,
    ],
)
def test_a_waiver_covers_what_it_names_and_only_while_it_holds(other: Waiver) -> None:
    assert judged(report(VULNERABLE), POLICY, NOW, waivers=[other]).verdict is Verdict.BLOCK


def test_an_expired_waiver_blocks_again_without_a_scan() -> None:
    made = report(VULNERABLE)
    assert verdict_at(made, POLICY, NOW, waivers=[waiver()]) is Verdict.FLAG
    assert verdict_at(made, POLICY, NOW + DAY, waivers=[waiver()]) is Verdict.BLOCK
    waived = judged(made, POLICY, NOW, waivers=[waiver()])
    assert judged(waived, POLICY, NOW + DAY, waivers=[waiver()]).verdict is Verdict.BLOCK
    assert judged(waived, POLICY, NOW).verdict is Verdict.BLOCK


def test_nothing_waives_malware_and_what_could_not_be_told() -> None:
    malware = replace(VULNERABLE, aliases=("MAL-2025-1",))
    untold = replace(VULNERABLE, rule="advisory_undetermined", level=Verdict.INDETERMINATE)
    assert judged(report(malware), POLICY, NOW, waivers=[waiver()]).verdict is Verdict.BLOCK
    assert judged(report(untold), POLICY, NOW, waivers=[waiver()]).verdict is Verdict.INDETERMINATE
    failed = replace(RAN, state=EvidenceState.FAILED)
    assert judged(report(VULNERABLE, evidence=(failed,)), POLICY, NOW, waivers=[waiver()]).verdict is (
        Verdict.INDETERMINATE
    )


def test_a_kept_report_with_a_waiver_in_it_is_not_believed() -> None:
    waived = judged(report(VULNERABLE), POLICY, NOW, waivers=[waiver()])
    with pytest.raises(ReportFormatError, match="waiver"):
        report_from_json(report_to_json(waived))


def test_evidence_that_the_policy_requires_has_to_be_there() -> None:
    made = report()
    asking = ScanPolicy(required_scanners=("theirs",))
    now = judged(made, asking, NOW)
    assert now.verdict is Verdict.INDETERMINATE
    assert "it requires evidence of theirs" in now.reasons[0]
    assert judged(report(evidence=(RAN, replace(RAN, scanner="theirs"))), asking, NOW).verdict is Verdict.PASS
    assert judged(now, POLICY, NOW).verdict is Verdict.PASS


@pytest.mark.parametrize("asking", [ScanPolicy(private_names=("acme-*",)), ScanPolicy(minimum_release_age_days=7)])
def test_what_scanners_were_not_asked_is_not_taken_for_clean(asking: ScanPolicy) -> None:
    before = report()
    assert judged(before, asking, NOW).verdict is Verdict.INDETERMINATE
    assert judged(replace(before, asked=""), asking, NOW).verdict is Verdict.INDETERMINATE
    assert report(policy=asking).verdict is Verdict.PASS
    assert judged(report(policy=asking), POLICY, NOW).verdict is Verdict.INDETERMINATE
    assert judged(replace(before, asked=""), POLICY, NOW).verdict is Verdict.PASS


def test_every_finding_says_what_would_waive_it_or_why_nothing_does() -> None:
    npm = replace(VULNERABLE, package=PackageRef(Ecosystem.NPM, "@s/pad", "1.2.0"))
    assert how_to_waive(VULNERABLE).startswith("skillyard waivers add --package jinja2==2.10 --advisory PYSEC-1 ")
    assert "--package @s/pad@1.2.0 --advisory PYSEC-1 --ecosystem npm" in how_to_waive(npm)
    assert f"--rule reverse_shell --file-digest {FILE}" in how_to_waive(IN_A_FILE)
    for other, why in (
        (replace(VULNERABLE, advisory="MAL-1"), "malicious"),
        (replace(IN_A_FILE, level=Verdict.INDETERMINATE), "could not be told"),
        (replace(IN_A_FILE, file_sha256=None), "in no bundle"),
        (replace(IN_A_FILE, file=None, file_sha256=None), "neither an advisory of a package nor a file"),
    ):
        assert why in how_to_waive(other)


_FINDINGS = st.builds(
    Finding,
    rule=st.sampled_from(["advisory", "reverse_shell"]),
    level=st.sampled_from(Verdict),
    severity=st.sampled_from(Severity),
    message=st.sampled_from(["one", "two"]),
    package=st.none() | st.just(JINJA),
    advisory=st.none() | st.sampled_from(["PYSEC-1", "PYSEC-2", "MAL-2025-1"]),
    cvss=st.none() | st.sampled_from([1.0, 9.8]),
    file_sha256=st.none() | st.just(FILE),
)
_POLICIES = st.builds(
    ScanPolicy,
    block_at=st.sampled_from([Severity.CRITICAL, Severity.HIGH, Severity.LOW]),
    block_at_cvss=st.none() | st.just(9.0),
    rules=st.dictionaries(st.sampled_from(["advisory", "reverse_shell"]), st.sampled_from(Verdict)),
)


@given(st.lists(_FINDINGS, max_size=4), _POLICIES, _POLICIES, st.lists(st.sampled_from([waiver(), OF_FILE])))
def test_judging_is_the_same_however_often_and_by_whatever_policy_it_was_done_before(
    findings: list[Finding], first: ScanPolicy, then: ScanPolicy, waivers: list[Waiver]
) -> None:
    at_once = judged(report(*findings), then, NOW, waivers=waivers)
    by_way_of = judged(
        judged(report(*findings, policy=first), first, NOW, waivers=[waiver()]), then, NOW, waivers=waivers
    )
    assert (at_once.verdict, at_once.findings) == (by_way_of.verdict, by_way_of.findings)
    assert judged(at_once, then, NOW, waivers=waivers) == at_once
    if any(one.malware for one in findings):
        assert at_once.verdict is Verdict.BLOCK
