"""The matcher against a naive reading of the OSV schema's own algorithm, and against what real records teach."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from skillyard.governance.advisories.advisory import Advisory, Applies, Interval
from skillyard.governance.advisories.intervals import Event, EventKind, affected_by
from skillyard.governance.advisories.match import Match, affects, compact, fixes_after, vulnerabilities
from skillyard.governance.advisories.versions import version_key
from skillyard.governance.report import Severity
from skillyard.skills.skill import Ecosystem

MODIFIED = datetime(2026, 5, 1, tzinfo=UTC)
PYPI_VERSIONS = [
    "0.1.dev1",
    "0.1",
    "0.9",
    "1.0a1",
    "1.0rc1",
    "1.0",
    "1.0.post1",
    "1.0.1",
    "1.1",
    "1.10",
    "2.0b1",
    "2.0",
    "2.5",
    "3.0",
    "10.0",
    "1!0.1",
]
NPM_VERSIONS = [
    "0.0.1",
    "0.1.0",
    "0.9.0",
    "1.0.0-alpha",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.1.0",
    "1.10.0",
    "2.0.0-0",
    "2.0.0",
    "3.0.0",
    "10.0.0",
]
VERSIONS = {Ecosystem.PYPI: PYPI_VERSIONS, Ecosystem.NPM: NPM_VERSIONS}


def advisory(
    *events: tuple[str, str],
    ecosystem: Ecosystem = Ecosystem.PYPI,
    listed: tuple[str, ...] = (),
    identity: str = "TEST-1",
    aliases: tuple[str, ...] = (),
    severity: Severity = Severity.UNKNOWN,
) -> Advisory:
    ranges = [[Event(EventKind(kind), version) for kind, version in events]] if events else []
    affected = affected_by(ecosystem, ranges, listed)
    return Advisory(
        id=identity,
        ecosystem=ecosystem,
        package="demo",
        aliases=aliases,
        intervals=affected.intervals,
        versions=affected.versions,
        undetermined=affected.undetermined,
        severity=severity,
        cvss=None,
        modified=MODIFIED,
        published=None,
        withdrawn=None,
    )


def naive(ecosystem: Ecosystem, events: list[tuple[str, str]], version: str) -> bool:
    """``IncludedInRanges`` of the OSV schema's "Evaluation", word for word, for one range."""

    def at_least(left: str, right: str) -> bool:
        return right == "0" or version_key(ecosystem, right) <= version_key(ecosystem, left)

    limits = [bound for kind, bound in events if kind == "limit"]
    if limits and not any(bound == "*" or not at_least(version, bound) for bound in limits):
        return False
    zero = [event for event in events if event == ("introduced", "0")]
    others = [event for event in events if event not in zero and event[0] != "limit"]
    vulnerable = False
    for kind, bound in zero + sorted(others, key=lambda event: version_key(ecosystem, event[1])):
        if kind == "introduced" and at_least(version, bound):
            vulnerable = True
        elif (kind == "fixed" and at_least(version, bound)) or (
            kind == "last_affected" and at_least(version, bound) and not at_least(bound, version)
        ):
            vulnerable = False
    return vulnerable


@st.composite
def timelines(draw: st.DrawFn) -> tuple[Ecosystem, list[tuple[str, str]]]:
    """Events in any order, each at a version of its own, with at least one introduction."""
    ecosystem = draw(st.sampled_from(Ecosystem))
    start, *bounds = draw(st.lists(st.sampled_from(VERSIONS[ecosystem]), min_size=1, max_size=7, unique=True))
    kinds = st.sampled_from(["introduced", "fixed", "last_affected", "limit"])
    events = [("introduced", draw(st.sampled_from(["0", start])))]
    events += [(draw(kinds), bound) for bound in bounds]
    return ecosystem, draw(st.permutations(events))


@given(timelines())
def test_ranges_mean_what_the_schemas_algorithm_says(timeline: tuple[Ecosystem, list[tuple[str, str]]]) -> None:
    ecosystem, events = timeline
    one = advisory(*events, ecosystem=ecosystem)
    for version in VERSIONS[ecosystem]:
        expected = Applies.AFFECTED if naive(ecosystem, events, version) else Applies.NOT_AFFECTED
        assert affects(one, version) is expected, version


