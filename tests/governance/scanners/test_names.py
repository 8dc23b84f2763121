"""What a package's name and version tell a reviewer: from the lock and the declarations, without asking anybody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from skillyard.conformance import mismatches
from skillyard.governance.advisories.index import IndexFile
from skillyard.governance.advisories.update import ensure_index
from skillyard.governance.report import EvidenceState, Verdict
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.scanner import Scanner, ScanTarget
from skillyard.governance.scanners.names import ABOVE, LOOKALIKE, PRIVATE, NamesScanner, create_scanner
from skillyard.settings import Settings
from skillyard.times import utcnow

MakeTarget = Callable[..., ScanTarget]
OURS = ScanPolicy(private_names=("acme-*", "@acme/*"), known_names=("reqeusts",))


@pytest.fixture
async def index(tmp_path: Path) -> IndexFile:
    return IndexFile(await ensure_index(tmp_path, now=utcnow()))


def scanner(index: IndexFile, *, policy: ScanPolicy | None = None, own: bool = False) -> NamesScanner:
    return NamesScanner(policy=policy or ScanPolicy(), index=index, own_index=own, resolver_age_days=0.0)


def test_it_is_a_scanner() -> None:
    assert list(mismatches(create_scanner(Settings()), Scanner)) == []


async def test_ordinary_packages_say_nothing(target: MakeTarget, index: IndexFile, now: datetime) -> None:
    made = target({"requests": "2.32.0", "numpy": "1.26.4", "certifi": "2024.7.4"}, npm={"express": "4.19.2"})
    findings, evidence = await scanner(index).scan(made, now=now)
    assert findings == ()
    assert evidence.state is EvidenceState.RAN


async def test_a_look_alike_is_flagged_and_no_more(target: MakeTarget, index: IndexFile, now: datetime) -> None:
    made = target({"reqeusts": "2.32.0"}, npm={"expresss": "4.19.2"})
    findings, _ = await scanner(index).scan(made, now=now)
    assert [(one.rule, one.level) for one in findings] == [(LOOKALIKE, Verdict.FLAG)] * 2
    assert "requests" in findings[0].message
    allowed, _ = await scanner(index, policy=OURS).scan(target({"reqeusts": "2.32.0"}), now=now)
    assert allowed == ()


async def test_what_is_declared_and_not_locked_is_looked_at_too(
    target: MakeTarget, index: IndexFile, now: datetime
) -> None:
    made = replace(target({"reqeusts": "2.32.0"}), locks=())
    (finding,), _ = await scanner(index).scan(made, now=now)
    assert "any version" in finding.message


async def test_a_private_name_without_an_index_of_its_own_blocks(
    target: MakeTarget, index: IndexFile, now: datetime
) -> None:
    made = target({"acme-billing": "1.0"}, npm={"@acme/ui": "1.0.0"})
    findings, _ = await scanner(index, policy=OURS).scan(made, now=now)
    assert [(one.rule, one.level) for one in findings] == [(PRIVATE, Verdict.BLOCK)] * 2
    findings, _ = await scanner(index, policy=OURS, own=True).scan(made, now=now)
    assert [one.level for one in findings] == [Verdict.FLAG, Verdict.BLOCK]


async def test_a_version_far_above_the_known_line(target: MakeTarget, index: IndexFile, now: datetime) -> None:
    made = target({"django": "99.0", "requests": "2.32.0", "internal-thing": "99.99.99"})
    findings, _ = await scanner(index).scan(made, now=now)
    assert {(one.rule, one.package.name if one.package else "", one.level) for one in findings} == {
        (ABOVE, "django", Verdict.FLAG),
        (ABOVE, "internal-thing", Verdict.FLAG),
    }


async def test_a_release_age_that_nobody_enforced_is_not_taken_for_met(
    target: MakeTarget, index: IndexFile, now: datetime
) -> None:
    policy = ScanPolicy(minimum_release_age_days=7)
    _, evidence = await scanner(index, policy=policy).scan(target({"requests": "2.32.0"}), now=now)
    assert evidence.state is EvidenceState.FAILED
    assert "7 days" in (evidence.reason or "")
    told = NamesScanner(policy=policy, index=index, own_index=False, resolver_age_days=7)
    _, evidence = await told.scan(target({"requests": "2.32.0"}), now=now)
    assert evidence.state is EvidenceState.RAN


async def test_without_an_index_it_says_so(target: MakeTarget, tmp_path: Path, now: datetime) -> None:
    missing = IndexFile(tmp_path / "nothing.db")
    _, evidence = await scanner(missing).scan(target({"requests": "2.32.0"}), now=now)
    assert evidence.state is EvidenceState.FAILED
