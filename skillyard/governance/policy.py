"""The decision: may this agent call this version of this skill now. Pure, total, and over the resolved closure.

``decide`` is the whole of it. For the hot path it comes in two halves: ``rule`` works out everything that does not
depend on the agent, once for a version under a set of rules, and ``Ruling.decide`` looks up the agent's part.
Precedence, strongest first: skill not active, agent unknown or suspended → banned package → BLOCK, then INDETERMINATE
report → STUDENT with any code or package → unapproved package (Hold) → approved for more mature agents only →
an INTERN's first use of a code skill (Hold) → Allow with narrowed permissions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from skillyard.governance import explain
from skillyard.governance.closure import ClosureStanding, Rules, evaluate_closure
from skillyard.governance.decision import (
    Agent,
    AgentState,
    Allow,
    Decision,
    Deny,
    FirstUse,
    Hold,
    Maturity,
    Reason,
    SkillState,
)
from skillyard.governance.judge import judged
from skillyard.governance.limits import Limits, narrow
from skillyard.governance.report import Report, Verdict, combine
from skillyard.governance.scan import is_stale
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.source_builds import built_from_source
from skillyard.ids import BundleDigest, LockDigest, SkillId, WorkspaceId
from skillyard.settings import Settings
from skillyard.skills.lock import Lock, closure_digest
from skillyard.skills.permissions import Requested
from skillyard.skills.skill import SkillKind

_CALLABLE = frozenset({SkillState.ACTIVE, SkillState.HELD})
_MOST_SAID = 300


@dataclass(frozen=True, slots=True)
class SubjectSkill:
    """What a decision needs to know of an installed version. ``code`` is whether it has anything that executes."""

    id: SkillId
    workspace: WorkspaceId
    publisher: str
    name: str
    version: str
    kind: SkillKind
    state: SkillState
    requested: Requested
    code: bool
    bundle_digest: BundleDigest
    stop_reason: str = ""
    """Of the marketplace that took it out of use, in its own words."""

    def __str__(self) -> str:
        return f"{self.publisher}/{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator of an instance decides: how old evidence may be, and what a sandbox may use.

    ``name`` says in an Allow whose policy it was, unless it is the server's usual one.
    """

    limits: Limits
    scan: ScanPolicy
    name: str = "server"
    second_person: bool = True
    """Whether an approval needs somebody other than who asked."""
    single_use_publishers: tuple[str, ...] = ()
    """Patterns of publishers' names (``*`` stands for any text) whose skills get a new sandbox for every call."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Policy:
        return cls(
            limits=Limits.from_settings(settings),
            scan=ScanPolicy.from_settings(settings),
            second_person=settings.require_second_person,
            single_use_publishers=settings.single_use_publishers,
        )

    @classmethod
    def local(cls, settings: Settings) -> Policy:
        """For an author's own machine: the operator is the agent and approves alone, and evidence of any age is taken,
        with its date told. Nothing else differs: BLOCK and bans refuse, and packages need an approval."""
        scan = replace(ScanPolicy.from_settings(settings), max_age=None)
        return replace(cls.from_settings(settings), scan=scan, name="local", second_person=False)

    def single_use_pattern(self, publisher: str) -> str | None:
        """The first pattern that makes a publisher's sandboxes serve one call each; ``None`` where none does."""
        return next((pattern for pattern in self.single_use_publishers if fnmatchcase(publisher, pattern)), None)


@dataclass(frozen=True, slots=True, eq=False)
class Ruling:
    """The decision on one skill version with only the agent left open. Holds for ``made_at <= now < until``.

    ``inactive`` are the reasons why nobody can call it, ``by_maturity`` what an agent of each maturity gets, and
    ``first_use`` what an INTERN gets that has no recorded first use of the skill.
    """

    skill: SubjectSkill
    locks: tuple[Lock, ...] = field(repr=False)
    report: Report = field(repr=False)
    rules: Rules = field(repr=False)
    policy: Policy = field(repr=False)
    made_at: datetime
    until: datetime | None
    inactive: tuple[Reason, ...]
    by_maturity: tuple[Decision, Decision, Decision, Decision]
    first_use: Decision

    def holds(self, now: datetime) -> bool:
        return self.made_at <= now and (self.until is None or now < self.until)

    def decide(self, agent: Agent | None, now: datetime) -> Decision:
        """What this agent gets. A ruling that no longer holds is made again first, so it need not be watched."""
        current = self
        if not self.holds(now):
            current = rule(self.skill, self.locks, self.report, self.rules, now, self.policy)
        if agent is None or agent.workspace != current.skill.workspace:
            return _UNKNOWN_AGENT
        if agent.state is not AgentState.ACTIVE or current.inactive:
            return Deny(current.inactive + _suspended(agent))
        maturity = agent.maturity
        if maturity is Maturity.INTERN and FirstUse(agent.id, current.skill.id) not in current.rules.first_uses:
            return current.first_use
        return current.by_maturity[maturity]


