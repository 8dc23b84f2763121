"""Packages built from source are told of in every report, and what builds need is governed like everything else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from skillyard.governance.closure import compile_rules, evaluate_closure
from skillyard.governance.decision import Agent, AgentState, Allow, Deny, Maturity, PackageRule, RuleState, SkillState
from skillyard.governance.limits import Limits
from skillyard.governance.policy import Policy, SubjectSkill, decide
from skillyard.governance.report import Evidence, EvidenceState, PackageRef, Report, Verdict
from skillyard.governance.requested import PackageRole, pack, requested_packages, unpack
from skillyard.governance.scan import scan
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.scanner import ScanTarget
from skillyard.governance.scanners.advisories import _packages
from skillyard.ids import AgentId, Epoch, PersonId, RuleId, SkillId, WorkspaceId
from skillyard.settings import Settings
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, SourceBuild, Target
from skillyard.skills.parse import parse_skill
from skillyard.skills.permissions import Requested
from skillyard.skills.skill import Ecosystem, Skill, SkillKind

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
WORKSPACE = WorkspaceId(1)
GOOD = Evidence("ours", "1", EvidenceState.RAN, NOW - timedelta(days=1))


def locked(name: str, version: str = "1.0", digit: str = "a") -> LockedPackage:
    artefact = LockedArtefact(f"{name}-{version}-py3-none-any.whl", digit * 64, None)
    return LockedPackage(name, version, (artefact,), (), direct=True)


DOCOPT = LockedPackage("docopt", "0.6.2", (LockedArtefact("docopt-0.6.2.tar.gz", "d" * 64, 1),), (), direct=True)
LOCK = Lock(
    Ecosystem.PYPI,
    Target("3.11", "x86_64-manylinux_2_28"),
    (DOCOPT, locked("six")),
    (SourceBuild("docopt", (locked("setuptools", "80.0", "e"), locked("six", "1.0", "f"))),),
)
NAMES = ["docopt", "six", "setuptools"]


class Clean:
    name = "ours"

    async def scan(self, target: ScanTarget, *, now: datetime):  # noqa: ARG002
        return (), GOOD


@pytest.fixture
def skill(tmp_path: Path) -> Skill:
    folder = tmp_path / "demo-skill"
    folder.mkdir()
    (folder / "SKILL.md").write_text("---\nname: demo-skill\ndescription: A skill to scan.\n---\nRead it.\n")
    return parse_skill(folder)


async def report_of(skill: Skill, tmp_path: Path, policy: ScanPolicy) -> Report:
    return await scan(ScanTarget(skill, (LOCK,), tmp_path), (Clean(),), policy=policy, now=NOW)


async def test_a_build_is_flagged_where_it_is_allowed_and_blocks_elsewhere(skill: Skill, tmp_path: Path) -> None:
    allowed = await report_of(skill, tmp_path, ScanPolicy(source_builds=True))
    assert (allowed.verdict, allowed.findings[0].rule) == (Verdict.FLAG, "source_build")
    assert "docopt==0.6.2 has no wheel" in allowed.reasons[0]
    assert "setuptools" in allowed.reasons[0]
    refused = await report_of(skill, tmp_path, ScanPolicy())
    assert refused.verdict is Verdict.BLOCK
    assert "SKILLYARD_SOURCE_BUILDS" in refused.reasons[0]


def test_the_default_of_server_and_author_is_to_refuse(tmp_path: Path) -> None:
    for settings, expected in (
        (Settings(home=tmp_path), False),
        (Settings(home=tmp_path, source_builds="allow"), True),
    ):
        assert Policy.from_settings(settings).scan.source_builds is expected
        assert Policy.local(settings).scan.source_builds is expected
    with pytest.raises(ValueError, match="source_builds"):
        Settings(home=tmp_path, source_builds="sometimes")


async def test_what_was_built_does_not_run_once_the_setting_forbids_it(skill: Skill, tmp_path: Path) -> None:
    """The report was made while builds were allowed; the decision is made now."""
    report = await report_of(skill, tmp_path, ScanPolicy(source_builds=True))
    subject = SubjectSkill(
        id=SkillId(1),
        workspace=WORKSPACE,
        publisher="acme",
        name="demo-skill",
        version="1.0.0",
        kind=SkillKind.PYTHON,
        state=SkillState.ACTIVE,
        requested=Requested(),
        code=True,
        bundle_digest=report.bundle_digest,
    )
    agent = Agent(AgentId(1), WORKSPACE, "bot", PersonId(1), Maturity.AUTONOMOUS, AgentState.ACTIVE)
    policy = Policy(limits=Limits(), scan=ScanPolicy(source_builds=True))
    args = (subject, (LOCK,), report, rules(*(approved(name) for name in NAMES)), NOW)
    allowed = decide(agent, *args, policy)
    assert isinstance(allowed, Allow)
    assert any(reason.code == "report_flagged" and "docopt" in reason.message for reason in allowed.reasons)
    refused = decide(agent, *args, replace(policy, scan=ScanPolicy()))
    assert isinstance(refused, Deny)
    assert [reason.code for reason in refused.reasons] == ["source_build_refused"]


def approved(name: str) -> PackageRule:
    return PackageRule(RuleId(1), Ecosystem.PYPI, name, "", RuleState.APPROVED, Maturity.INTERN, None, None)


def rules(*found: PackageRule):
    return compile_rules(workspace=WORKSPACE, epoch=Epoch(1), rules=found)


def test_what_a_build_needs_must_be_approved_and_can_be_banned() -> None:
    standing = evaluate_closure((LOCK,), rules(approved("docopt"), approved("six")), NOW)
    assert [str(item.package) for item in standing.unapproved] == ["setuptools==80.0"]
    ban = replace(approved("setuptools"), state=RuleState.BANNED, reason="no")
    standing = evaluate_closure((LOCK,), rules(ban), NOW)
    assert [str(item.package) for item in standing.banned] == ["setuptools==80.0"]


def test_what_a_build_needs_is_looked_up_in_the_advisories() -> None:
    assert [ref.name for ref in _packages((LOCK,))] == NAMES


def test_an_approval_shows_roles_and_binds_the_files_of_both() -> None:
    refs = [PackageRef(Ecosystem.PYPI, one.name, one.version) for one in LOCK.all_packages]
    asked = requested_packages((LOCK,), refs)
    assert {one.name: (one.role, one.hashes) for one in asked} == {
        "docopt": (PackageRole.SOURCE, ("d" * 64,)),
        "setuptools": (PackageRole.BUILD, ("e" * 64,)),
        "six": (PackageRole.RUNTIME, ("a" * 64, "f" * 64)),
    }
    assert unpack(pack(asked)) == asked


def test_requests_kept_before_there_were_roles_read_as_they_were() -> None:
    (kept,) = unpack('[["pypi","six","1.0",["aa"]]]')
    assert (kept.role, pack([kept])) == (PackageRole.RUNTIME, '[["pypi","six","1.0",["aa"]]]')
