"""Merging must not depend on who is called local, must not change when done again, and must give valid documents."""

from __future__ import annotations

import itertools

import orjson
import pytest
import semver
from hypothesis import given
from hypothesis import strategies as st
from skillyard.marketplace_sync.catalogue.documents import SkillDocument, read_document
from skillyard.marketplace_sync.catalogue.entry import canonical
from skillyard.marketplace_sync.conflicts.detect import VersionFacts, detect_skill, detect_version
from skillyard.marketplace_sync.conflicts.merge import Side, merge_map, merge_set, merge_skill, next_version
from skillyard.marketplace_sync.conflicts.values import ConflictKind, Severity
from skillyard.marketplace_sync.errors import DocumentError

WORDS = ("alpha", "beta", "gamma")
DAYS = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")

words = st.sampled_from(WORDS)
documents = st.fixed_dictionaries(
    {"description": words, "updated_at": st.sampled_from(DAYS)},
    optional={
        "license": words,
        "topics": st.lists(words, unique=True, max_size=3),
        "categories": st.lists(words, unique=True, max_size=3),
        "channels": st.dictionaries(words, st.sampled_from(("1.0.0", "1.1.0", "2.0.0")), max_size=3),
        "body": words,
        "something_new": words,
    },
).map(canonical)
maps = st.dictionaries(words, words, max_size=3)
versions = st.builds(
    semver.Version, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.sampled_from((None, "rc.1", "beta"))
).map(str)
facts = st.builds(
    VersionFacts,
    bundle=words,
    packages=st.none() | maps,
    files=st.none()
    | st.dictionaries(st.sampled_from(("SKILL.md", "scripts/a.py", "requirements.txt", "x.json")), words),
    parameters=st.none() | maps,
)


@given(st.none() | documents, documents, documents)
def test_merging_is_the_same_whoever_is_called_local(base: str | None, local: str, remote: str) -> None:
    one, other = merge_skill(base, local, remote), merge_skill(base, remote, local)
    assert one == other
    ours, theirs = (
        merge_skill(base, local, remote, prefer=Side.LOCAL),
        merge_skill(base, remote, local, prefer=Side.REMOTE),
    )
    assert ours == theirs


@given(st.none() | documents, documents, documents)
def test_merging_again_changes_nothing_and_what_comes_out_is_valid(base: str | None, local: str, remote: str) -> None:
    merged = merge_skill(base, local, remote).document
    if merged is None:
        return
    read_document(SkillDocument, merged)
    assert merge_skill(base, merged, remote) == merge_skill(base, local, merged)
    assert merge_skill(base, merged, remote).document == merged
    assert merge_skill(merged, merged, merged).document == merged


@given(documents, documents)
def test_who_alone_changed_something_has_it_as_they_wanted(base: str, local: str) -> None:
    merged = merge_skill(base, local, base)
    assert merged.clashes == ()
    wanted, found = orjson.loads(local), orjson.loads(str(merged.document))
    for name in ("description", "license", "something_new"):
        assert found.get(name) == wanted.get(name)
    for name in ("topics", "categories"):
        assert set(found.get(name, ())) == set(wanted.get(name, ()))
    assert found.get("channels", {}) == wanted.get("channels", {})


@given(maps, maps, maps)
def test_a_map_loses_nothing_without_saying_so(
    base: dict[str, str], local: dict[str, str], remote: dict[str, str]
) -> None:
    merged = merge_map(base, local, remote)
    for key, side in itertools.product({*base, *local, *remote}, (local, remote)):
        if side.get(key) != base.get(key) and key not in merged.clashes:
            assert merged.values.get(key) == side.get(key)


@given(st.sets(words), st.sets(words), st.sets(words))
def test_a_set_keeps_what_was_added_and_not_what_was_removed(base: set[str], local: set[str], remote: set[str]) -> None:
    merged = set(merge_set(base, local, remote))
    assert (local | remote) - base <= merged
    assert not merged & (base - (local & remote))


@given(versions, versions, st.lists(versions, max_size=5))
def test_two_bundles_of_one_number_end_as_valid_versions_above_both(one: str, other: str, taken: list[str]) -> None:
    found = semver.Version.parse(next_version(one, other, taken))
    assert found > semver.Version.parse(one)
    assert found > semver.Version.parse(other)
    assert str(found) not in taken
    assert str(found) == next_version(other, one, taken[::-1])


