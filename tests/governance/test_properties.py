"""Properties of the pure decision that no order, expiry, spelling or unreadable value may break."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from skillyard.governance.closure import PackageState, compile_rules, evaluate_closure
from skillyard.governance.decision import (
    Allow,
    Deny,
    Hold,
    Maturity,
    PackageRule,
    RuleScope,
    RuleState,
)
from skillyard.governance.policy import decide, rule
from skillyard.ids import (
    Epoch,
    RuleId,
)
from skillyard.skills.lock import LockedArtefact, LockedPackage, SourceBuild, closure_digest
from tests.governance.worlds import (
    BANS,
    HASH,
    HERE,
    MATURITIES,
    NEAR_RULES,
    RULES,
    TIMES,
    approval,
    ban,
    decided,
    governed,
    worlds,
)


@given(worlds())
def test_every_decision_is_made_and_gives_a_reason(world: dict[str, Any]) -> None:
    decision = decided(world)
    assert isinstance(decision, (Allow, Hold, Deny))
    assert decision.reasons
    assert all(reason.code and reason.message.strip() for reason in decision.reasons)
    if isinstance(decision, Hold):
        assert decision.packages or decision.first_use


@given(worlds() | governed(), BANS)
def test_adding_a_ban_never_lets_anything_through(world: dict[str, Any], added: PackageRule) -> None:
    before = decided(world)
    after = decided(world, found=[*world["found"], replace(added, id=RuleId(5000))])
    if isinstance(before, Deny):
        assert isinstance(after, Deny)
    if isinstance(before, Hold):
        assert not isinstance(after, Allow)


@given(worlds() | governed(), st.data())
def test_a_banned_package_anywhere_in_the_closure_beats_everything(world: dict[str, Any], data: st.DataObject) -> None:
    packages = [(one.ecosystem, item) for one in world["locks"] for item in one.packages]
    assume(packages)
    ecosystem, item = data.draw(st.sampled_from(packages))
    banned = replace(ban(item.name), ecosystem=ecosystem)
    decision = decided(world, found=[*world["found"], banned])
    assert isinstance(decision, Deny)


@given(worlds() | governed(), MATURITIES)
def test_raising_maturity_never_turns_allow_into_deny(world: dict[str, Any], raised: Maturity) -> None:
    who = world["agent"]
    assume(who is not None and raised >= who.maturity)
    if isinstance(decided(world), Allow):
        after = decided(world, agent=replace(who, maturity=raised))
        assert not isinstance(after, Deny)
        # A promoted STUDENT may have a first use to be approved; nobody else loses anything.
        assert isinstance(after, Allow) or who.maturity is Maturity.STUDENT


@settings(max_examples=500)
@given(worlds() | governed() | governed() | governed(), st.randoms(use_true_random=False))
def test_the_order_of_rules_does_not_matter(world: dict[str, Any], random: Any) -> None:
    shuffled = list(world["found"])
    random.shuffle(shuffled)
    assert decided(world) == decided(world, found=shuffled)


@given(worlds() | governed())
def test_no_unapproved_or_banned_package_is_ever_in_what_is_allowed(world: dict[str, Any]) -> None:
    if not isinstance(decided(world), Allow):
        return
    compiled = compile_rules(workspace=HERE, epoch=Epoch(1), rules=world["found"])
    standing = evaluate_closure(world["locks"], compiled, world["now"])
    assert {item.state for item in standing.standings} <= {PackageState.APPROVED}
    assert all(item.minimum <= world["agent"].maturity for item in standing.standings)


@given(worlds() | governed(), TIMES, TIMES)
def test_a_kept_ruling_decides_at_any_time_as_a_fresh_one(
    world: dict[str, Any], made: datetime, asked: datetime
) -> None:
    compiled = compile_rules(workspace=HERE, epoch=Epoch(1), rules=world["found"], first_uses=world["uses"])
    facts = (world["skill"], world["locks"], world["report"], compiled)
    kept = rule(*facts, made, world["policy"])
    fresh = decide(world["agent"], *facts, asked, world["policy"])
    assert type(kept.decide(world["agent"], asked)) is type(fresh)


@settings(max_examples=500)
@given(worlds() | governed() | governed() | governed(), MATURITIES, st.data())
def test_a_global_approval_is_a_floor_that_no_rule_of_a_workspace_goes_below(
    world: dict[str, Any], minimum: Maturity, data: st.DataObject
) -> None:
    packages = [(one.ecosystem, item) for one in world["locks"] for item in one.all_packages]
    if not packages:
        return
    ecosystem, item = data.draw(st.sampled_from(packages))
    floor = approval(
        item.name,
        minimum=minimum,
        id=RuleId(6000),
        ecosystem=ecosystem,
        scope=RuleScope.GLOBAL,
        expires_at=data.draw(st.none() | TIMES),
    )
    own = [one for one in world["found"] if one.scope is RuleScope.WORKSPACE]
    if isinstance(decided(world, found=[*own, floor]), Allow):
        assert world["agent"].maturity >= minimum


@given(worlds() | governed(), RULES | NEAR_RULES)
def test_whatever_a_workspace_approves_a_global_ban_stays(world: dict[str, Any], added: PackageRule) -> None:
    banned = [one for one in world["found"] if one.scope is RuleScope.GLOBAL and one.state is RuleState.BANNED]
    before = decided(world, found=banned)
    own = replace(added, id=RuleId(5000), scope=RuleScope.WORKSPACE)
    if isinstance(before, Deny):
        assert isinstance(decided(world, found=[*banned, own]), Deny)


@given(worlds(), RULES)
def test_a_rule_of_another_name_changes_nothing(world: dict[str, Any], added: PackageRule) -> None:
    other = replace(added, id=RuleId(5000), name="something-else")
    assert decided(world, found=[*world["found"], other]) == decided(world)


@given(worlds() | governed(), st.data())
def test_how_a_package_came_into_the_closure_does_not_matter(world: dict[str, Any], data: st.DataObject) -> None:
    """Declared, asked for by another, or needed by a build alone: what is decided of it is the same."""
    locks = world["locks"]
    assume(any(one.packages for one in locks))
    index = data.draw(st.sampled_from([number for number, one in enumerate(locks) if one.packages]))
    one = locks[index]
    base = LockedPackage("base", "1.0", (LockedArtefact("base-1.0.tar.gz", HASH, None),), (), direct=True)
    moved = data.draw(st.sampled_from(one.packages))
    assume([(item.name, item.version) for item in one.packages].count((moved.name, moved.version)) == 1)
    rest = tuple(item for item in one.packages if item is not moved)
    declared = replace(one, packages=(base, *rest, replace(moved, direct=True, required_by=())))
    transitive = replace(one, packages=(base, *rest, replace(moved, direct=False, required_by=("base",))))
    building = replace(one, packages=(base, *rest), builds=(SourceBuild("base", (moved,)),))
    allowing = replace(world["policy"], scan=replace(world["policy"].scan, source_builds=True))
    kinds = set()
    for variant in (declared, transitive, building):
        closure = (*locks[:index], variant, *locks[index + 1 :])
        seen = replace(world["report"], lock_digest=closure_digest(closure))
        rules = [*world["found"], approval("base", ecosystem=one.ecosystem, id=RuleId(5000))]
        kinds.add(type(decided(world, locks=closure, report=seen, found=rules, policy=allowing)))
    assert len(kinds) == 1


@settings(max_examples=500)
@given(worlds() | governed() | governed() | governed(), TIMES, TIMES)
def test_time_alone_lets_nothing_through(world: dict[str, Any], one: datetime, other: datetime) -> None:
    """Approvals run out and evidence ages. What does let a call through by itself, and is left out here: a ban with an
    end, and evidence that was dated in the future."""
    earlier, later = sorted((one, other))
    dates = [item.data_date for item in world["report"].evidence if item.data_date is not None]
    assume(all(date <= earlier for date in dates))
    found = [replace(rule, expires_at=None) if rule.state is RuleState.BANNED else rule for rule in world["found"]]
    if not isinstance(decided(world, found=found, now=earlier), Allow):
        assert not isinstance(decided(world, found=found, now=later), Allow)


@given(worlds() | governed(), st.data(), st.lists(TIMES, max_size=3))
def test_rules_that_were_loaded_bit_by_bit_decide_as_if_loaded_at_once(
    world: dict[str, Any], data: st.DataObject, asked: list[datetime]
) -> None:
    """What a group of rules found out stays true while other rules come and go, and as time passes either way."""
    found = world["found"]
    kept = [rule for rule in found if data.draw(st.booleans())]
    gone = [
        replace(rule, id=RuleId(rule.id + 7000))
        for rule in data.draw(st.lists(RULES | NEAR_RULES, max_size=3, unique_by=_id))
    ]
    before = compile_rules(workspace=HERE, epoch=Epoch(1), rules=[*kept, *gone])
    for moment in asked:
        evaluate_closure(world["locks"], before, moment)
    after = compile_rules(
        workspace=HERE,
        epoch=Epoch(2),
        rules=[rule for rule in found if rule not in kept],
        like=before.by_name,
        gone={rule.id for rule in gone},
    )
    at_once = compile_rules(workspace=HERE, epoch=Epoch(2), rules=found)
    for moment in (*asked, world["now"]):
        piecewise = evaluate_closure(world["locks"], after, moment)
        assert piecewise.standings == evaluate_closure(world["locks"], at_once, moment).standings


def _id(rule: PackageRule) -> int:
    return rule.id
