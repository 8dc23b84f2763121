"""What decisions are about, made small: skills, locks, reports, agents, rules; and strategies that make any of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from skillyard.governance.closure import Rules, compile_rules
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
    RuleScope,
    RuleState,
    SkillState,
)
from skillyard.governance.limits import Limits
from skillyard.governance.policy import Policy, SubjectSkill, decide
from skillyard.governance.report import Evidence, EvidenceState, Report, Verdict
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.ids import (
    AgentId,
    BundleDigest,
    Epoch,
    LockDigest,
    PersonId,
    RuleId,
    SkillId,
    WorkspaceId,
)
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target, closure_digest
from skillyard.skills.permissions import Requested
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


# For properties.

NAMES = st.sampled_from(["pandas", "numpy", "Num_Py", "left-pad"])
VERSIONS = st.sampled_from(["1.0", "1.26.4", "2.0rc1", "2.2.0+local", "0", "not-a-version", "v"])
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
    scope=st.sampled_from(RuleScope),
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


LESS = {Deny: 0, Hold: 1, Allow: 2}
"""The kinds of decision, from what lets nothing through to what does."""


def lenience(decision: Decision) -> int:
    return LESS[type(decision)]


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


NEAR_RULES = st.builds(
    PackageRule,
    id=st.integers(1, 1000).map(RuleId),
    ecosystem=st.just(Ecosystem.PYPI),
    name=st.sampled_from(["pandas", "pandas", "numpy"]),
    specifier=st.sampled_from(["", "", "==1.0", "<2"]),
    state=st.sampled_from([RuleState.APPROVED, RuleState.APPROVED, RuleState.APPROVED, RuleState.BANNED]),
    min_maturity=MATURITIES,
    expires_at=st.none() | TIMES,
    reason=st.just("because"),
    hashes=st.sampled_from([frozenset(), frozenset(), frozenset({"a" * 64})]),
    scope=st.sampled_from(RuleScope),
)


@st.composite
def governed(draw: st.DrawFn) -> dict[str, Any]:
    """Worlds in which all but the rules is well, and most rules are about what is locked: they alone decide."""
    packages = draw(
        st.lists(
            st.builds(package, st.sampled_from(["pandas", "pandas", "numpy"]), st.just("1.0"), sha256=HASHES),
            min_size=1,
            max_size=2,
            unique_by=lambda one: one.name,
        )
    )
    locks = (lock(*packages),)
    return {
        "agent": agent(draw(MATURITIES)),
        "skill": CODE,
        "locks": locks,
        "report": report(*locks, evidence=(Evidence("advisories", "1", EvidenceState.RAN, NOW - 90 * DAY),)),
        "found": draw(st.lists(NEAR_RULES, max_size=4, unique_by=lambda item: item.id)),
        "uses": [FirstUse(AgentId(3), SkillId(7))],
        "now": draw(TIMES),
        "policy": replace(POLICY, scan=ScanPolicy(max_age=None)),
    }


def decided(world: dict[str, Any], **changes: Any) -> Decision:
    w = world | changes
    compiled = compile_rules(workspace=HERE, epoch=Epoch(1), rules=w["found"], first_uses=w["uses"])
    return decide(w["agent"], w["skill"], w["locks"], w["report"], compiled, w["now"], w["policy"])
