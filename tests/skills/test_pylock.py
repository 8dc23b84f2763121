"""A lock survives being written as standard ``pylock.toml``, and a file that was tampered with is refused by field."""

from __future__ import annotations

import copy
import dataclasses
import re
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from packaging.pylock import Pylock
from skillyard.skills.errors import LockFormatError
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, SourceBuild, Target
from skillyard.skills.pylock import read_pylock, read_wheels, render_tree, write_pylock
from skillyard.skills.skill import Ecosystem

TARGET = Target("3.11", "x86_64-manylinux_2_28")


def locked(name: str, *askers: str, direct: bool = False, version: str = "1.0") -> LockedPackage:
    artefact = LockedArtefact(f"{name.replace('-', '_')}-{version}-py3-none-any.whl", f"{len(name):064x}", 10)
    return LockedPackage(name, version, (artefact,), tuple(sorted(askers)), direct)


SMALL = Lock(Ecosystem.PYPI, TARGET, (locked("alpha", direct=True), locked("beta", "alpha")))

names = st.sampled_from(["a", "b2", "zope-interface", "python-dateutil", "x-y-z", "0-0", "numpy", "pillow"])
versions = st.sampled_from(["0", "1.0", "2024.10.1", "1!2.0", "1.0a1", "1.0rc2", "1.0.post1", "1.0.dev3", "2.0+cu118"])
hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)


@st.composite
def locks(draw: st.DrawFn) -> Lock:
    chosen = sorted(draw(st.sets(names, max_size=8)))
    packages = []
    for name in chosen:
        version = draw(versions)
        stem = f"{name.replace('-', '_')}-{version}"
        tags = draw(st.sets(st.sampled_from(["py3-none-any", "cp311-cp311-manylinux_2_28_x86_64"]), min_size=1))
        artefacts = [
            LockedArtefact(f"{stem}-{tag}.whl", draw(hashes), draw(st.none() | st.integers(0, 2**40)))
            for tag in sorted(tags)
        ]
        askers = tuple(sorted(draw(st.sets(st.sampled_from(chosen))) - {name}))
        packages.append(LockedPackage(name, version, _by_name(artefacts), askers, draw(st.booleans()) or not askers))
    return Lock(Ecosystem.PYPI, TARGET, tuple(packages))


def _by_name(artefacts: list[LockedArtefact]) -> tuple[LockedArtefact, ...]:
    return tuple(sorted(artefacts, key=lambda artefact: artefact.filename))


@given(locks())
def test_what_is_written_reads_back_as_the_same_lock(lock: Lock) -> None:
    text = write_pylock(lock)
    assert read_pylock(text) == lock
    assert write_pylock(read_pylock(text)) == text
    Pylock.from_dict(tomllib.loads(text))  # the packaging library's own opinion of the standard


@given(locks())
def test_every_tree_ends_and_names_what_is_reached_from_what_the_skill_asks_for(lock: Lock) -> None:
    tree = render_tree(lock)
    reached = {package.name for package in lock.packages if package.direct}
    while more := {p.name for p in lock.packages if reached & set(p.required_by)} - reached:
        reached |= more
    assert {re.sub(r"^[│├└─ ]*", "", line).split(" ")[0] for line in tree.splitlines()} == reached


def test_a_lock_holds_no_address_and_no_time() -> None:
    text = write_pylock(SMALL)
    assert "://" not in text
    assert "upload" not in text
    assert 'path = "wheels/alpha-1.0-py3-none-any.whl"' in text


def test_the_digest_depends_on_content_and_not_on_who_asked() -> None:
    alone = dataclasses.replace(SMALL, packages=(locked("alpha", direct=True), locked("beta", direct=True)))
    newer = dataclasses.replace(SMALL, packages=(locked("alpha", direct=True), locked("beta", "alpha", version="1.1")))
    assert alone.digest == SMALL.digest
    assert newer.digest != SMALL.digest


def change(edit: Callable[[dict[str, Any]], object]) -> str:
    document = tomllib.loads(write_pylock(SMALL))
    edit(document)
    return tomli_w.dumps(document)


