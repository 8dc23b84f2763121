"""Which rule is about which package, and that what was found out once is not used when it no longer holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from skillyard.governance.closure import evaluate_lock
from skillyard.governance.decision import (
    Allow,
    Deny,
    Hold,
    Maturity,
    PackageRule,
    RuleScope,
    RuleState,
)
from skillyard.governance.policy import rule
from skillyard.governance.report import Evidence, EvidenceState
from skillyard.governance.rule_groups import RuleGroup
from skillyard.ids import (
    RuleId,
)
from skillyard.skills.skill import Ecosystem
from tests.governance.worlds import (
    BOTH,
    CODE,
    DAY,
    HASH,
    NOW,
    PANDAS_NUMPY,
    POLICY,
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


@pytest.mark.parametrize(("version", "specifier"), [("not-a-version", "<2"), ("1.26.4", "=>1")])
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


def test_a_stricter_approval_that_runs_out_lets_nobody_in_by_a_laxer_one_of_the_other_scope() -> None:
    soon, only_numpy = NOW + DAY, (lock(package("numpy", "1.26.4")),)
    intern = agent(Maturity.INTERN)
    for strict, lax in permutations(RuleScope):
        found = (
            approval("numpy", minimum=Maturity.AUTONOMOUS, expires_at=soon, scope=strict),
            approval("numpy", id=RuleId(2), scope=lax),
        )
        assert codes(outcome(*found, who=intern, locks=only_numpy)) == ["maturity_too_low"]
        assert codes(outcome(*found, who=intern, locks=only_numpy, now=soon)) == ["maturity_too_low"]


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


# Rules are found by the version they name, and ranges compared without the detours of PEP 440 where it has none.

PYTHON_VERSIONS = st.builds(
    "{}{}{}{}{}{}".format,
    st.sampled_from(["", "", "", "1!"]),
    st.sampled_from(["1", "1.0", "1.1"]),
    st.sampled_from(["", "", "rc1"]),
    st.sampled_from(["", "", ".post1"]),
    st.sampled_from(["", "", ".dev1"]),
    st.sampled_from(["", "", "+cpu"]),
)
PYTHON_SPECIFIERS = st.lists(
    st.builds("{}{}".format, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "~=", "==="]), PYTHON_VERSIONS)
    | st.sampled_from(["==1.*", "!=1.0.*", "nonsense", ""]),
    min_size=1,
    max_size=2,
).map(",".join)


@settings(max_examples=300)
@given(PYTHON_VERSIONS | st.text(max_size=5), st.lists(st.tuples(PYTHON_SPECIFIERS, st.booleans()), max_size=5))
def test_a_group_of_rules_means_by_a_version_what_each_of_them_means(
    version: str, wanted: list[tuple[str, bool]]
) -> None:
    found = [
        ban("numpy", specifier, id=RuleId(number)) if bans else approval("numpy", specifier, id=RuleId(number))
        for number, (specifier, bans) in enumerate(wanted)
    ]
    expected = [one for one in found if _means(one, version)]
    assert list(RuleGroup.of(found).meaning(version)) == expected


def _means(one: PackageRule, version: str) -> bool:
    try:
        spelt = SpecifierSet(one.specifier).contains(Version(version), prereleases=True)
    except ValueError:
        return one.state is RuleState.BANNED
    return spelt
