"""What a skill says that it does without, against what its code uses."""

from __future__ import annotations

from pathlib import Path

import pytest
from skillyard.governance.report import Capability, CapabilityUse, Verdict
from skillyard.governance.static.permissions import undeclared
from skillyard.skills.parse import parse_skill

NETWORK = CapabilityUse(Capability.NETWORK, "a.py", 3, "requests.get('https://api.vendor.com/v1')")
PROGRAM = CapabilityUse(Capability.SUBPROCESS, "a.py", 4, "subprocess.run(['ls'])")


def found(folder: Path, *uses: CapabilityUse, description: str = "Does things.", extra: str = "") -> list[str]:
    root = folder / "skill"
    root.mkdir()
    (root / "SKILL.md").write_text(f"---\nname: skill\ndescription: {description}\n{extra}---\nText.\n")
    findings = undeclared(parse_skill(root), uses)
    assert all(finding.level is Verdict.FLAG and finding.fix and finding.line for finding in findings)
    return [finding.rule for finding in findings]


@pytest.mark.parametrize(
    "description",
    ["Works offline.", "Needs no network.", "Runs without internet access", "Nothing leaves your machine"],
)
def test_who_says_offline_and_uses_a_network_is_told(tmp_path: Path, description: str) -> None:
    assert found(tmp_path, NETWORK, description=description) == ["undeclared_network"]


def test_the_metadata_is_such_a_promise_too(tmp_path: Path) -> None:
    assert found(tmp_path, NETWORK, extra='metadata:\n  skillyard.network: "none"\n') == ["undeclared_network"]


def test_a_host_that_is_not_named_is_told(tmp_path: Path) -> None:
    named = 'metadata:\n  skillyard.network: "api.other.com"\n'
    assert found(tmp_path, NETWORK, extra=named) == ["undeclared_host"]


@pytest.mark.parametrize("host", ["api.vendor.com", "vendor.com"])
def test_a_host_that_is_named_is_not(tmp_path: Path, host: str) -> None:
    assert found(tmp_path, NETWORK, extra=f'metadata:\n  skillyard.network: "{host}"\n') == []


def test_tools_that_run_nothing_and_code_that_does(tmp_path: Path) -> None:
    assert found(tmp_path, PROGRAM, extra="allowed-tools: Read Grep\n") == ["undeclared_programs"]


@pytest.mark.parametrize("extra", ["", "allowed-tools: Read Bash(git:*)\n"])
def test_who_promises_nothing_breaks_nothing(tmp_path: Path, extra: str) -> None:
    assert found(tmp_path, NETWORK, PROGRAM, extra=extra) == []


def test_this_machine_is_no_network(tmp_path: Path) -> None:
    local = CapabilityUse(Capability.NETWORK, "a.py", 1, "requests.get('http://localhost:8000')")
    assert found(tmp_path, local, description="Works offline.") == []
