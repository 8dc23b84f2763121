"""A workspace can only be stricter than the instance: the pure half, over every mix of rules of both."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from skillyard.governance.check import Answer, check_package, wanted_package
from skillyard.governance.closure import compile_rules, evaluate_package
from skillyard.governance.decision import Maturity, PackageRule, RuleScope, RuleState
from skillyard.governance.standing import PackageState, Standing
from skillyard.ids import Epoch, RuleId, WorkspaceId
from skillyard.skills.lock import LockedArtefact, LockedPackage
from skillyard.skills.skill import Ecosystem

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HERE = WorkspaceId(1)
OURS, OTHER = "a" * 64, "b" * 64


def _rule(
    state: RuleState, minimum: Maturity | None, scope: RuleScope, expires: int | None, specifier: str
) -> PackageRule:
    return PackageRule(
        id=RuleId(0),
        ecosystem=Ecosystem.PYPI,
        name="evil",
        specifier=specifier,
        state=state,
        min_maturity=minimum,
        expires_at=None if expires is None else NOW + timedelta(days=expires),
        reason="why" if state is RuleState.BANNED else None,
        scope=scope,
    )


def _numbered(rule: PackageRule, number: int) -> PackageRule:
    return PackageRule(**{name: getattr(rule, name) for name in rule.__slots__ if name != "id"}, id=RuleId(number))


def approval(minimum: Maturity, scope: RuleScope, *, expires: int | None = None, specifier: str = "") -> PackageRule:
    """``expires`` in days from now."""
    return _rule(RuleState.APPROVED, minimum, scope, expires, specifier)


def ban(scope: RuleScope, *, specifier: str = "", expires: int | None = None) -> PackageRule:
    return _rule(RuleState.BANNED, None, scope, expires, specifier)


def bound(rule: PackageRule, sha256: str) -> PackageRule:
    return PackageRule(
        **{name: getattr(rule, name) for name in rule.__slots__ if name != "hashes"}, hashes=frozenset({sha256})
    )


def standing(rules: Iterable[PackageRule], version: str = "1.0", now: datetime = NOW) -> Standing:
    numbered = [_numbered(rule, place) for place, rule in enumerate(rules, start=1)]
    compiled = compile_rules(workspace=HERE, epoch=Epoch(1), rules=numbered)
    package = LockedPackage("evil", version, (LockedArtefact("evil.whl", OURS, None),), (), direct=True)
    return evaluate_package(Ecosystem.PYPI, package, compiled, now)


def outcome(rules: Iterable[PackageRule], now: datetime = NOW) -> tuple[PackageState, Maturity | None]:
    found = standing(rules, now=now)
    return found.state, found.minimum if found.state is PackageState.APPROVED else None


G, W = RuleScope.GLOBAL, RuleScope.WORKSPACE
INTERN, S, A = Maturity.INTERN, Maturity.SUPERVISED, Maturity.AUTONOMOUS


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([approval(INTERN, G)], (PackageState.APPROVED, INTERN)),
        ([approval(INTERN, W)], (PackageState.APPROVED, INTERN)),
        ([approval(S, G), approval(INTERN, W)], (PackageState.APPROVED, S)),
        ([approval(INTERN, G), approval(S, W)], (PackageState.APPROVED, S)),
        ([approval(A, G), approval(INTERN, G), approval(INTERN, W)], (PackageState.APPROVED, INTERN)),
        ([approval(S, G, specifier="<1"), approval(INTERN, W)], (PackageState.APPROVED, INTERN)),
        ([ban(G), approval(INTERN, W)], (PackageState.BANNED, None)),
        ([ban(W), approval(INTERN, G)], (PackageState.BANNED, None)),
        ([ban(G, specifier="<1"), approval(INTERN, W)], (PackageState.APPROVED, INTERN)),
        ([bound(approval(S, G), OTHER), approval(INTERN, W)], (PackageState.APPROVED, S)),
        ([bound(approval(S, G), OTHER)], (PackageState.UNKNOWN, None)),
        ([approval(S, G, expires=-1), approval(INTERN, W)], (PackageState.APPROVED, S)),
        ([approval(S, G, expires=-1)], (PackageState.EXPIRED, None)),
        (
            [approval(INTERN, G, expires=-1), approval(A, G, expires=-2), approval(INTERN, W)],
            (PackageState.APPROVED, A),
        ),
        ([ban(G, expires=-1), approval(INTERN, W)], (PackageState.APPROVED, INTERN)),
    ],
)
def test_the_stricter_of_the_two_scopes_counts(
    rules: list[PackageRule], expected: tuple[PackageState, Maturity | None]
) -> None:
    assert outcome(rules) == expected
    assert outcome(rules[::-1]) == expected


_days = st.sampled_from([None, None, -2, -1, 1, 2])
_specifiers = st.sampled_from(["", "==1.0", "<2", ">=2", "nonsense"])
_scopes = st.sampled_from(RuleScope)
_approvals = st.builds(
    lambda rule, files: rule if files is None else bound(rule, files),
    st.builds(approval, st.sampled_from(Maturity), _scopes, expires=_days, specifier=_specifiers),
    st.sampled_from([None, None, OURS, OTHER]),
)
_bans = st.builds(ban, _scopes, expires=_days, specifier=_specifiers)
_rules = st.lists(st.one_of(_approvals, _approvals, _bans), max_size=6)
_LADDER = {None: 4, **{maturity: int(maturity) for maturity in Maturity}}


def strictness(rules: Iterable[PackageRule], now: datetime = NOW) -> int:
    """How mature an agent has to be: 4 where none is mature enough without an approval, 5 where none ever is."""
    state, minimum = outcome(rules, now)
    return 5 if state is PackageState.BANNED else _LADDER[minimum]


@given(_rules, st.randoms(use_true_random=False))
def test_the_order_of_rules_does_not_matter(rules: list[PackageRule], chance: object) -> None:
    shuffled = list(rules)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert outcome(shuffled) == outcome(rules)


@given(_rules, _bans)
def test_a_ban_in_force_beats_everything_and_no_ban_ever_lets_in(rules: list[PackageRule], one: PackageRule) -> None:
    assert strictness([*rules, one]) >= strictness(rules)
    everything = ban(one.scope)
    assert outcome([*rules, everything])[0] is PackageState.BANNED


@given(_rules, _approvals)
def test_what_the_instance_says_is_a_floor_for_every_workspace(rules: list[PackageRule], own: PackageRule) -> None:
    instance = [rule for rule in rules if rule.scope is G]
    says = strictness(instance)
    if says in (0, 1, 2, 3, 5):
        assert strictness(rules) >= says
        workspace = PackageRule(**{name: getattr(own, name) for name in own.__slots__ if name != "scope"}, scope=W)
        assert strictness([*rules, workspace]) >= says


@given(_rules, st.integers(0, 5))
def test_an_approval_that_runs_out_lets_nobody_in(rules: list[PackageRule], days: int) -> None:
    approvals = [rule for rule in rules if rule.state is RuleState.APPROVED]
    assert strictness(approvals, NOW + timedelta(days=days)) >= strictness(approvals)


@given(_rules)
def test_a_standing_holds_until_it_says(rules: list[PackageRule]) -> None:
    found = standing(rules)
    if found.until is None:
        assert outcome(rules, NOW + timedelta(days=9)) == outcome(rules)
    else:
        assert outcome(rules, found.until - timedelta(seconds=1)) == outcome(rules)


@given(_rules, st.sampled_from(["1.0", "2.0", None]))
def test_a_check_says_the_same_as_a_decision_and_gives_a_reason_for_each(
    rules: list[PackageRule], version: str | None
) -> None:
    numbered = [_numbered(rule, place) for place, rule in enumerate(rules, start=1)]
    compiled = compile_rules(workspace=HERE, epoch=Epoch(1), rules=numbered)
    wanted = wanted_package(ecosystem="pypi", name="Evil", version=version, hashes=[OURS])
    answer = check_package(wanted, compiled, NOW)
    if version is not None:
        assert answer.standing.state is standing(rules, version).state
    assert answer.reasons
    answers = [one.answer for one in answer.by_maturity]
    assert answers[0] is Answer.DENY
    assert all(one.reason.message for one in answer.by_maturity)
    allowed = [one.answer is Answer.ALLOW for one in answer.by_maturity]
    assert allowed == sorted(allowed)


def test_whoever_asks_without_hashes_is_told_that_files_matter() -> None:
    compiled = compile_rules(workspace=HERE, epoch=Epoch(1), rules=[_numbered(bound(approval(INTERN, W), OURS), 7)])
    answer = check_package(wanted_package(ecosystem="pypi", name="evil", version="1.0"), compiled, NOW)
    assert [reason.code for reason in answer.reasons] == ["unknown_package", "bound_to_files"]


def test_any_version_is_what_a_rule_says_of_every_version() -> None:
    def any_version(*rules: PackageRule) -> PackageState:
        numbered = [_numbered(rule, place) for place, rule in enumerate(rules, start=1)]
        compiled = compile_rules(workspace=HERE, epoch=Epoch(1), rules=numbered)
        return check_package(wanted_package(ecosystem="pypi", name="evil", version=None), compiled, NOW).standing.state

    assert any_version(approval(INTERN, W, specifier="<2")) is PackageState.UNKNOWN
    assert any_version(ban(W, specifier="<2")) is PackageState.UNKNOWN
    assert any_version(ban(W, specifier="<2"), approval(INTERN, W)) is PackageState.APPROVED
    assert any_version(ban(G), approval(INTERN, W)) is PackageState.BANNED
