"""What an agent gets: the precedence, the limits, and where the local policy differs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from skillyard.governance import policy as policy_module
from skillyard.governance.decision import (
    AgentState,
    Allow,
    Deny,
    Hold,
    Maturity,
    SkillState,
)
from skillyard.governance.limits import MEMORY_MIN
from skillyard.governance.policy import Policy, decide
from skillyard.governance.report import Evidence, EvidenceState, Finding, PackageRef, Severity, Verdict
from skillyard.ids import (
    ApprovalId,
    BundleDigest,
    RuleId,
)
from skillyard.settings import Settings
from skillyard.skills.permissions import MIB, Requested
from skillyard.skills.skill import Ecosystem
from tests.governance.worlds import (
    BOTH,
    CODE,
    DAY,
    ELSEWHERE,
    NOW,
    PANDAS_NUMPY,
    POLICY,
    TEXT,
    agent,
    approval,
    ban,
    codes,
    lock,
    outcome,
    package,
    report,
    rules,
)

# Each step of the precedence beats the ones after it.


def test_an_approved_closure_is_allowed_with_the_default_limits() -> None:
    decision = outcome(*BOTH, who=agent(Maturity.INTERN))
    assert isinstance(decision, Allow)
    assert (decision.granted.memory_bytes, decision.granted.timeout_seconds) == (512 * MIB, 60.0)


@pytest.mark.parametrize("state", [SkillState.QUARANTINED, SkillState.REVOKED, SkillState.REMOVED])
def test_nobody_calls_a_version_that_was_withdrawn(state: SkillState) -> None:
    decision = outcome(*BOTH, skill=replace(CODE, state=state))
    assert isinstance(decision, Deny)
    assert codes(decision) == ["skill_not_active"]


def test_a_version_held_for_review_is_decided_like_any_other() -> None:
    assert isinstance(outcome(*BOTH, skill=replace(CODE, state=SkillState.HELD)), Allow)


def test_an_unknown_agent_and_one_of_another_workspace_get_the_same_answer() -> None:
    stranger = decide(None, CODE, (PANDAS_NUMPY,), report(PANDAS_NUMPY), rules(*BOTH), NOW, POLICY)
    foreign = outcome(*BOTH, who=agent(Maturity.AUTONOMOUS, workspace=ELSEWHERE))
    assert isinstance(stranger, Deny)
    assert stranger == foreign


def test_a_suspended_agent_is_refused_whatever_is_approved() -> None:
    assert codes(outcome(*BOTH, who=agent(Maturity.AUTONOMOUS, state=AgentState.SUSPENDED))) == ["agent_suspended"]


def test_a_banned_package_that_only_another_package_asked_for_stops_everybody() -> None:
    decision = outcome(*BOTH, ban("numpy", "<2"), who=agent(Maturity.AUTONOMOUS))
    assert isinstance(decision, Deny)
    (reason,) = decision.reasons
    assert reason.code == "banned_package"
    assert reason.package == PackageRef(Ecosystem.PYPI, "numpy", "1.26.4")
    assert "numpy==1.26.4" in reason.message
    assert "rule 99" in reason.message
    assert "it steals tokens" in reason.message


def test_a_ban_is_named_before_a_blocking_report() -> None:
    blocked = report(PANDAS_NUMPY, verdict=Verdict.BLOCK)
    assert codes(outcome(*BOTH, ban("numpy"), seen=blocked)) == ["banned_package"]


def test_a_blocking_finding_names_its_advisory_and_the_fix() -> None:
    ref = PackageRef(Ecosystem.PYPI, "numpy", "1.26.4")
    found = Finding(
        "advisory", Verdict.BLOCK, Severity.HIGH, "is vulnerable", ref, advisory="PYSEC-2024-1", fixed_in=("1.26.5",)
    )
    decision = outcome(*BOTH, seen=report(PANDAS_NUMPY, verdict=Verdict.BLOCK, findings=(found,)))
    assert codes(decision) == ["report_blocked"]
    for part in ("numpy==1.26.4", "PYSEC-2024-1", "1.26.5"):
        assert part in decision.reasons[0].message


def test_a_report_that_says_less_than_its_findings_is_not_believed() -> None:
    found = Finding("advisory", Verdict.BLOCK, Severity.HIGH, "is vulnerable", None, advisory="PYSEC-2024-1")
    assert codes(outcome(*BOTH, seen=report(PANDAS_NUMPY, verdict=Verdict.PASS, findings=(found,)))) == [
        "report_blocked"
    ]


def test_evidence_that_was_fresh_when_scanned_and_is_old_now_refuses() -> None:
    seen = report(PANDAS_NUMPY)
    assert isinstance(outcome(*BOTH, seen=seen, now=NOW + 5 * DAY), Allow)
    late = outcome(*BOTH, seen=seen, now=NOW + 7 * DAY)
    assert isinstance(late, Deny)
    assert codes(late) == ["report_stale"]


def test_a_report_on_another_lock_or_another_content_refuses() -> None:
    other = lock(package("pandas", "2.2.0"))
    assert codes(outcome(*BOTH, seen=report(other))) == ["report_mismatch"]
    assert codes(outcome(*BOTH, seen=report(PANDAS_NUMPY, bundle_digest=BundleDigest("sha256:0")))) == [
        "report_mismatch"
    ]


def test_a_student_gets_instructions_and_nothing_that_executes() -> None:
    student = agent(Maturity.STUDENT)
    assert isinstance(outcome(who=student, skill=TEXT, locks=(), seen=report()), Allow)
    assert codes(outcome(*BOTH, who=student)) == ["student_code"]
    assert codes(outcome(who=student, skill=CODE, locks=(), seen=report())) == ["student_code"]
    assert codes(outcome(*BOTH, who=student, skill=TEXT)) == ["student_code"]


def test_an_unknown_package_holds_even_the_most_mature_agent_and_is_named() -> None:
    decision = outcome(approval("pandas"))
    assert isinstance(decision, Hold)
    assert decision.packages == (PackageRef(Ecosystem.PYPI, "numpy", "1.26.4"),)
    assert codes(decision) == ["unknown_package"]


def test_a_package_that_waits_for_approval_names_the_request() -> None:
    waiting = {PackageRef(Ecosystem.PYPI, "numpy", "1.26.4"): ApprovalId(12)}
    found = rules(approval("pandas"), pending=waiting)
    decision = decide(agent(Maturity.AUTONOMOUS), CODE, (PANDAS_NUMPY,), report(PANDAS_NUMPY), found, NOW, POLICY)
    assert isinstance(decision, Hold)
    assert codes(decision) == ["pending_package"]
    assert "12" in decision.reasons[0].message


def test_an_approval_for_more_mature_agents_denies_and_says_for_whom_it_is() -> None:
    found = (approval("pandas"), approval("numpy", minimum=Maturity.SUPERVISED))
    decision = outcome(*found, who=agent(Maturity.INTERN))
    assert isinstance(decision, Deny)
    assert codes(decision) == ["maturity_too_low"]
    assert "SUPERVISED" in decision.reasons[0].message
    assert isinstance(outcome(*found, who=agent(Maturity.SUPERVISED)), Allow)


def test_of_several_approvals_the_most_permissive_counts() -> None:
    found = (approval("numpy", minimum=Maturity.AUTONOMOUS), approval("numpy", id=RuleId(9)), approval("pandas"))
    assert isinstance(outcome(*found, who=agent(Maturity.INTERN)), Allow)


def test_an_interns_first_use_of_code_is_held_once_and_of_instructions_never() -> None:
    intern = agent(Maturity.INTERN)
    first = outcome(*BOTH, who=intern, used=False)
    assert isinstance(first, Hold)
    assert (first.packages, first.first_use, codes(first)) == ((), True, ["first_use"])
    assert isinstance(outcome(*BOTH, who=intern, used=True), Allow)
    assert isinstance(outcome(who=intern, skill=TEXT, locks=(), seen=report(), used=False), Allow)
    assert isinstance(outcome(*BOTH, who=agent(Maturity.SUPERVISED), used=False), Allow)


def test_one_hold_asks_for_packages_and_first_use_together() -> None:
    decision = outcome(approval("pandas"), who=agent(Maturity.INTERN), used=False)
    assert isinstance(decision, Hold)
    assert decision.first_use
    assert len(decision.packages) == 1


def test_rules_of_another_workspace_decide_nothing() -> None:
    foreign = rules(*BOTH, workspace=ELSEWHERE)
    decision = decide(agent(Maturity.AUTONOMOUS), CODE, (PANDAS_NUMPY,), report(PANDAS_NUMPY), foreign, NOW, POLICY)
    assert codes(decision) == ["wrong_rules"]


# Permissions.


def test_wishes_are_met_up_to_the_maxima_and_the_answer_says_what_was_cut() -> None:
    wishes = Requested(network_hosts=("api.example.com",), memory_bytes=8192 * MIB, timeout_seconds=3600.0)
    decision = outcome(*BOTH, skill=replace(CODE, requested=wishes))
    assert isinstance(decision, Allow)
    assert (decision.granted.memory_bytes, decision.granted.timeout_seconds) == (2048 * MIB, 600.0)
    assert codes(decision) == ["allowed", "memory_narrowed", "timeout_narrowed", "network_refused"]


def test_modest_wishes_are_met_as_they_are() -> None:
    decision = outcome(*BOTH, skill=replace(CODE, requested=Requested((), 128 * MIB, 5.0)))
    assert isinstance(decision, Allow)
    assert (decision.granted.memory_bytes, decision.granted.timeout_seconds) == (128 * MIB, 5.0)
    assert codes(decision) == ["allowed"]


@pytest.mark.parametrize("memory", [-1, 0, 1, MEMORY_MIN - 1])
def test_too_little_memory_to_start_is_raised(memory: int) -> None:
    decision = outcome(*BOTH, skill=replace(CODE, requested=Requested((), memory, float("nan"))))
    assert isinstance(decision, Allow)
    assert (decision.granted.memory_bytes, decision.granted.timeout_seconds) == (MEMORY_MIN, 60.0)


@pytest.mark.parametrize(
    ("patterns", "publisher", "expected"),
    [((), "acme", False), (("acme",), "acme", True), (("acme",), "acme2", False), (("x", "ac*"), "acme", True)],
)
def test_publishers_that_the_operator_does_not_trust_get_a_new_sandbox_for_every_call_and_are_told(
    patterns: tuple[str, ...], publisher: str, expected: bool
) -> None:
    found = outcome(
        *BOTH, skill=replace(CODE, publisher=publisher), policy=replace(POLICY, single_use_publishers=patterns)
    )
    assert isinstance(found, Allow)
    assert found.granted.single_use is expected
    assert ("single_use" in codes(found)) is expected


def test_an_authors_own_machine_keeps_the_same_publishers_to_single_use() -> None:
    settings = Settings(single_use_publishers=("*",))
    assert Policy.local(settings).single_use_pattern("anybody") == "*"


def test_all_writable_space_together_stays_below_the_memory() -> None:
    for mib in (64, 100, 512, 2048):
        decision = outcome(*BOTH, skill=replace(CODE, requested=Requested((), mib * MIB)))
        assert isinstance(decision, Allow)
        left = decision.granted.memory_bytes - 3 * decision.granted.scratch_bytes
        assert left >= decision.granted.memory_bytes // 4, "a skill that fills its scratch has no memory left to run in"


def test_limits_and_maximum_age_come_from_settings() -> None:
    settings = Settings(skill_memory_mib=128, skill_timeout_max=9, advisories_max_age_days=3, skill_processes=17)
    policy = Policy.from_settings(settings)
    decision = outcome(*BOTH, policy=policy)
    assert isinstance(decision, Allow)
    assert (decision.granted.memory_bytes, decision.granted.timeout_seconds) == (128 * MIB, 9.0)
    assert decision.granted.processes == 17
    assert isinstance(outcome(*BOTH, policy=policy, now=NOW + 3 * DAY), Deny)


# The local policy differs in one thing.


def test_the_local_policy_takes_old_evidence_and_says_its_date_and_its_name() -> None:
    local = Policy.local(Settings())
    old = report(PANDAS_NUMPY, evidence=(Evidence("advisories", "1", EvidenceState.RAN, NOW - 900 * DAY),))
    decision = outcome(*BOTH, seen=old, policy=local)
    assert isinstance(decision, Allow)
    assert "local_policy" in codes(decision)
    assert any("2023-12-14" in reason.message for reason in decision.reasons)


def test_the_local_policy_still_refuses_bans_blocks_and_unapproved_packages() -> None:
    local = Policy.local(Settings())
    assert isinstance(outcome(*BOTH, ban("numpy"), policy=local), Deny)
    assert isinstance(outcome(*BOTH, seen=report(PANDAS_NUMPY, verdict=Verdict.BLOCK), policy=local), Deny)
    assert isinstance(outcome(policy=local), Hold)
    failed = report(
        PANDAS_NUMPY, evidence=(Evidence("advisories", "1", EvidenceState.FAILED, NOW, "the index is damaged"),)
    )
    assert codes(outcome(*BOTH, seen=failed, policy=local)) == ["report_indeterminate"]


# What the codes mean is written down.


def test_every_reason_code_is_documented() -> None:
    root = Path(policy_module.__file__).parents[2]
    sources = [root / "skillyard/governance" / f"{name}.py" for name in ("policy", "explain", "limits")]
    known = {code for path in sources for code in re.findall(r'(?:Reason|_finding)\(\s*"(\w+)"', path.read_text())}
    page = (root / "docs/concepts/decisions.md").read_text()
    assert len(known) > 15
    assert {code for code in known if f"`{code}`" not in page} == set()