@given(st.none() | documents, documents, documents)
def test_a_conflict_is_the_same_conflict_seen_from_the_other_side(base: str | None, local: str, remote: str) -> None:
    assert detect_skill(base, local, remote) == detect_skill(base, remote, local)
    assert detect_skill(base, local, local) is None


@given(facts, facts)
def test_so_is_one_of_versions(local: VersionFacts, remote: VersionFacts) -> None:
    assert detect_version(local, remote) == detect_version(remote, local)
    assert detect_version(local, local) is None


def test_both_changed_the_description_and_nobody_guesses() -> None:
    base, local, remote = (document(text) for text in ("was", "ours", "theirs"))
    assert merge_skill(base, local, remote).document is None
    assert merge_skill(base, local, remote).clashes == ("description",)
    kept = merge_skill(base, local, remote, prefer=Side.LOCAL).document
    assert orjson.loads(str(kept))["description"] == "ours"


def test_a_description_here_and_a_release_there_both_stay() -> None:
    base = document("was", channels={"latest": "1.0.0"})
    local = document("ours", channels={"latest": "1.0.0"})
    remote = document("was", channels={"latest": "1.1.0"})
    merged = orjson.loads(str(merge_skill(base, local, remote).document))
    assert (merged["description"], merged["channels"]) == ("ours", {"latest": "1.1.0"})


def test_parts_that_make_no_valid_document_are_not_merged() -> None:
    base = document("was")
    local = document("was", categories=["a", "b", "c"])
    remote = document("was", categories=["d", "e", "f"])
    assert merge_skill(base, local, remote) == merge_skill(base, remote, local)
    assert merge_skill(base, local, remote).document is None


def test_a_channel_that_both_moved_is_about_which_code_runs() -> None:
    base, local, remote = (document("x", channels={"latest": number}) for number in ("1.0.0", "1.1.0", "1.2.0"))
    found = detect_skill(base, local, remote)
    assert found is not None
    assert (found.kind, found.severity, found.places) == (ConflictKind.VERSION, Severity.CRITICAL, ("channels.latest",))


@pytest.mark.parametrize(
    ("files", "severity"),
    [
        ({"SKILL.md": "2"}, Severity.LOW),
        ({"assets/limits.json": "2"}, Severity.MEDIUM),
        ({"requirements.txt": "2"}, Severity.HIGH),
        ({"scripts/run.py": "2"}, Severity.CRITICAL),
        ({"bin/tool": "2"}, Severity.CRITICAL),
        (None, Severity.CRITICAL),
    ],
)
def test_severity_goes_by_what_differs_and_what_is_unknown_counts_as_code(
    files: dict[str, str] | None, severity: Severity
) -> None:
    same: dict[str, str] = {}
    one = VersionFacts("a", packages=same, files={}, parameters=same)
    other = VersionFacts("b", packages=same, files=files, parameters=same)
    found = detect_version(one, other)
    assert found is not None
    assert found.severity is severity


@pytest.mark.parametrize(
    ("numpy", "files", "kind"),
    [
        ("2", {"requirements.txt": "2", "SKILL.md": "1"}, ConflictKind.DEPENDENCY),
        ("1", {"requirements.txt": "1", "SKILL.md": "2"}, ConflictKind.CONTENT),
        ("2", {"requirements.txt": "2", "SKILL.md": "2"}, ConflictKind.VERSION),
        ("1", None, ConflictKind.VERSION),
    ],
)
def test_the_kind_says_whether_packages_files_or_both_differ(
    numpy: str, files: dict[str, str] | None, kind: ConflictKind
) -> None:
    one = VersionFacts("a", {"pypi/numpy": "1"}, {"requirements.txt": "1", "SKILL.md": "1"}, {})
    found = detect_version(one, VersionFacts("b", {"pypi/numpy": numpy}, files, {}))
    assert found is not None
    assert found.kind is kind


@pytest.mark.parametrize("text", ["1", "not-a-version", ""])
def test_a_number_that_is_none_is_said_and_not_guessed(text: str) -> None:
    with pytest.raises(DocumentError):
        next_version(text, "1.0.0")


def document(description: str, **more: object) -> str:
    return canonical({"description": description, "updated_at": DAYS[0], **more})