def package(document: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = document["packages"][0]
    return first


def wheel(document: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = package(document)["wheels"][0]
    return first


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (lambda d: d.pop("lock-version"), "lock-version"),
        (lambda d: d.update({"lock-version": "2.0"}), None),
        (lambda d: d.pop("packages"), "packages"),
        (lambda d: d.pop("tool"), "tool.skillyard"),
        (lambda d: d["tool"]["skillyard"].pop("python"), "tool.skillyard.python"),
        (lambda d: d["tool"]["skillyard"].update(python="3"), "tool.skillyard.python"),
        (lambda d: d["tool"]["skillyard"].update(platform=7), "tool.skillyard.platform"),
        (lambda d: d["tool"]["skillyard"].update(ecosystem="npm"), "tool.skillyard.ecosystem"),
        (lambda d: d["tool"]["skillyard"].update(digest="sha256:" + "0" * 64), "tool.skillyard.digest"),
        (lambda d: wheel(d)["hashes"].update(sha256="0" * 64), "tool.skillyard.digest"),
        (lambda d: wheel(d)["hashes"].update(sha256="zz"), "packages[0].wheels[0].hashes.sha256"),
        (lambda d: wheel(d).update(hashes={"md5": "00"}), "packages[0].wheels[0].hashes.sha256"),
        (lambda d: wheel(d).pop("hashes"), "packages[0].wheels[0].hashes"),
        (lambda d: wheel(d).update(name="../x.whl"), "packages[0].wheels[0]"),
        (lambda d: wheel(d).update(name="beta-1.0-py3-none-any.whl"), "packages[0]"),
        (lambda d: package(d).update(name="Alpha"), "packages[0].name"),
        (lambda d: package(d).pop("version"), "packages[0].version"),
        (lambda d: package(d).update(version="not a version"), "packages[0].version"),
        (lambda d: package(d).pop("wheels"), "packages[0]"),
        (lambda d: package(d).pop("tool"), "tool.skillyard"),
        (lambda d: package(d)["tool"]["skillyard"].update(direct="yes"), "packages[0].tool.skillyard.direct"),
        (lambda d: package(d).update(dependencies=[{"name": "gamma"}]), "packages[0].dependencies[0]"),
        (lambda d: package(d).update(dependencies=[]), "packages[1].tool.skillyard.direct"),
        (lambda d: package(d).update(marker='python_version > "3"'), "packages[0]"),
        (lambda d: package(d).update(index="https://example.org/simple"), "packages[0]"),
        (lambda d: package(d).update(vcs={"type": "git", "url": "https://x.org", "commit-id": "0"}), "packages[0]"),
        (lambda d: d["packages"].reverse(), "packages"),
        (lambda d: d["packages"].append(d["packages"][0]), "packages"),
    ],
)
def test_a_file_that_is_no_sound_lock_is_refused_by_field(
    edit: Callable[[dict[str, Any]], object], field: str | None
) -> None:
    with pytest.raises(LockFormatError) as caught:
        read_pylock(change(edit), file="some/pylock.toml")
    assert caught.value.file == "some/pylock.toml"
    assert (caught.value.field or "").startswith(field or "")


@pytest.mark.parametrize("text", ["", "[", "a = " + "[" * 5000, "packages = 1"])
def test_text_that_is_no_lock_at_all_is_refused(text: str) -> None:
    with pytest.raises(LockFormatError):
        read_pylock(text)


def test_npm_packages_cannot_be_written_as_pylock() -> None:
    with pytest.raises(LockFormatError):
        write_pylock(Lock(Ecosystem.NPM, TARGET, ()))


def test_wheels_of_another_tools_lock_are_read_and_source_archives_left_out() -> None:
    text = """
    lock-version = "1.0"
    created-by = "other"
    [[packages]]
    name = "alpha"
    version = "1.0"
    sdist = { url = "https://example.org/alpha-1.0.tar.gz", hashes = { sha256 = "00" } }
    wheels = [{ url = "https://example.org/alpha-1.0-py3-none-any.whl", size = 3, hashes = { sha256 = "%s" } }]
    """ % ("a" * 64)
    found = read_wheels(text, file="pylock.toml")
    assert found == {("alpha", "1.0"): (LockedArtefact("alpha-1.0-py3-none-any.whl", "a" * 64, 3),)}


