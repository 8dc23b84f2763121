"""Small reports to write in every format."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from skillyard.governance.formats.inventory import Inventory
from skillyard.governance.judge import judged
from skillyard.governance.report import (
    Evidence,
    EvidenceState,
    Exploitation,
    Finding,
    PackageRef,
    Severity,
    Verdict,
)
from skillyard.governance.scan import report_of
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.waivers.waiver import Waiver
from skillyard.ids import BundleDigest, LockDigest, PersonId, WaiverId, WorkspaceId
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target
from skillyard.skills.permissions import Requested
from skillyard.skills.skill import Bundle, BundleFile, DeclaredPackage, Ecosystem, Origin, Skill, SkillKind

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
FILE = "a" * 64
RAN = Evidence("ours", "1", EvidenceState.RAN, NOW)
JINJA = PackageRef(Ecosystem.PYPI, "jinja2", "2.10")
MARKUPSAFE = PackageRef(Ecosystem.PYPI, "markupsafe", "1.0")
SCOPED = PackageRef(Ecosystem.NPM, "@scope/left-pad", "1.2.0")
VULNERABLE = Finding(
    rule="advisory",
    level=Verdict.BLOCK,
    severity=Severity.HIGH,
    message="jinja2==2.10 is affected.",
    package=JINJA,
    advisory="PYSEC-2019-217",
    aliases=("CVE-2019-10906", "GHSA-462w-v97r-4m45"),
    fixed_in=("2.10.1",),
    cvss=8.6,
    cvss_vector="CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:N/A:N",
    exploitation=Exploitation(epss=0.02, kev_added=date(2026, 1, 2)),
)
INDIRECT = Finding("typosquat", Verdict.FLAG, Severity.LOW, "looks like another name", MARKUPSAFE)
IN_A_FILE = Finding(
    rule="reverse_shell",
    level=Verdict.BLOCK,
    severity=Severity.CRITICAL,
    message="A shell is handed to another machine.",
    file="scripts/run me.sh",
    line=3,
    evidence="bash -i >& /dev/tcp/…",
    why="Whoever listens there can do what the person can.",
    fix="Remove it.",
    file_sha256=FILE,
)
_TARGET = Target("3.11", "x86_64-manylinux_2_28")
SKILL = Skill(
    name="demo",
    description="A skill to write about.",
    version="1.2.0",
    version_declared=True,
    kind=SkillKind.PYTHON,
    license=None,
    compatibility=None,
    allowed_tools=(),
    metadata={},
    declared=(
        DeclaredPackage(Ecosystem.PYPI, "jinja2", "jinja2==2.10", Origin("requirements.txt", 2, None)),
        DeclaredPackage(Ecosystem.PYPI, "six", "six", Origin("requirements.txt", 3, None)),
    ),
    requested=Requested(),
    entries=(),
    imports=(),
    input_schema=None,
    notes=(),
    bundle=Bundle(
        BundleDigest("sha256:" + "c" * 64),
        (BundleFile("SKILL.md", "d" * 64, 10, False), BundleFile("scripts/run me.sh", FILE, 20, True)),
        30,
    ),
)
LOCKS = (
    Lock(
        Ecosystem.PYPI,
        _TARGET,
        (
            LockedPackage("jinja2", "2.10", (LockedArtefact("j.whl", "1" * 64, 5),), (), direct=True),
            LockedPackage("markupsafe", "1.0", (LockedArtefact("m.whl", "2" * 64, 5),), ("jinja2",), direct=False),
            LockedPackage("six", "1.17.0", (LockedArtefact("s.whl", "3" * 64, 5),), (), direct=True),
        ),
    ),
    Lock(Ecosystem.NPM, _TARGET, (LockedPackage("@scope/left-pad", "1.2.0", (), (), direct=True),)),
)
WAIVER = Waiver(
    id=WaiverId(7),
    workspace=WorkspaceId(1),
    package=JINJA,
    advisory="CVE-2019-10906",
    rule=None,
    file_sha256=None,
    reason="not reachable",
    owner=PersonId(1),
    owner_name="ann",
    expires_at=NOW + timedelta(days=30),
    created_at=NOW,
)
OF_FILE = replace(WAIVER, id=WaiverId(8), package=None, advisory=None, rule="reverse_shell", file_sha256=FILE)


def about(*findings: Finding, evidence: tuple[Evidence, ...] = (RAN,), policy: ScanPolicy | None = None) -> Inventory:
    digests: dict[str, Any] = {"bundle_digest": SKILL.bundle.digest, "lock_digest": LockDigest("sha256:" + "e" * 64)}
    judge = policy or ScanPolicy()
    report = report_of(findings, evidence, policy=judge, now=NOW, locks=LOCKS, asked=judge.asked, **digests)
    return Inventory(SKILL, LOCKS, report)


def waived(*findings: Finding, waivers: tuple[Waiver, ...] = (WAIVER,)) -> Inventory:
    made = about(*(findings or (VULNERABLE,)))
    return replace(made, report=judged(made.report, ScanPolicy(), NOW, waivers=waivers))


def failed() -> Inventory:
    return about(evidence=(RAN, Evidence("theirs", "2", EvidenceState.FAILED, None, "it crashed")))