def decide(  # noqa: PLR0917 - all that a decision depends on, in the order of the design's sentence
    agent: Agent | None,
    skill: SubjectSkill,
    locks: tuple[Lock, ...],
    report: Report,
    rules: Rules,
    now: datetime,
    policy: Policy,
) -> Decision:
    """Allow, Hold or Deny, each with at least one reason. Never raises; ``now`` has a time zone."""
    return rule(skill, locks, report, rules, now, policy).decide(agent, now)


def rule(  # noqa: PLR0917 - as for decide
    skill: SubjectSkill,
    locks: tuple[Lock, ...],
    report: Report,
    rules: Rules,
    now: datetime,
    policy: Policy,
    *,
    standing: ClosureStanding | None = None,
) -> Ruling:
    """Everything of a decision that does not depend on the agent.

    ``standing`` saves evaluating the closure where that was done before, for the same rules and the same locks; one
    that is about others, or holds no longer, is not used.
    """
    if standing is None or not _about(standing, locks, rules, now):
        standing = evaluate_closure(locks, rules, now)
    scanned, report = report, judged(report, policy.scan, now, waivers=rules.waivers)
    refused = _refused_by_report(skill, report, policy, digest=standing.digest, now=now)
    refused += _refused_source(locks, policy)
    denied = _wrong_rules(skill, rules) or tuple(explain.banned(item) for item in standing.banned) or refused
    if denied:
        deny = Deny(denied)
        row: tuple[Decision, Decision, Decision, Decision] = (deny, deny, deny, deny)
        first_use: Decision = deny
    else:
        allow = _allow(skill, locks, report, policy)
        student, intern, supervised, autonomous = (
            _for_maturity(maturity, skill, standing, allow, first_use=False) for maturity in Maturity
        )
        row = (student, intern, supervised, autonomous)
        first_use = _for_maturity(Maturity.INTERN, skill, standing, allow, first_use=_executes(skill, locks))
    return Ruling(
        skill=skill,
        locks=locks,
        report=scanned,
        rules=rules,
        policy=policy,
        made_at=now,
        until=_earliest(standing.until, _stale_from(report, policy.scan, now), _waived_until(report)),
        inactive=_inactive(skill),
        by_maturity=row,
        first_use=first_use,
    )


def _wrong_rules(skill: SubjectSkill, rules: Rules) -> tuple[Reason, ...]:
    if rules.workspace == skill.workspace:
        return ()
    # Only a bug passes the rules of another workspace; deciding by them would be worse than refusing.
    return (Reason("wrong_rules", "The rules at hand are not this workspace's; nothing can be decided by them."),)


def _refused_by_report(
    skill: SubjectSkill, report: Report, policy: Policy, *, digest: LockDigest, now: datetime
) -> tuple[Reason, ...]:
    # The strongest of what the report says and what its parts add up to, should the two ever differ.
    verdict = max(report.verdict, combine(report.findings, report.evidence))
    if verdict is Verdict.BLOCK:
        return explain.blocked(report)
    about = ((report.bundle_digest, skill.bundle_digest, "content"), (report.lock_digest, digest, "lock"))
    elsewhere = tuple(explain.report_of_something_else(part) for had, is_, part in about if had != is_)
    stale = is_stale(report, policy.scan, now)
    if verdict is Verdict.INDETERMINATE or stale:
        return elsewhere + explain.indeterminate(report, stale_at=now if stale else None)
    return elsewhere


def _refused_source(locks: tuple[Lock, ...], policy: Policy) -> tuple[Reason, ...]:
    """Asked of the locks and not of the report, which was made under the setting as it was then."""
    if policy.scan.source_builds:
        return ()
    return tuple(
        Reason("source_build_refused", finding.message, finding.package)
        for finding in built_from_source(locks, allowed=False)
    )


