"""A rule that is wrong is refused with the field it is wrong in; one that is right means the same however written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from skillyard.governance.decision import Maturity, RuleState
from skillyard.governance.errors import RuleError
from skillyard.governance.rules import Match, draft_approval, draft_ban, matches, parse_name, parse_specifier
from skillyard.skills.skill import Ecosystem

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
APPROVAL: dict[str, Any] = {"ecosystem": "pypi", "name": "pandas", "min_maturity": "intern", "now": NOW}
BAN: dict[str, Any] = {"ecosystem": "pypi", "name": "evil", "reason": "it steals tokens", "now": NOW}


def test_an_approval_is_kept_in_canonical_form() -> None:
    draft = draft_approval(**APPROVAL | {"ecosystem": " PyPI", "name": "Ruamel.YAML_clib", "specifier": " <3, >=2"})
    assert (draft.ecosystem, draft.name, draft.specifier) == (Ecosystem.PYPI, "ruamel-yaml-clib", "<3,>=2")
    assert (draft.state, draft.min_maturity) == (RuleState.APPROVED, Maturity.INTERN)


@pytest.mark.parametrize("name", ["EVIL", "e_v-il", "e.v..il", "E-V_IL"])
def test_spellings_of_a_python_name_are_one(name: str) -> None:
    assert parse_name(Ecosystem.PYPI, name) in ("evil", "e-v-il")
    assert parse_name(Ecosystem.PYPI, name) == parse_name(Ecosystem.PYPI, name.lower())


def test_npm_names_keep_their_scope_and_case() -> None:
    assert parse_name(Ecosystem.NPM, "@Scope/Left_Pad") == "@Scope/Left_Pad"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("ecosystem", {"ecosystem": "cargo"}),
        ("name", {"name": ""}),
        ("name", {"name": "pandas==2"}),
        ("name", {"name": "a" * 10_000}),
        ("name", {"name": "../etc/passwd"}),
        ("name", {"name": "@scope/name"}),
        ("name", {"name": "naïve"}),
        ("specifier", {"specifier": "2.1.0"}),
        ("specifier", {"specifier": "^2"}),
        ("specifier", {"specifier": ">=1," * 1000}),
        ("min_maturity", {"min_maturity": "boss"}),
        ("expires_at", {"expires_at": NOW}),
        ("expires_at", {"expires_at": NOW - timedelta(days=1)}),
        ("expires_at", {"expires_at": datetime(2030, 1, 1)}),  # noqa: DTZ001 - what is refused
        ("hashes", {"hashes": ["sha256:" + "a" * 64]}),
        ("hashes", {"hashes": ["A" * 64]}),
        ("reason", {"reason": "  "}),
        ("reason", {"reason": "x" * 2001}),
        ("reason", {"reason": "fine\x1b[2Jnot"}),
    ],
)
def test_a_wrong_approval_names_the_field(field: str, change: dict[str, Any]) -> None:
    with pytest.raises(RuleError) as refused:
        draft_approval(**APPROVAL | change)
    assert refused.value.field == field


@pytest.mark.parametrize("reason", ["", " \n ", "x" * 2001])
def test_a_ban_needs_a_reason(reason: str) -> None:
    with pytest.raises(RuleError) as refused:
        draft_ban(**BAN | {"reason": reason})
    assert refused.value.field == "reason"


def test_a_version_in_place_of_a_specifier_is_told_how_to_write_it() -> None:
    with pytest.raises(RuleError, match=r"==2\.1\.0"):
        parse_specifier(Ecosystem.PYPI, "2.1.0")


def test_an_npm_range_is_kept_with_its_spaces_in_order() -> None:
    assert parse_specifier(Ecosystem.NPM, "  >=1   <2||^4.0.0 ") == ">=1 <2 || ^4.0.0"
    assert parse_specifier(Ecosystem.NPM, "*") == ""


@pytest.mark.parametrize(
    ("specifier", "version", "expected"),
    [
        ("==1.0", "1.0+cpu", Match.YES),
        ("==1.0+cpu", "1.0", Match.NO),
        ("==1.0+cpu", "1.0+CPU", Match.YES),
        ("<=1.0", "1.0+cpu", Match.YES),
        ("===1.0", "1.0", Match.YES),
        ("===1.0", "1.0.0", Match.NO),
        ("==1.0", "1.0.0", Match.YES),
        ("==1.*", "1.0rc1", Match.YES),
        ("<2", "2.0rc1", Match.NO),
        ("<2", "1.9rc1", Match.YES),
        (">1", "1.post1", Match.NO),
        ("", "2!1.0", Match.YES),
        ("<2", "1!1.0", Match.NO),
        ("<2", "not a version", Match.CANNOT_TELL),
    ],
)
def test_local_versions_prereleases_and_epochs_are_those_of_pep_440(
    specifier: str, version: str, expected: Match
) -> None:
    kept = parse_specifier(Ecosystem.PYPI, specifier)
    assert matches(Ecosystem.PYPI, kept, version) is expected
    assert matches(Ecosystem.PYPI, kept, version, ban=True) is expected


def test_npm_rules_mean_every_version_or_exactly_one() -> None:
    assert matches(Ecosystem.NPM, "", "4.17.21") is Match.YES
    assert matches(Ecosystem.NPM, parse_specifier(Ecosystem.NPM, "=4.17.21"), "4.17.21") is Match.YES
    assert matches(Ecosystem.NPM, "4.17.21", "4.17.20") is Match.NO
    assert matches(Ecosystem.NPM, "", "4.17") is Match.CANNOT_TELL


def test_a_ban_covers_prereleases_of_what_it_names() -> None:
    assert matches(Ecosystem.PYPI, ">=1,<3", "2.0rc1") is Match.YES
    assert matches(Ecosystem.PYPI, "", "2.0.dev1") is Match.YES


@given(
    st.builds("{}.{}{}".format, st.integers(0, 3), st.integers(0, 3), st.sampled_from(["", "a1", ".post1", "+x"])),
    st.builds("{}{}.{}".format, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "~="]), *[st.integers(0, 3)] * 2),
)
def test_specifiers_mean_what_pep_440_says(version: str, specifier: str) -> None:
    kept = parse_specifier(Ecosystem.PYPI, specifier)
    expected = SpecifierSet(specifier).contains(version, prereleases=True)
    assert (matches(Ecosystem.PYPI, kept, version) is Match.YES) == expected


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(Ecosystem))
def test_any_text_gets_an_answer(specifier: str, version: str, ecosystem: Ecosystem) -> None:
    assert matches(ecosystem, specifier, version) in Match


@given(st.text(max_size=300), st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_taken_or_refused_with_a_field(name: str, specifier: str, reason: str) -> None:
    for ecosystem in Ecosystem:
        try:
            draft = draft_ban(ecosystem=ecosystem, name=name, specifier=specifier, reason=reason, now=NOW)
        except RuleError as error:
            refused_in = error.field
        else:
            assert draft.reason
            assert parse_specifier(ecosystem, draft.specifier) == draft.specifier
            continue
        assert refused_in in ("name", "specifier", "reason")
