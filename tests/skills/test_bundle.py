"""The bundle digest is a version's identity: it must be the same everywhere, and say no to what it cannot hold."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skillyard.skills.bundle import MAX_FILES, make_bundle, write_archive
from skillyard.skills.errors import BundleTooLargeError, SkillError, UnsafePathError
from skillyard.skills.paths import STATE_FOLDERS

_NAMES = st.from_regex(r"[a-z0-9äß]{1,8}(/[a-z0-9]{1,120}){0,2}\.txt", fullmatch=True)
_FILES = st.dictionaries(_NAMES, st.tuples(st.binary(max_size=2000), st.booleans()), min_size=1, max_size=8)


def _write(folder: Path, files: list[tuple[str, tuple[bytes, bool]]], umask: int, mtime: int) -> bool:
    before = os.umask(umask)
    try:
        for path, (content, executable) in files:
            target = folder / path
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            except (NotADirectoryError, IsADirectoryError, FileExistsError):
                return False
            if executable:
                target.chmod(target.stat().st_mode | 0o100)
            os.utime(target, (mtime, mtime))
    finally:
        os.umask(before)
    return True


@settings(deadline=None, max_examples=40)
@given(files=_FILES, data=st.data())
def test_the_digest_depends_on_nothing_but_paths_content_and_the_executable_bit(files, data):
    order = data.draw(st.permutations(list(files.items())))
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        written = _write(Path(one), list(files.items()), 0o022, 1_000_000_000)
        if not written or not _write(Path(two), order, 0o077, 1_700_000_000):
            return
        first, second = make_bundle(Path(one)), make_bundle(Path(two))
        assert first == second
        archives = [io.BytesIO(), io.BytesIO()]
        write_archive(Path(one), first, archives[0])
        write_archive(Path(two), second, archives[1])
        assert archives[0].getvalue() == archives[1].getvalue()
        assert first.digest == f"sha256:{hashlib.sha256(archives[0].getvalue()).hexdigest()}"


@settings(deadline=None, max_examples=25)
@given(files=_FILES)
def test_any_tar_program_reads_the_archive_back(files):
    with tempfile.TemporaryDirectory() as one:
        if not _write(Path(one), list(files.items()), 0o022, 1):
            return
        archive = io.BytesIO()
        write_archive(Path(one), make_bundle(Path(one)), archive)
        archive.seek(0)
        with tarfile.open(fileobj=archive) as tar:
            read = {m.name: (tar.extractfile(m).read(), bool(m.mode & 0o100)) for m in tar}
        assert read == files


def test_the_digest_of_a_known_folder_never_changes(tmp_path):
    """A changed digest would make every published version a different one."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "SKILL.md").write_bytes(b"---\nname: a\n---\n")
    (tmp_path / "scripts" / "run.sh").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "scripts" / "run.sh").chmod(0o755)
    (tmp_path / f"{'long' * 30}.md").write_bytes(b"")
    (tmp_path / "größe.txt").write_bytes(b"x" * 513)
    assert make_bundle(tmp_path).digest == "sha256:e155bb577a8964b7eff30a73ae2fb92c174d4a75146cd97fe5d466292d209963"


@pytest.mark.parametrize("change", ["content", "name", "mode"])
def test_every_change_of_a_file_changes_the_digest(tmp_path, change):
    file = tmp_path / "a.txt"
    file.write_bytes(b"one")
    before = make_bundle(tmp_path).digest
    match change:
        case "content":
            file.write_bytes(b"two")
        case "name":
            file.rename(tmp_path / "b.txt")
        case _:
            file.chmod(0o755)
    assert make_bundle(tmp_path).digest != before


@pytest.mark.parametrize("name", sorted(STATE_FOLDERS))
def test_state_of_tools_is_no_part_of_a_bundle(tmp_path, name):
    (tmp_path / "a.txt").write_bytes(b"")
    before = make_bundle(tmp_path)
    (tmp_path / "sub" / name).mkdir(parents=True)
    (tmp_path / "sub" / name / "state").symlink_to("/etc/passwd")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / ".#a.txt").symlink_to("somebody@somewhere.1234")
    assert make_bundle(tmp_path) == before


def test_513_files_are_refused_and_512_are_not(tmp_path):
    for number in range(MAX_FILES):
        (tmp_path / f"{number}.txt").write_bytes(b"")
    assert len(make_bundle(tmp_path).files) == MAX_FILES
    (tmp_path / "one-more.txt").write_bytes(b"")
    with pytest.raises(BundleTooLargeError, match="more than 512 files"):
        make_bundle(tmp_path)


def test_sixteen_mib_in_all_and_ten_in_one_file_are_the_limits(tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes(9 * 2**20))
    (tmp_path / "b.bin").write_bytes(bytes(7 * 2**20))
    assert make_bundle(tmp_path).size == 16 * 2**20
    (tmp_path / "c.bin").write_bytes(b"x")
    with pytest.raises(BundleTooLargeError, match="16 MiB"):
        make_bundle(tmp_path)
    for name in "ab":
        (tmp_path / f"{name}.bin").unlink()
    (tmp_path / "c.bin").write_bytes(bytes(10 * 2**20 + 1))
    with pytest.raises(BundleTooLargeError, match=r"c\.bin: a file larger than 10 MiB"):
        make_bundle(tmp_path)


def test_a_sparse_file_that_claims_a_terabyte_is_refused_at_once(tmp_path):
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(BundleTooLargeError):
        make_bundle(tmp_path)


def test_endless_empty_folders_are_refused(tmp_path):
    for number in range(2050):
        (tmp_path / str(number)).mkdir()
    with pytest.raises(BundleTooLargeError, match="files and folders"):
        make_bundle(tmp_path)


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "a.txt", "missing", "."])
def test_a_link_is_refused_wherever_it_points(tmp_path, target):
    (tmp_path / "a.txt").write_bytes(b"")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(UnsafePathError, match="link: a symbolic link"):
        make_bundle(tmp_path)


def test_pipes_and_sockets_are_refused_without_being_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnsafePathError, match="pipe"):
        make_bundle(tmp_path)
    (tmp_path / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(UnsafePathError, match="socket"):
            make_bundle(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device files")
def test_device_files_are_refused(tmp_path):
    os.mknod(tmp_path / "null", 0o20666, os.makedev(1, 3))
    with pytest.raises(UnsafePathError, match="device"):
        make_bundle(tmp_path)


def test_a_file_that_changes_while_it_is_archived_is_an_error(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"one")
    bundle = make_bundle(tmp_path)
    file.write_bytes(b"two")
    with pytest.raises(SkillError, match="changed while it was read"):
        write_archive(tmp_path, bundle, io.BytesIO())
    file.write_bytes(b"longer")
    with pytest.raises(SkillError, match="changed while it was read"):
        write_archive(tmp_path, bundle, io.BytesIO())


def test_a_folder_swapped_for_a_link_is_not_followed(tmp_path):
    (tmp_path / "skill" / "inner").mkdir(parents=True)
    (tmp_path / "skill" / "inner" / "a.txt").write_bytes(b"x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.txt").write_bytes(b"x")
    bundle = make_bundle(tmp_path / "skill")
    (tmp_path / "skill" / "inner" / "a.txt").unlink()
    (tmp_path / "skill" / "inner").rmdir()
    (tmp_path / "skill" / "inner").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SkillError, match="cannot be read"):
        write_archive(tmp_path / "skill", bundle, io.BytesIO())
