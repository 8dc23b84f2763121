"""What an agent gets: the precedence, and properties no order, expiry or unreadable value may break."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from skillyard.governance import policy as policy_module
from skillyard.governance.closure import PackageState, Rules, compile_rules, evaluate_closure, evaluate_lock
from skillyard.governance.decision import (
    Agent,
    AgentState,
    Allow,
    Decision,
    Deny,
    FirstUse,
    Hold,
    Maturity,
    PackageRule,
    RuleState,
    SkillState,
)
from skillyard.governance.limits import MEMORY_MIN, Limits
from skillyard.governance.policy import Policy, SubjectSkill, decide, rule
from skillyard.governance.report import Evidence, EvidenceState, Finding, PackageRef, Report, Severity, Verdict
from skillyard.governance.scan import ScanPolicy
from skillyard.ids import (
    AgentId,
    ApprovalId,
    BundleDigest,
    Epoch,
    LockDigest,
    PersonId,
    RuleId,
    SkillId,
    WorkspaceId,
)
from skillyard.settings import Settings
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target, closure_digest
from skillyard.skills.permissions import MIB, Requested
from skillyard.skills.skill import Ecosystem, SkillKind

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HERE, ELSEWHERE = WorkspaceId(1), WorkspaceId(2)
POLICY = Policy(limits=Limits(), scan=ScanPolicy(max_age=7 * DAY))
BUNDLE = BundleDigest("sha256:" + "b" * 64)
HASH = "a" * 64

CODE = SubjectSkill(
    id=SkillId(7),
    workspace=HERE,
    publisher="acme",
    name="csv-report",
    version="1.0.0",
    kind=SkillKind.PYTHON,
    state=SkillState.ACTIVE,
    requested=Requested(),
    code=True,
    bundle_digest=BUNDLE,
)
TEXT = replace(CODE, kind=SkillKind.INSTRUCTIONS, code=False)


def package(name: str, version: str = "1.0", *, direct: bool = True, sha256: str = HASH) -> LockedPackage:
    artefact = LockedArtefact(f"{name}-{version}-py3-none-any.whl", sha256, None)
    return LockedPackage(name, version, (artefact,), () if direct else ("pandas",), direct)


def lock(*packages: LockedPackage, ecosystem: Ecosystem = Ecosystem.PYPI) -> Lock:
    return Lock(ecosystem, Target("3.11", "x86_64-manylinux_2_28"), packages)


PANDAS_NUMPY = lock(package("pandas", "2.2.0"), package("numpy", "1.26.4", direct=False))


def report(*locks: Lock, verdict: Verdict = Verdict.PASS, **fields: Any) -> Report:
    values: dict[str, Any] = {
        "verdict": verdict,
        "findings": (),
        "evidence": (Evidence("advisories", "1", EvidenceState.RAN, NOW - DAY),),
        "reasons": ("Nothing was found.",),
        "bundle_digest": BUNDLE,
        "lock_digest": closure_digest(locks),
        "made_at": NOW,
    }
    return Report(**(values | fields))


def agent(maturity: Maturity, **fields: Any) -> Agent:
    return replace(Agent(AgentId(3), HERE, "bot", PersonId(1), maturity, AgentState.ACTIVE), **fields)


def approval(name: str, specifier: str = "", minimum: Maturity = Maturity.INTERN, **fields: Any) -> PackageRule:
    made = PackageRule(RuleId(1), Ecosystem.PYPI, name, specifier, RuleState.APPROVED, minimum, None, None)
    return replace(made, **fields)


def ban(name: str, specifier: str = "", **fields: Any) -> PackageRule:
    made = PackageRule(RuleId(99), Ecosystem.PYPI, name, specifier, RuleState.BANNED, None, None, "it steals tokens")
    return replace(made, **fields)


def rules(*found: PackageRule, used: bool = True, workspace: WorkspaceId = HERE, **more: Any) -> Rules:
    uses = [FirstUse(AgentId(3), SkillId(7))] if used else []
    return compile_rules(workspace=workspace, epoch=Epoch(5), rules=found, first_uses=uses, **more)


BOTH = (approval("pandas"), approval("numpy", id=RuleId(2)))


def outcome(
    *found: PackageRule,
    who: Agent | None = None,
    skill: SubjectSkill = CODE,
    locks: tuple[Lock, ...] = (PANDAS_NUMPY,),
    seen: Report | None = None,
    used: bool = True,
    policy: Policy = POLICY,
    now: datetime = NOW,
) -> Decision:
    who = who or agent(Maturity.AUTONOMOUS)
    return decide(who, skill, locks, seen or report(*locks), rules(*found, used=used), now, policy)


def codes(decision: Decision) -> list[str]:
    return [reason.code for reason in decision.reasons]


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


# Which rule matches which package.


def test_an_approval_bound_to_artefacts_does_not_cover_others() -> None:
    bound = approval("numpy", "==1.26.4", hashes=frozenset({HASH}))
    assert isinstance(outcome(approval("pandas"), bound), Allow)
    swapped = lock(package("pandas", "2.2.0"), package("numpy", "1.26.4", sha256="c" * 64))
    assert isinstance(outcome(approval("pandas"), bound, locks=(swapped,)), Hold)
    bare = lock(package("pandas", "2.2.0"), replace(package("numpy", "1.26.4"), artefacts=()))
    assert isinstance(outcome(approval("pandas"), bound, locks=(bare,)), Hold)


def test_an_approval_ends_at_its_expiry_and_so_does_a_ban() -> None:
    soon = NOW + DAY
    found = (approval("pandas"), approval("numpy", expires_at=soon))
    assert isinstance(outcome(*found, now=soon - timedelta(seconds=1)), Allow)
    after = outcome(*found, now=soon)
    assert isinstance(after, Hold)
    assert codes(after) == ["expired_approval"]
    paused = (*BOTH, ban("numpy", expires_at=soon))
    assert isinstance(outcome(*paused, now=soon - timedelta(seconds=1)), Deny)
    assert isinstance(outcome(*paused, now=soon), Allow)


@pytest.mark.parametrize(("version", "specifier"), [("not a version", "<2"), ("1.26.4", "=>1"), ("9" * 5000, "==1")])
def test_what_cannot_be_read_counts_as_banned_and_not_as_approved(version: str, specifier: str) -> None:
    locks = (lock(package("numpy", version)),)
    assert codes(outcome(approval("numpy"), ban("numpy", specifier), locks=locks)) == ["banned_package"]
    assert isinstance(outcome(approval("numpy", specifier), locks=locks), Hold)


@pytest.mark.parametrize("spelling", ["EVIL-Pkg", "evil_pkg", "evil.pkg", "Evil__Pkg"])
def test_one_ban_covers_every_spelling_of_a_python_name(spelling: str) -> None:
    locks = (lock(package(spelling)),)
    assert codes(outcome(approval(spelling), ban("evil-pkg"), locks=locks)) == ["banned_package"]
    assert codes(outcome(approval("evil-pkg"), ban(spelling), locks=locks)) == ["banned_package"]


def test_a_ban_in_one_ecosystem_leaves_the_other_alone() -> None:
    npm = lock(package("pandas", "2.2.0"), ecosystem=Ecosystem.NPM)
    assert isinstance(outcome(ban("pandas"), locks=(npm,)), Hold)


def test_a_prerelease_is_caught_by_a_ban_of_its_range() -> None:
    assert isinstance(outcome(ban("numpy", ">=2.0a1"), locks=(lock(package("numpy", "2.0rc1")),)), Deny)


def test_of_two_bans_the_same_one_is_named_in_whatever_order_they_come() -> None:
    older, newer = ban("numpy", id=RuleId(50)), ban("numpy", "<2", id=RuleId(51))
    assert outcome(*BOTH, older, newer) == outcome(newer, *BOTH, older)
    assert "rule 50" in outcome(*BOTH, newer, older).reasons[0].message


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


# What was worked out once is not used when it no longer holds.


def test_a_kept_ruling_notices_that_an_approval_expired_and_that_evidence_grew_old() -> None:
    found = rules(approval("pandas"), approval("numpy", expires_at=NOW + DAY))
    kept = rule(CODE, (PANDAS_NUMPY,), report(PANDAS_NUMPY), found, NOW, POLICY)
    who = agent(Maturity.AUTONOMOUS)
    assert isinstance(kept.decide(who, NOW), Allow)
    assert isinstance(kept.decide(who, NOW + DAY), Hold)
    assert isinstance(kept.decide(who, NOW + 30 * DAY), Deny)


def test_a_ruling_on_evidence_from_the_future_is_made_again_when_that_day_comes() -> None:
    early = report(PANDAS_NUMPY, evidence=(Evidence("advisories", "1", EvidenceState.RAN, NOW + 3 * DAY),))
    kept = rule(CODE, (PANDAS_NUMPY,), early, rules(*BOTH), NOW, POLICY)
    who = agent(Maturity.AUTONOMOUS)
    assert codes(kept.decide(who, NOW)) == ["report_stale"]
    assert isinstance(kept.decide(who, NOW + 3 * DAY), Allow)


def test_a_standing_made_for_other_rules_or_locks_is_not_used() -> None:
    standing = evaluate_lock(PANDAS_NUMPY, rules(*BOTH), NOW)
    banned = rule(CODE, (PANDAS_NUMPY,), report(PANDAS_NUMPY), rules(ban("numpy")), NOW, POLICY, standing=standing)
    assert isinstance(banned.decide(agent(Maturity.AUTONOMOUS), NOW), Deny)
    other = lock(package("requests"))
    held = rule(CODE, (other,), report(other), standing.rules, NOW, POLICY, standing=standing)
    assert isinstance(held.decide(agent(Maturity.AUTONOMOUS), NOW), Hold)


# What the codes mean is written down.


def test_every_reason_code_is_documented() -> None:
    root = Path(policy_module.__file__).parents[2]
    sources = [root / "skillyard/governance" / f"{name}.py" for name in ("policy", "explain", "limits")]
    known = {code for path in sources for code in re.findall(r'(?:Reason|_finding)\(\s*"(\w+)"', path.read_text())}
    page = (root / "docs/concepts/decisions.md").read_text()
    assert len(known) > 15
    assert {code for code in known if f"`{code}`" not in page} == set()


# Properties.

NAMES = st.sampled_from(["pandas", "numpy", "Num_Py", "left-pad"])
VERSIONS = st.sampled_from(["1.0", "1.26.4", "2.0rc1", "2.2.0+local", "0", "not a version", ""])
SPECIFIERS = st.sampled_from(["", "==1.0", "<2", ">=1,<3", "!=1.0", "===1.0", "~=1.2", "==1.*", "nonsense", "^1"])
HASHES = st.sampled_from(["a" * 64, "c" * 64])
TIMES = st.sampled_from([NOW - 30 * DAY, NOW - DAY, NOW, NOW + timedelta(seconds=1), NOW + 3 * DAY, NOW + 90 * DAY])
MATURITIES = st.sampled_from(Maturity)
ECOSYSTEMS = st.sampled_from(Ecosystem)
RULES = st.builds(
    PackageRule,
    id=st.integers(1, 1000).map(RuleId),
    ecosystem=ECOSYSTEMS,
    name=NAMES,
    specifier=SPECIFIERS,
    state=st.sampled_from(RuleState),
    min_maturity=st.none() | MATURITIES,
    expires_at=st.none() | TIMES,
    reason=st.none() | st.just("because"),
    hashes=st.frozensets(HASHES, max_size=2),
)
BANS = st.builds(
    lambda found, expires: replace(found, state=RuleState.BANNED, expires_at=expires), RULES, st.none() | TIMES
)
PACKAGES = st.builds(
    lambda name, version, sha, direct: package(name, version, sha256=sha, direct=direct),
    *(NAMES, VERSIONS, HASHES, st.booleans()),
)
LOCKS = st.builds(
    lambda found, ecosystem: lock(*found, ecosystem=ecosystem), st.lists(PACKAGES, max_size=4), ECOSYSTEMS
)
CLOSURES = st.lists(LOCKS, max_size=2).map(tuple)
SKILLS = st.builds(
    SubjectSkill,
    id=st.sampled_from([7, 8]).map(SkillId),
    workspace=st.just(HERE),
    publisher=st.just("acme"),
    name=st.just("csv-report"),
    version=st.just("1.0.0"),
    kind=st.sampled_from(SkillKind),
    state=st.sampled_from([*SkillState, SkillState.ACTIVE, SkillState.ACTIVE]),
    requested=st.builds(
        Requested,
        st.just(()) | st.just(("example.com",)),
        st.none() | st.integers(),
        st.none() | st.floats(),
    ),
    code=st.booleans(),
    bundle_digest=st.just(BUNDLE),
)
AGENTS = st.builds(
    agent,
    MATURITIES,
    state=st.sampled_from([*AgentState, AgentState.ACTIVE]),
    workspace=st.sampled_from([HERE, HERE, ELSEWHERE]),
)
EVIDENCE = st.builds(
    Evidence,
    scanner=st.just("advisories"),
    version=st.just("1"),
    state=st.sampled_from([*EvidenceState, EvidenceState.RAN, EvidenceState.RAN]),
    data_date=st.none() | TIMES | st.datetimes(timezones=st.just(UTC)),
    reason=st.none(),
)


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, Any]:
    """Everything a decision depends on, good worlds more often than chance would make them."""
    locks = draw(CLOSURES)
    good = draw(st.booleans())
    seen = report(*locks)
    if not good:
        seen = report(
            *locks,
            verdict=draw(st.sampled_from(Verdict)),
            evidence=tuple(draw(st.lists(EVIDENCE, max_size=3))),
            reasons=draw(st.sampled_from([(), ("Because.",)])),
            lock_digest=draw(st.sampled_from([closure_digest(locks), LockDigest("sha256:0")])),
        )
    found = draw(st.lists(RULES, max_size=6, unique_by=lambda item: item.id))
    if draw(st.booleans()):
        refs = {(one.ecosystem, item.name) for one in locks for item in one.packages}
        found = [*(item for item in found if item.state is RuleState.APPROVED)]
        found += [
            approval(name, ecosystem=ecosystem, id=RuleId(2000 + index))
            for index, (ecosystem, name) in enumerate(sorted(refs))
        ]
    return {
        "agent": draw(st.none() | AGENTS | AGENTS | AGENTS),
        "skill": draw(SKILLS),
        "locks": locks,
        "report": seen,
        "found": found,
        "uses": draw(st.lists(st.just(FirstUse(AgentId(3), SkillId(7))), max_size=1)),
        "now": draw(st.just(NOW) | TIMES),
        "policy": replace(POLICY, scan=ScanPolicy(max_age=draw(st.sampled_from([None, 7 * DAY, timedelta.max])))),
    }


def decided(world: dict[str, Any], **changes: Any) -> Decision:
    w = world | changes
    compiled = compile_rules(workspace=HERE, epoch=Epoch(1), rules=w["found"], first_uses=w["uses"])
    return decide(w["agent"], w["skill"], w["locks"], w["report"], compiled, w["now"], w["policy"])


@given(worlds())
def test_every_decision_is_made_and_gives_a_reason(world: dict[str, Any]) -> None:
    decision = decided(world)
    assert isinstance(decision, (Allow, Hold, Deny))
    assert decision.reasons
    assert all(reason.code and reason.message.strip() for reason in decision.reasons)
    if isinstance(decision, Hold):
        assert decision.packages or decision.first_use


@given(worlds(), BANS)
def test_adding_a_ban_never_lets_anything_through(world: dict[str, Any], added: PackageRule) -> None:
    before = decided(world)
    after = decided(world, found=[*world["found"], replace(added, id=RuleId(5000))])
    if isinstance(before, Deny):
        assert isinstance(after, Deny)
    if isinstance(before, Hold):
        assert not isinstance(after, Allow)


@given(worlds(), st.data())
def test_a_banned_package_anywhere_in_the_closure_beats_everything(world: dict[str, Any], data: st.DataObject) -> None:
    packages = [(one.ecosystem, item) for one in world["locks"] for item in one.packages]
    assume(packages)
    ecosystem, item = data.draw(st.sampled_from(packages))
    banned = replace(ban(item.name), ecosystem=ecosystem)
    decision = decided(world, found=[*world["found"], banned])
    assert isinstance(decision, Deny)


@given(worlds(), MATURITIES)
def test_raising_maturity_never_turns_allow_into_deny(world: dict[str, Any], raised: Maturity) -> None:
    who = world["agent"]
    assume(who is not None and raised >= who.maturity)
    if isinstance(decided(world), Allow):
        after = decided(world, agent=replace(who, maturity=raised))
        assert not isinstance(after, Deny)
        # A promoted STUDENT may have a first use to be approved; nobody else loses anything.
        assert isinstance(after, Allow) or who.maturity is Maturity.STUDENT


@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_rules_does_not_matter(world: dict[str, Any], random: Any) -> None:
    shuffled = list(world["found"])
    random.shuffle(shuffled)
    assert decided(world) == decided(world, found=shuffled)


@given(worlds())
def test_no_unapproved_or_banned_package_is_ever_in_what_is_allowed(world: dict[str, Any]) -> None:
    if not isinstance(decided(world), Allow):
        return
    compiled = compile_rules(workspace=HERE, epoch=Epoch(1), rules=world["found"])
    standing = evaluate_closure(world["locks"], compiled, world["now"])
    assert {item.state for item in standing.standings} <= {PackageState.APPROVED}
    assert all(item.minimum <= world["agent"].maturity for item in standing.standings)


@given(worlds(), TIMES, TIMES)
def test_a_kept_ruling_decides_at_any_time_as_a_fresh_one(
    world: dict[str, Any], made: datetime, asked: datetime
) -> None:
    compiled = compile_rules(workspace=HERE, epoch=Epoch(1), rules=world["found"], first_uses=world["uses"])
    facts = (world["skill"], world["locks"], world["report"], compiled)
    kept = rule(*facts, made, world["policy"])
    fresh = decide(world["agent"], *facts, asked, world["policy"])
    assert type(kept.decide(world["agent"], asked)) is type(fresh)