@given(st.sampled_from(Ecosystem), st.data())
def test_touching_and_unsorted_intervals_lose_no_version(ecosystem: Ecosystem, data: st.DataObject) -> None:
    """PYSEC-2023-72 and others: one interval's fix is the next one's introduction, listed in any order."""
    versions = sorted(VERSIONS[ecosystem], key=lambda version: version_key(ecosystem, version))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(versions) - 1), min_size=2)))
    spans = [span for span in pairwise(cuts) if data.draw(st.booleans())] or [(cuts[0], cuts[1])]
    events = [event for low, high in spans for event in (("introduced", versions[low]), ("fixed", versions[high]))]
    one = advisory(*data.draw(st.permutations(events)), ecosystem=ecosystem)
    found = [number for number, version in enumerate(versions) if affects(one, version) is Applies.AFFECTED]
    assert found == [number for number in range(len(versions)) if any(low <= number < high for low, high in spans)]


@given(timelines(), st.lists(st.sampled_from(PYPI_VERSIONS + NPM_VERSIONS + ["0.7.10p1", "2.0.x", "1.0+cpu"])))
def test_dropping_covered_versions_changes_no_answer(
    timeline: tuple[Ecosystem, list[tuple[str, str]]], listed: list[str]
) -> None:
    ecosystem, events = timeline
    full = advisory(*events, ecosystem=ecosystem, listed=tuple(listed))
    small = compact(full)
    assert small.versions <= full.versions
    for version in [*VERSIONS[ecosystem], *listed, "7.7.7", "nonsense"]:
        assert affects(small, version) is affects(full, version), version


def test_a_listed_version_counts_beside_every_range() -> None:
    one = advisory(("introduced", "1.0"), ("fixed", "1.1"), listed=("2.0", "0.7.10p1"))
    assert [affects(one, version) for version in ("1.0.1", "2.0", "1.5")] == [
        Applies.AFFECTED,
        Applies.AFFECTED,
        Applies.NOT_AFFECTED,
    ]
    assert affects(one, "0.7.10p1") is Applies.AFFECTED


def test_a_version_is_found_under_any_of_its_spellings() -> None:
    assert affects(advisory(listed=("1.0.0-RC1",)), "1.0.0rc1") is Applies.AFFECTED
    assert affects(advisory(listed=("1.0",)), "1.0.0") is Applies.AFFECTED
    assert affects(advisory(listed=("v1.0.0",), ecosystem=Ecosystem.NPM), "1.0.0+build") is Applies.AFFECTED


def test_a_local_build_of_an_affected_release_is_affected() -> None:
    assert affects(advisory(listed=("2.0.1",)), "2.0.1+cu118") is Applies.AFFECTED
    assert affects(advisory(("introduced", "0"), ("last_affected", "2.0.1")), "2.0.1+cu118") is Applies.AFFECTED
    assert affects(advisory(("introduced", "0"), ("fixed", "2.0.1")), "2.0.1+cu118") is Applies.NOT_AFFECTED


def test_a_version_without_a_place_is_never_called_clean() -> None:
    assert affects(advisory(("introduced", "0"), ("fixed", "1.0")), "not-a-version") is Applies.CANNOT_TELL
    assert affects(advisory(("introduced", "0")), "not-a-version") is Applies.AFFECTED, "every version is affected"


def test_a_bound_without_a_place_is_never_called_clean() -> None:
    """PYSEC-2021-371 is fixed in ``0.2.0-n653``, which PEP 440 does not know."""
    one = advisory(("introduced", "0"), ("fixed", "0.2.0-n653"), listed=("0.1.0",))
    assert affects(one, "0.1.0") is Applies.AFFECTED
    assert affects(one, "0.3.0") is Applies.CANNOT_TELL


def test_an_advisory_that_names_no_version_is_never_called_clean() -> None:
    assert affects(advisory(), "1.0") is Applies.CANNOT_TELL


def test_a_withdrawn_advisory_applies_to_nothing() -> None:
    one = replace(advisory(("introduced", "0")), withdrawn=MODIFIED)
    assert affects(one, "1.0") is Applies.NOT_AFFECTED
    assert affects(one, "nonsense") is Applies.NOT_AFFECTED


def test_npm_partial_versions_are_read_as_npm_reads_them(snapshot: dict[str, tuple[Advisory, ...]]) -> None:
    (hapi,) = snapshot["NSWG-11"]  # lists 2.0.x and 2.1.x
    assert [affects(hapi, version) for version in ("1.9.9", "2.0.7", "2.1.0", "2.2.0")] == [
        Applies.NOT_AFFECTED,
        Applies.AFFECTED,
        Applies.AFFECTED,
        Applies.NOT_AFFECTED,
    ]
    (dojo,) = snapshot["NSWG-107"]  # last affected: 1.0
    assert affects(dojo, "1.0.9") is Applies.AFFECTED
    assert affects(dojo, "1.1.0") is Applies.NOT_AFFECTED
    (express,) = snapshot["NSWG-8"]  # fixed in 3.11; introduced in 4, fixed in 4.5
    assert [affects(express, version) for version in ("3.10.9", "3.11.0", "4.0.0", "4.5.0")] == [
        Applies.AFFECTED,
        Applies.NOT_AFFECTED,
        Applies.AFFECTED,
        Applies.NOT_AFFECTED,
    ]