def test_a_package_that_comes_from_no_index_is_refused() -> None:
    text = 'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "a"\nversion = "1"\ndirectory = {path = "."}\n'
    with pytest.raises(LockFormatError, match="only wheels of an index"):
        read_wheels(text, file="pylock.toml")


def test_the_tree_shows_shared_packages_once_unfolded_and_ends_in_a_cycle() -> None:
    lock = Lock(
        Ecosystem.PYPI,
        TARGET,
        (
            locked("alpha", "gamma", direct=True),
            locked("beta", direct=True),
            locked("gamma", "alpha", "beta"),
        ),
    )
    assert render_tree(lock) == ("alpha 1.0\n└── gamma 1.0\n    └── alpha 1.0 (*)\nbeta 1.0\n└── gamma 1.0 (*)\n")
    assert render_tree(Lock(Ecosystem.PYPI, TARGET, ())) == ""


def sdist(name: str, *askers: str, direct: bool = False) -> LockedPackage:
    artefact = LockedArtefact(f"{name}-1.0.tar.gz", "c" * 64, 10)
    return LockedPackage(name, "1.0", (artefact,), tuple(sorted(askers)), direct)


BUILT = Lock(
    Ecosystem.PYPI,
    TARGET,
    (locked("alpha", direct=True), sdist("gamma", "alpha")),
    (SourceBuild("gamma", (locked("setuptools", direct=True), locked("wheel", "setuptools"))),),
)


def test_a_lock_with_a_package_built_from_source_reads_back() -> None:
    text = write_pylock(BUILT)
    assert read_pylock(text) == BUILT
    assert 'path = "sdists/gamma-1.0.tar.gz"' in text
    Pylock.from_dict(tomllib.loads(text))
    built = "gamma 1.0 (built from source with setuptools 1.0, wheel 1.0)"
    assert render_tree(BUILT) == f"alpha 1.0\n└── {built}\n"


def test_the_digest_binds_what_builds_need_and_stays_as_it_was_without_builds() -> None:
    other = SourceBuild("gamma", (locked("setuptools", direct=True),))
    without = dataclasses.replace(BUILT, builds=())
    assert len({lock.digest for lock in (BUILT, dataclasses.replace(BUILT, builds=(other,)), without)}) == 3
    # As it was before there were builds: installed versions and approvals name it.
    assert SMALL.digest == "sha256:d13337c3b184ad6686c45c65aa1e0f1652df1b08e5d358c9fbf8aa4c1e04112e"


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (lambda p: p["tool"]["skillyard"].pop("build"), "packages[1].tool.skillyard.build"),
        (lambda p: p["tool"]["skillyard"]["build"].update(more=1), "packages[1].tool.skillyard.build"),
        (lambda p: p["sdist"]["hashes"].update(sha256="zz"), "packages[1].sdist.hashes.sha256"),
        (lambda p: p["sdist"].update(name="gamma-1.0.exe"), "packages[1].sdist"),
        (lambda p: p.pop("sdist"), None),
        (
            lambda p: p["tool"]["skillyard"]["build"]["packages"][0]["wheels"][0]["hashes"].update(sha256="0" * 64),
            "tool.skillyard.digest",
        ),
        (
            lambda p: p["tool"]["skillyard"]["build"]["packages"].reverse(),
            "packages[1].tool.skillyard.build.packages",
        ),
        (
            lambda p: p["tool"]["skillyard"]["build"]["packages"].append(
                copy.deepcopy({**p, "name": "zeta", "sdist": {**p["sdist"], "name": "zeta-1.0.tar.gz"}})
            ),
            None,
        ),
    ],
)
def test_a_build_that_was_tampered_with_is_refused(edit: Callable[[dict[str, Any]], object], field: str | None) -> None:
    document = tomllib.loads(write_pylock(BUILT))
    edit(document["packages"][1])
    with pytest.raises(LockFormatError) as caught:
        read_pylock(tomli_w.dumps(document))
    if field is not None:
        assert caught.value.field is not None
        assert caught.value.field.startswith(field)
