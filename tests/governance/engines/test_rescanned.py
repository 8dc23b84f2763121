"""Newer data is matched by the primary engine alone: what a second engine said stays, and so does what it has seen."""

from __future__ import annotations

from datetime import timedelta

from skillyard.governance.engines.agreement import RULE
from skillyard.governance.rematch import DataState, rematched
from skillyard.governance.report import Evidence, EvidenceState, Finding, PackageRef, Report, Severity, Verdict
from skillyard.governance.scan import report_of
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.ids import BundleDigest, LockDigest
from skillyard.skills.lock import Lock, Target
from skillyard.skills.skill import Ecosystem
from tests.governance.engines.conftest import NOW, package

POLICY = ScanPolicy(max_age=timedelta(days=36_500))
LOCK = Lock(Ecosystem.PYPI, Target("3.11", "x86_64-manylinux_2_28"), (package("jinja2", "2.10"),))
ALONE = Finding(
    rule=RULE,
    level=Verdict.BLOCK,
    severity=Severity.HIGH,
    message="pip-audit finds jinja2==2.10 affected by A; our own matching does not.",
    package=PackageRef(Ecosystem.PYPI, "jinja2", "2.10"),
    advisory="A",
)


def report(*findings: Finding) -> Report:
    evidence = [
        Evidence("advisories", "1+index.old", EvidenceState.RAN, NOW),
        Evidence("pip-audit", "2.10.1+index.old", EvidenceState.RAN, NOW, "not independent evidence"),
    ]
    return report_of(
        findings,
        evidence,
        policy=POLICY,
        now=NOW,
        locks=(LOCK,),
        bundle_digest=BundleDigest("sha256:b"),
        lock_digest=LockDigest("sha256:l"),
        asked=POLICY.asked,
    )


def after(days: int, old: Report) -> Report:
    later = NOW + timedelta(days=days)
    data = DataState(f"after{days}", {Ecosystem.PYPI: later})
    return rematched(old, (LOCK,), (), data, policy=POLICY, now=later)


def test_what_only_a_second_engine_found_still_blocks_after_a_rescan() -> None:
    new = after(1, report(ALONE))
    assert (new.verdict, [one.advisory for one in new.findings]) == (Verdict.BLOCK, ["A"])


def test_the_report_says_once_on_which_data_an_engine_that_was_not_asked_again_ran() -> None:
    (evidence,) = [one for one in after(2, after(1, report())).evidence if one.scanner == "pip-audit"]
    assert evidence.version == "2.10.1+index.old"
    ran_on = f"it ran on data of {NOW:%Y-%m-%d}; newer data was matched by scanner advisories alone"
    assert evidence.reason == f"not independent evidence; {ran_on}"
