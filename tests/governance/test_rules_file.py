"""The rules file: what goes out comes in again as it was, and what is wrong is refused with its line."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts.write_rules_file_reference import EXAMPLE, PAGE, page
from skillyard.governance.decision import Maturity, PackageRule, RuleScope, RuleState
from skillyard.governance.errors import RuleError
from skillyard.governance.rule_plan import ImportMode, content, plan_import
from skillyard.governance.rules import RuleDraft
from skillyard.governance.rules_file import read_rules_file, write_rules_file
from skillyard.ids import ApprovalId, RuleId
from skillyard.skills.skill import Ecosystem

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HASH = "a" * 64

_names = {
    Ecosystem.PYPI: st.sampled_from(["evil", "left-pad", "zope-interface", "a", "0"]),
    Ecosystem.NPM: st.sampled_from(["evil", "LeftPad", "@scope/evil", "left_pad", "~x"]),
}
_specifiers = {
    Ecosystem.PYPI: st.sampled_from(["", "==1.0", "<2,>=1", "~=1.4", "===1.0+x", "!=1.5"]),
    Ecosystem.NPM: st.sampled_from(["", "1.2.3", "^1.2.0", ">=1 <2 || ~3.1", "1.x - 2"]),
}
_reasons = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.sampled_from(" \n\t\"'\\:#-&*!"),
    min_size=1,
    max_size=30,
).filter(lambda text: text.strip() == text and all(one.isprintable() or one in "\n\t" for one in text))
_moments = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - gets its zone from the next line
    max_value=datetime(2099, 1, 1),  # noqa: DTZ001 - likewise
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)


@st.composite
def _rules(draw: st.DrawFn) -> PackageRule:
    ecosystem, banned = draw(st.sampled_from(Ecosystem)), draw(st.booleans())
    return PackageRule(
        id=RuleId(draw(st.integers(1, 10**6))),
        ecosystem=ecosystem,
        name=draw(_names[ecosystem]),
        specifier=draw(_specifiers[ecosystem]),
        state=RuleState.BANNED if banned else RuleState.APPROVED,
        min_maturity=None if banned else draw(st.sampled_from(Maturity)),
        expires_at=draw(st.none() | _moments),
        reason=draw(_reasons if banned else st.none() | _reasons),
        hashes=frozenset() if banned else draw(st.sampled_from([frozenset(), frozenset({HASH, "b" * 64})])),
        approval=draw(st.none() | st.just(ApprovalId(7))),
    )


def _stored(drafts: tuple[RuleDraft, ...]) -> list[PackageRule]:
    return [
        PackageRule(
            id=RuleId(place),
            ecosystem=one.ecosystem,
            name=one.name,
            specifier=one.specifier,
            state=one.state,
            min_maturity=one.min_maturity,
            expires_at=one.expires_at,
            reason=one.reason,
            hashes=one.hashes,
            scope=RuleScope.WORKSPACE,
        )
        for place, one in enumerate(drafts, start=1)
    ]


@given(st.lists(_rules(), max_size=5))
def test_a_file_that_was_written_is_read_as_what_it_was(rules: list[PackageRule]) -> None:
    text = write_rules_file(rules)
    drafts = read_rules_file(text, file="rules.yaml")
    assert {content(draft) for draft in drafts} == {content(rule) for rule in rules}
    normalised = write_rules_file(_stored(drafts))
    assert write_rules_file(_stored(read_rules_file(normalised, file="rules.yaml"))) == normalised


@given(st.lists(_rules(), max_size=5), st.lists(_rules(), max_size=5), st.sampled_from(ImportMode))
def test_importing_twice_is_importing_once(
    before: list[PackageRule], wanted: list[PackageRule], mode: ImportMode
) -> None:
    drafts = read_rules_file(write_rules_file(wanted), file="rules.yaml")
    plan = plan_import(before, drafts, mode=mode, now=NOW)
    after = [rule for rule in before if rule not in plan.ended] + _stored(plan.added)
    assert {content(draft) for draft in drafts} <= {content(rule) for rule in after}
    assert plan_import(after, drafts, mode=mode, now=NOW).empty
    if mode is ImportMode.REPLACE:
        assert {content(rule) for rule in after} == {content(draft) for draft in drafts}
    if mode is ImportMode.ADD:
        assert plan.ended == ()
    if mode is ImportMode.MERGE:
        assert not any(rule.approval for rule in plan.ended)


def test_a_merge_ends_no_rule_that_an_approval_request_made() -> None:
    text = 'version: "1"\nrules:\n  - {ecosystem: pypi, name: evil, state: approved, min_maturity: AUTONOMOUS}\n'
    drafts = read_rules_file(text, file="rules.yaml")
    (by_hand,) = _stored(drafts)
    by_hand = replace(by_hand, min_maturity=Maturity.INTERN)
    by_request = replace(by_hand, id=RuleId(2), approval=ApprovalId(7))
    plan = plan_import([by_hand, by_request], drafts, mode=ImportMode.MERGE, now=NOW)
    assert plan.ended == (by_hand,)
    assert plan_import([by_hand, by_request], drafts, mode=ImportMode.REPLACE, now=NOW).ended == (by_hand, by_request)


HEAD = 'version: "1"\nrules:\n'
RULE = "  - ecosystem: pypi\n    name: evil\n    state: banned\n    reason: it steals\n"


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("rules: []\n", 1, "version"),
        ("version: 2\nrules: []\n", 1, None),
        ("version: 1\nrules: {}\n", 2, "rules"),
        ("version: 1\nrules: []\nextra: 1\n", 3, "extra"),
        (HEAD + "  - just text\n", 3, None),
        (HEAD + RULE + "    colour: red\n", 7, "colour"),
        (HEAD + RULE.replace("pypi", "cargo"), 3, "ecosystem"),
        (HEAD + RULE.replace("evil", "no such name!"), 4, "name"),
        (HEAD + RULE.replace("evil", "e" * 10_000), 4, "name"),
        (HEAD + RULE + "    versions: 1.0\n", 7, "versions"),
        (HEAD + RULE + "    versions: '>=1,'\n    expires: tomorrow\n", 8, "expires"),
        (HEAD + RULE + "    expires: 2027-01-01T00:00:00\n", 7, "expires"),
        (HEAD + RULE + "    expires: 9999-12-31T23:59:59-10:00\n", 7, "expires"),
        (HEAD + RULE.replace("banned", "blessed"), 5, "state"),
        (HEAD + RULE.replace("it steals", "''"), 6, "reason"),
        (HEAD + RULE.replace("    reason: it steals\n", ""), 3, "reason"),
        (HEAD + RULE + "    min_maturity: INTERN\n", 7, "min_maturity"),
        (HEAD + RULE + f"    hashes: [{HASH}]\n", 7, "hashes"),
        (HEAD + RULE.replace("banned", "approved"), 3, "min_maturity"),
        (HEAD + RULE.replace("banned", "approved") + "    min_maturity: BOSS\n", 7, "min_maturity"),
        (HEAD + RULE.replace("banned", "approved") + "    min_maturity: INTERN\n    hashes: [abc]\n", 8, "hashes"),
        (HEAD + RULE + RULE, 7, None),
        (HEAD + RULE + RULE.replace("evil", "EVIL"), 7, None),
        (HEAD + RULE + "    reason: again\n", 7, "reason"),
        (HEAD + RULE.replace("evil", "&anchor evil"), 4, None),
        (HEAD + "  - {\n", 4, None),
        ("", 1, None),
    ],
)
def test_what_is_wrong_is_refused_with_its_line_and_field(text: str, line: int, field: str | None) -> None:
    with pytest.raises(RuleError) as refused:
        read_rules_file(text, file="rules.yaml")
    assert (refused.value.file, refused.value.line, refused.value.field) == ("rules.yaml", line, field)
    assert str(refused.value).startswith(f"rules.yaml:{line}: ")


@given(st.text(max_size=200))
def test_any_text_is_a_rules_file_or_refused_as_one(text: str) -> None:
    try:
        assert isinstance(read_rules_file(text, file="f"), tuple)
    except RuleError as refused:
        assert refused.file == "f"  # noqa: PT017 - both ends of the same promise


def test_the_reference_is_what_the_code_says() -> None:
    assert PAGE.read_text() == page(), "run `make reference`"
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert blocks == [EXAMPLE]
    assert len(read_rules_file(EXAMPLE, file="example.yaml")) >= 3
