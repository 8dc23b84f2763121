"""A source archive is unpacked as data: it cannot write outside its folder, and no link of it is ever made."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from skillyard.sandbox.builds.archive import unpack_source
from skillyard.sandbox.builds.metadata import read_metadata
from skillyard.sandbox.builds.recipe import BuildLimits, SourceArchive
from skillyard.sandbox.builds.system import BuildSystem, read_build_system
from skillyard.sandbox.errors import BuildError, BuildFailure
from skillyard.skills.lock import LockedArtefact

LIMITS = BuildLimits(unpacked_bytes=1024 * 1024, files=100)


def tarred(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packed:
        for member, data in members:
            packed.addfile(member, io.BytesIO(data))
    return archive.getvalue()


def member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=kind, linkname=target)


SETUP = member("a-1/setup.py", b"import setuptools\n")


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[..., Path]:
    def run(data: bytes, name: str = "a-1.tar.gz") -> Path:
        archive = tmp_path / "archive"
        archive.write_bytes(data)
        return unpack_source(archive, name, tmp_path / "into", LIMITS)

    return run


def test_files_come_out_with_plain_modes(unpack) -> None:
    data = tarred(SETUP, member("a-1/run.sh", b"#!/bin/sh\n", mode=0o6755, uid=0), member("a-1/deep/x", b"y"))
    tree = unpack(data)
    assert (tree / "deep" / "x").read_bytes() == b"y"
    assert stat.S_IMODE((tree / "run.sh").stat().st_mode) == 0o755
    assert (tree / "run.sh").stat().st_uid == os.getuid()


def test_links_within_become_copies(unpack) -> None:
    tree = unpack(tarred(link("a-1/sub/README", "../README"), member("a-1/README", b"read"), SETUP))
    copy = tree / "sub" / "README"
    assert (copy.is_symlink(), copy.read_bytes()) == (False, b"read")
    assert not (tree / "README").samefile(copy)


def test_zip_archives_are_read_too(unpack) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a-1/setup.py", "x")
    assert (unpack(packed.getvalue(), "a-1.zip") / "setup.py").read_bytes() == b"x"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(tarred(member("../evil", b"x")), id="parent"),
        pytest.param(tarred(member("/etc/evil", b"x")), id="absolute"),
        pytest.param(tarred(member("a-1/../../evil", b"x")), id="parent inside"),
        pytest.param(tarred(SETUP, link("a-1/x", "/etc/passwd")), id="link to the host"),
        pytest.param(tarred(SETUP, link("a-1/x", "../../../etc/passwd")), id="link upwards"),
        pytest.param(tarred(SETUP, link("a-1/x", "."), member("a-1/x/y", b"z")), id="writes through a link"),
        pytest.param(tarred(SETUP, link("a-1/x", "nowhere")), id="link to nothing"),
        pytest.param(tarred(SETUP, link("a-1/x", "a-1/y"), link("a-1/y", "a-1/x")), id="links in a circle"),
        pytest.param(tarred(SETUP, link("a-1/x", "/etc/passwd", tarfile.LNKTYPE)), id="hard link to the host"),
        pytest.param(tarred(SETUP, member("a-1/x", type=tarfile.FIFOTYPE)), id="pipe"),
        pytest.param(tarred(SETUP, member("a-1/x", type=tarfile.CHRTYPE, devmajor=1, devminor=5)), id="device"),
        pytest.param(tarred(SETUP, SETUP), id="one path twice"),
        pytest.param(tarred(member("a-1", b"x"), SETUP), id="a file and a folder"),
        pytest.param(tarred(SETUP, member("b-1/x", b"y")), id="two folders"),
        pytest.param(tarred(member("setup.py", b"x")), id="no folder"),
        pytest.param(tarred(SETUP, member("a-1/x", b"0" * (1024 * 1024 + 1))), id="too large"),
        pytest.param(tarred(*(member(f"a-1/{n}", b"") for n in range(101))), id="too many"),
        pytest.param(tarred(SETUP, member("a-1/x", pax_headers={"comment": "x" * 3_000_000})), id="a huge header"),
        pytest.param(gzip.compress(b"no tar file" * 100), id="no tar"),
        pytest.param(b"nothing", id="nothing"),
        pytest.param(tarred(SETUP)[:-30], id="cut off"),
    ],
)
def test_what_is_unsafe_is_refused_and_writes_nothing_outside(unpack, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BuildError) as caught:
        unpack(data)
    assert caught.value.failure is BuildFailure.ARCHIVE
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "into"}
    assert not any(path.is_symlink() for path in (tmp_path / "into").rglob("*"))


def test_a_tree_that_says_nothing_is_built_as_the_standard_says(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("")
    assert read_build_system(tmp_path) == BuildSystem(("setuptools>=40.8.0",), "setuptools.build_meta:__legacy__", ())


@pytest.mark.parametrize(
    "text",
    [
        "[build-system",
        "[build-system]\nbuild-backend = 'x'",
        "[build-system]\nrequires = 'setuptools'",
        "[build-system]\nrequires = []\nbuild-backend = 'x; import os'",
        "[build-system]\nrequires = []\nbuild-backend = 'x'\nbackend-path = ['../..']",
        "[build-system]\nrequires = []\nbuild-backend = 'x'\nbackend-path = ['/usr']",
    ],
)
def test_a_build_system_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(BuildError) as caught:
        read_build_system(tmp_path)
    assert caught.value.failure is BuildFailure.ARCHIVE


@pytest.fixture
def source() -> SourceArchive:
    return SourceArchive("alpha", "1.0", LockedArtefact("alpha-1.0.tar.gz", "0" * 64, None))


def unpacked_wheel(folder: Path, metadata: str) -> Path:
    (folder / "alpha-1.0.dist-info").mkdir()
    (folder / "alpha-1.0.dist-info" / "METADATA").write_text(metadata)
    return folder


def test_metadata_of_a_built_wheel_is_read(tmp_path: Path, source: SourceArchive) -> None:
    text = "Metadata-Version: 2.1\nName: Alpha\nVersion: 1.0.0\nRequires-Python: >=3.6\nRequires-Dist: six>1\n"
    text += "Provides-Extra: more\nRequires-Dist: idna ; extra == 'more'\n\nRequires-Dist: not-a-header\n"
    found = read_metadata(unpacked_wheel(tmp_path, text), source)
    assert (found.requires_dist, found.requires_python, found.extras) == (
        ("six>1", 'idna; extra == "more"'),
        ">=3.6",
        ("more",),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Name: beta\nVersion: 1.0\n",
        "Name: alpha\nVersion: 1.1\n",
        "Name: alpha\nVersion: x\n",
        "Name: alpha\nVersion: 1.0\nRequires-Dist: six @ https://example.org/six.whl\n",
        "Name: alpha\nVersion: 1.0\nRequires-Dist: ???\n",
        "Name: alpha\nVersion: 1.0\nRequires-Python: soon\n",
        "Name: alpha\nVersion: 1.0\n" + "Provides-Extra: x\n" * 2000,
    ],
)
def test_metadata_that_is_another_packages_or_makes_no_sense_is_refused(
    tmp_path: Path, source: SourceArchive, text: str
) -> None:
    with pytest.raises(BuildError) as caught:
        read_metadata(unpacked_wheel(tmp_path, text), source)
    assert caught.value.failure is BuildFailure.WHEEL