def test_real_records_that_need_care(snapshot: dict[str, tuple[Advisory, ...]]) -> None:
    (pyspark,) = snapshot["PYSEC-2019-169"]  # two introductions in a row once sorted, listed out of order
    assert [affects(pyspark, version) for version in ("1.0.1", "2.2.2", "2.2.3", "2.3.1", "2.3.2")] == [
        Applies.NOT_AFFECTED,
        Applies.AFFECTED,
        Applies.NOT_AFFECTED,
        Applies.AFFECTED,
        Applies.NOT_AFFECTED,
    ]
    (py,) = snapshot["PYSEC-2022-42969"]  # last affected: 1.11.0
    assert affects(py, "1.11.0") is Applies.AFFECTED
    assert affects(py, "1.11.1") is Applies.NOT_AFFECTED


def test_real_ranges_agree_with_packagings_specifiers(snapshot: dict[str, tuple[Advisory, ...]]) -> None:
    """For final releases ``>=a,<b`` of PEP 440 is the same set; on pre-releases of ``b`` OSV's order is wider."""
    pairs = 0
    chosen = [
        one for many in snapshot.values() for one in many if one.ecosystem is Ecosystem.PYPI and not one.withdrawn
    ]
    for one in random.Random(440).sample(sorted(chosen, key=lambda one: one.id), 60):
        bounds = {bound for part in one.intervals for bound in (part.introduced, part.fixed) if bound}
        finals = [bound for bound in bounds if not Version(bound).is_prerelease]
        for version in {*finals, *(f"{Version(bound).base_version}.1" for bound in finals)}:
            expected = any(specifier(part).contains(version, prereleases=True) for part in one.intervals)
            expected = expected or version in one.versions
            assert (affects(one, version) is Applies.AFFECTED) == expected, (one.id, version)
            pairs += 1
    assert pairs >= 100


def specifier(part: Interval) -> SpecifierSet:
    bounds = {">=": part.introduced, "<": part.fixed, "<=": part.last_affected}
    return SpecifierSet(",".join(f"{operator}{bound}" for operator, bound in bounds.items() if bound))


def test_fixes_are_those_above_the_version() -> None:
    one = advisory(("introduced", "1.0"), ("fixed", "1.10"), ("introduced", "2.0"), ("fixed", "2.5"))
    assert fixes_after(one, "1.1") == ("1.10", "2.5")
    assert fixes_after(one, "2.0") == ("2.5",)
    assert fixes_after(advisory(("introduced", "0")), "1.0") == ()


def test_records_of_one_vulnerability_are_one_finding_with_every_id() -> None:
    matches = [
        Match(advisory(("introduced", "0"), identity="PYSEC-1", aliases=("CVE-1",)), Applies.AFFECTED),
        Match(
            advisory(("introduced", "0"), identity="GHSA-1", aliases=("CVE-1", "CVE-2"), severity=Severity.MEDIUM),
            Applies.CANNOT_TELL,
        ),
        Match(advisory(("introduced", "0"), identity="OTHER-1", aliases=("CVE-9",)), Applies.AFFECTED),
    ]
    first, second = vulnerabilities(matches)
    assert first.ids == ("GHSA-1", "PYSEC-1")
    assert first.aliases == ("CVE-1", "CVE-2")
    assert first.severity is Severity.MEDIUM  # The same vulnerability, and one of the records knows.
    assert first.applies is Applies.AFFECTED
    assert (second.ids, second.severity) == (("OTHER-1",), Severity.UNKNOWN)


@given(st.lists(st.sets(st.integers(0, 12), max_size=3), max_size=10), st.randoms(use_true_random=False))
def test_grouping_is_transitive_and_does_not_depend_on_order(aliases: list[set[int]], shuffled: random.Random) -> None:
    matches = [
        Match(
            advisory(("introduced", "0"), identity=f"ID-{number}", aliases=tuple(f"A-{one}" for one in sorted(names))),
            Applies.AFFECTED,
        )
        for number, names in enumerate(aliases)
    ]
    groups = vulnerabilities(matches)
    assert sorted(one for group in groups for one in group.ids) == sorted(match.advisory.id for match in matches)
    for group in groups:
        assert all(set(group.aliases).isdisjoint(other.aliases) for other in groups if other is not group)
    shuffled.shuffle(matches)
    assert vulnerabilities(matches) == groups
