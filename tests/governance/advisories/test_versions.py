"""If versions sort wrongly, an affected version looks clean."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from semver import Version as SemVer
from skillyard.governance.advisories.versions import (
    UnorderableVersionError,
    canonical_name,
    canonical_version,
    npm_span,
    public_version,
    version_key,
)
from skillyard.skills.skill import Ecosystem

# SemVer 2.0.0, section 11, in ascending order.
SEMVER_ORDER = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
]
# PEP 440, "Summary of permitted suffixes and relative ordering", in ascending order.
PEP440_ORDER = [
    "1.dev0",
    "1.0.dev456",
    "1.0a1",
    "1.0a2.dev456",
    "1.0a12",
    "1.0b1.dev456",
    "1.0b2",
    "1.0rc1",
    "1.0",
    "1.0.post456",
    "1.0.15",
    "1.1.dev1",
]


@pytest.mark.parametrize(("ecosystem", "ascending"), [(Ecosystem.NPM, SEMVER_ORDER), (Ecosystem.PYPI, PEP440_ORDER)])
def test_order_is_the_one_of_the_ecosystems_own_rules(ecosystem: Ecosystem, ascending: list[str]) -> None:
    keys = [version_key(ecosystem, version) for version in ascending]
    assert all(low < high for low, high in pairwise(keys))


@pytest.mark.parametrize(
    ("ecosystem", "written", "canonical"),
    [
        (Ecosystem.PYPI, "1.0-RC.1", "1.0rc1"),
        (Ecosystem.PYPI, "v2.0", "2.0"),
        (Ecosystem.NPM, "v2.0.0-alpha7", "2.0.0-alpha7"),
        (Ecosystem.NPM, "3.11", "3.11.0"),
        (Ecosystem.NPM, "4", "4.0.0"),
    ],
)
def test_spellings_of_one_version_are_one(ecosystem: Ecosystem, written: str, canonical: str) -> None:
    assert canonical_version(ecosystem, written) == canonical


@pytest.mark.parametrize(
    ("ecosystem", "version"),
    [(Ecosystem.PYPI, "0.2.0-n653"), (Ecosystem.PYPI, "2019-09-12"), (Ecosystem.NPM, "latest"), (Ecosystem.NPM, "")],
)
def test_what_has_no_place_in_the_order_is_an_error(ecosystem: Ecosystem, version: str) -> None:
    with pytest.raises(UnorderableVersionError):
        version_key(ecosystem, version)


def test_a_local_build_counts_as_its_release() -> None:
    assert public_version(Ecosystem.PYPI, "2.0.1+cpu") == "2.0.1"
    assert public_version(Ecosystem.NPM, "1.2.3+build.5") == "1.2.3"


@pytest.mark.parametrize(
    ("partial", "span"),
    [
        ("2.0.x", ("2.0.0", "2.1.0")),
        ("1.0", ("1.0.0", "1.1.0")),
        ("4", ("4.0.0", "5.0.0")),
        ("3.*", ("3.0.0", "4.0.0")),
        ("1.2.3", None),
        ("1.2.3-rc.1", None),
        ("*", None),
    ],
)
def test_partial_npm_versions_span_what_npm_says(partial: str, span: tuple[str, str] | None) -> None:
    assert npm_span(partial) == span


def test_python_names_have_one_spelling_and_npm_names_keep_theirs() -> None:
    assert canonical_name(Ecosystem.PYPI, "Jw.Util") == "jw-util"
    assert canonical_name(Ecosystem.NPM, "@Scope/JSONStream") == "@Scope/JSONStream"


identifiers = st.lists(st.from_regex(r"\A(0|[1-9][0-9]?|[a-z][a-z0-9]?)\Z"), max_size=3)
semvers = st.builds(
    lambda numbers, pre: ".".join(map(str, numbers)) + (f"-{'.'.join(pre)}" if pre else ""),
    st.tuples(*[st.integers(0, 3)] * 3),
    identifiers,
)


@given(semvers, semvers)
def test_npm_keys_compare_as_semver_does(left: str, right: str) -> None:
    ours = version_key(Ecosystem.NPM, left) < version_key(Ecosystem.NPM, right)
    assert ours == (SemVer.parse(left).compare(right) < 0)
