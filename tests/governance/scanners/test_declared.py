"""An import that nothing declared provides is shown to whoever reviews the skill."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from skillyard.conformance import mismatches
from skillyard.governance.report import EvidenceState, Verdict
from skillyard.governance.scanner import Scanner, ScanTarget
from skillyard.governance.scanners.declared import create_scanner
from skillyard.settings import Settings

MakeTarget = Callable[..., ScanTarget]
SCRIPT = "import os\nimport requests\nimport numpy\nimport yaml\n"


def test_it_is_a_scanner() -> None:
    assert list(mismatches(create_scanner(Settings()), Scanner)) == []


async def test_what_is_imported_and_not_declared_is_flagged(target: MakeTarget, now: datetime) -> None:
    made = target({"requests": "2.32.0"}, script=SCRIPT)
    findings, evidence = await create_scanner(Settings()).scan(made, now=now)
    assert evidence.state is EvidenceState.RAN
    assert {finding.level for finding in findings} == {Verdict.FLAG}
    numpy, yaml = sorted(finding.message for finding in findings)
    assert "imports numpy" in numpy
    assert "declare pyyaml" in yaml


async def test_what_comes_along_with_another_package_is_said_to(target: MakeTarget, now: datetime) -> None:
    made = target({"requests": "2.32.0"}, script="import requests, urllib3\n")
    with_urllib3 = target({"requests": "2.32.0", "urllib3": "2.0"})
    (finding,), _ = await create_scanner(Settings()).scan(
        ScanTarget(made.skill, with_urllib3.locks, made.folder), now=now
    )
    assert "urllib3 only comes along" in finding.message


async def test_a_skill_that_declares_what_it_uses_has_no_finding(target: MakeTarget, now: datetime) -> None:
    findings, _ = await create_scanner(Settings()).scan(target({"pyyaml": "6.0"}, script="import yaml\n"), now=now)
    assert findings == ()


async def test_a_file_too_large_to_be_parsed_is_flagged_for_what_it_imports_is_not_known(
    target: MakeTarget, now: datetime
) -> None:
    made = target({}, script="import numpy\n" + "x = 1\n" * 100_000)
    (finding,), _ = await create_scanner(Settings()).scan(made, now=now)
    assert finding.rule == "unknown_imports"
    assert finding.level is Verdict.FLAG
    assert "scripts/run.py" in finding.message