def _for_maturity(
    maturity: Maturity, skill: SubjectSkill, standing: ClosureStanding, allow: Allow, *, first_use: bool
) -> Decision:
    if maturity is Maturity.STUDENT and (skill.code or skill.kind is not SkillKind.INSTRUCTIONS or standing.standings):
        return Deny((_student(skill, standing),))
    unapproved, above = standing.unapproved, standing.above(maturity)
    too_low = tuple(explain.maturity_too_low(item, maturity) for item in above)
    asked = (_first_use(skill),) if first_use else ()
    if unapproved:
        reasons = tuple(explain.unapproved(item) for item in unapproved)
        # An approval of the new packages alone would not be enough then, and whoever approves should know.
        return Hold(tuple(item.package for item in unapproved), first_use, reasons + too_low + asked)
    if too_low:
        return Deny(too_low)
    if asked:
        return Hold((), True, asked)
    return explain.supervised(allow) if maturity is Maturity.SUPERVISED else allow


def _allow(skill: SubjectSkill, locks: tuple[Lock, ...], report: Report, policy: Policy) -> Allow:
    granted, narrowed = narrow(skill.requested, policy.limits)
    count = sum(len(lock.all_packages) for lock in locks)
    packages = (
        f"its {count} packages are approved" if count > 1 else "its package is approved" if count else "it has none"
    )
    reasons = [Reason("allowed", f"{skill}: no rule or finding forbids it; of packages, {packages}.")]
    if policy.name != "server":
        text = f"Decided by the {policy.name} policy, which takes data of any age; it is: {explain.data_dates(report)}."
        reasons.append(Reason(f"{policy.name}_policy", text))
    if (pattern := policy.single_use_pattern(skill.publisher)) is not None:
        granted = replace(granted, single_use=True)
        reasons.append(explain.single_use(skill.publisher, pattern))
    return Allow(granted, (*reasons, *explain.flagged(report), *narrowed))


def _about(standing: ClosureStanding, locks: tuple[Lock, ...], rules: Rules, now: datetime) -> bool:
    """Whether a kept standing answers this very question."""
    in_time = standing.made_at <= now and (standing.until is None or now < standing.until)
    return in_time and standing.rules is rules and standing.digest == closure_digest(locks)


def _stale_from(report: Report, policy: ScanPolicy, now: datetime) -> datetime | None:
    """Until when the report's staleness at ``now`` stays as it is."""
    dates = [item.data_date for item in report.evidence if item.data_date is not None]
    if policy.max_age is None or not dates:
        return None
    if max(dates) > now:
        # Data dated in the future is judged anew each time: it becomes good, and later old, as the clock moves.
        return now
    return _later(min(dates), policy.max_age) if not is_stale(report, policy, now) else None


def _waived_until(report: Report) -> datetime | None:
    """When the first of the waivers that count in a judged report ends."""
    return min((one.waiver.until for one in report.findings if one.waiver is not None), default=None)


def _later(moment: datetime, by: timedelta) -> datetime | None:
    try:
        return moment + by
    except OverflowError:
        return None


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _executes(skill: SubjectSkill, locks: tuple[Lock, ...]) -> bool:
    return skill.code or skill.kind is not SkillKind.INSTRUCTIONS or any(lock.packages for lock in locks)


_UNKNOWN_AGENT = Deny(
    (Reason("unknown_agent", "The caller is not an agent of this workspace. An admin can add it with a maturity."),)
)


def _suspended(agent: Agent) -> tuple[Reason, ...]:
    if agent.state is AgentState.ACTIVE:
        return ()
    return (Reason("agent_suspended", f"Agent {agent.name} is {agent.state}. An admin can let it act again."),)


def _inactive(skill: SubjectSkill) -> tuple[Reason, ...]:
    if skill.state in _CALLABLE:
        return ()
    why = f", because a marketplace says {skill.stop_reason[:_MOST_SAID]!r}" if skill.stop_reason else ""
    return (Reason("skill_not_active", f"{skill} is {skill.state} in this workspace{why}. Use another version."),)


def _student(skill: SubjectSkill, standing: ClosureStanding) -> Reason:
    has = f"{len(standing.standings)} packages" if standing.standings else "code that executes"
    text = f"A STUDENT agent uses skills of instructions only; {skill} has {has}. An admin can promote the agent."
    return Reason("student_code", text)


def _first_use(skill: SubjectSkill) -> Reason:
    text = f"This is the INTERN agent's first use of {skill.publisher}/{skill.name}, which a person has to approve."
    return Reason("first_use", text)
