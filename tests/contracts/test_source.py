"""What every source of skills keeps to, run over each of them, the real ones included."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import lzma
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from skillyard.errors import SkillyardError
from skillyard.skills.bundle import make_bundle
from skillyard.skills.errors import BundleTooLargeError, SkillError, UnsafePathError
from skillyard.skills.parse import parse_skill
from skillyard.skills.source import Fetched, Source
from skillyard.skills.sources.archive import ArchiveSource
from skillyard.skills.sources.folder import FolderSource
from skillyard.skills.sources.git import GitSource
from skillyard.skills.testing import MemorySource

Files = Mapping[str, bytes]
MakeSource = Callable[[Files], Source]

MANIFEST = b"---\nname: demo\ndescription: d\n---\n"
SKILL: Files = {"SKILL.md": MANIFEST, "scripts/run.py": b"print(1)\n", "assets/x.bin": bytes(range(256)) * 500}


def _tar(files: Files) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(f"demo/{path}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


def _zip(files: Files) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(f"demo/{path}", content)
    return data.getvalue()


PACKERS: Mapping[str, Callable[[Files], bytes]] = {
    "zip": _zip,
    "tar": _tar,
    "tar.gz": lambda files: gzip.compress(_tar(files)),
    "tar.bz2": lambda files: bz2.compress(_tar(files)),
    "tar.xz": lambda files: lzma.compress(_tar(files)),
}
KINDS = ["memory", "folder", "git", *PACKERS]


def _write(folder: Path, files: Files) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _git(folder: Path, *arguments: str) -> None:
    settings = ("-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture(params=KINDS)
def make_source(request: pytest.FixtureRequest, tmp_path: Path) -> MakeSource:
    """Makes a source, of each kind in turn, that holds the given files as the skill ``demo``."""
    kind: str = request.param
    origin = tmp_path / "origin" / "demo"
    origin.mkdir(parents=True)

    def make(files: Files) -> Source:
        if kind == "memory":
            return MemorySource("demo", files)
        if kind in PACKERS:
            archive = tmp_path / f"demo.{kind}"
            archive.write_bytes(PACKERS[kind](files))
            return ArchiveSource(archive)
        _write(origin, files)
        if kind == "folder":
            return FolderSource(origin)
        _git(origin, "init")
        _git(origin, "add", "--all")
        _git(origin, "commit", "--message", "one")
        environment = {"PATH": os.environ["PATH"]}
        return GitSource(origin.as_uri(), environment=environment, allow_local=True)

    return make


@pytest.fixture
def into(tmp_path: Path) -> Path:
    staging = tmp_path / "staging"
    staging.mkdir()
    return staging


def _leaked(before: set[str]) -> set[str]:
    """What open descriptors point to now and did not before; those of the event loop and of pytest are older."""
    return {link for link in _descriptors() - before if "demo" in link or "staging" in link}


def _descriptors() -> set[str]:
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        try:
            found.add(str(path.readlink()))
        except FileNotFoundError:
            continue
    return found


async def test_what_is_fetched_is_what_was_there(make_source, into):
    before = _descriptors()
    fetched = await make_source(SKILL).fetch(into)
    assert fetched.folder.is_relative_to(into)
    assert fetched.folder.name == "demo"
    read = {file.path: (fetched.folder / file.path).read_bytes() for file in make_bundle(fetched.folder).files}
    assert read == SKILL
    assert parse_skill(fetched.folder).name == "demo"
    assert _leaked(before) == set()


async def test_every_source_gives_the_same_skill_the_same_digest(make_source, into, tmp_path):
    _write(tmp_path / "reference", SKILL)
    fetched = await make_source(SKILL).fetch(into)
    assert make_bundle(fetched.folder).digest == make_bundle(tmp_path / "reference").digest


async def test_the_origin_names_the_skill_and_a_commit_is_pinned_where_there_are_commits(make_source, into):
    source = make_source(SKILL)
    fetched = await source.fetch(into)
    assert "demo" in fetched.origin
    assert isinstance(fetched, Fetched)
    assert (fetched.commit is not None) == isinstance(source, GitSource)
    if fetched.commit is not None:
        assert len(fetched.commit) == 40
        assert fetched.commit in fetched.origin


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({"README.md": b"no skill"}, SkillError),
        ({"SKILL.md": MANIFEST, "a\tb": b""}, UnsafePathError),
        ({"SKILL.md": MANIFEST, "a\\b": b""}, UnsafePathError),
        ({"SKILL.md": MANIFEST, "A.txt": b"", "a.txt": b""}, UnsafePathError),
        ({"SKILL.md": MANIFEST} | {f"{n}.txt": b"" for n in range(512)}, BundleTooLargeError),
        ({"SKILL.md": MANIFEST, "big": bytes(10 * 2**20 + 1)}, BundleTooLargeError),
        ({"SKILL.md": MANIFEST, "a": bytes(9 * 2**20), "b": bytes(8 * 2**20)}, BundleTooLargeError),
    ],
    ids=["no-manifest", "control-character", "backslash", "case", "513-files", "11-MiB-file", "17-MiB"],
)
async def test_what_a_bundle_cannot_hold_is_refused_and_nothing_stays(make_source, into, files, error):
    before = _descriptors()
    with pytest.raises(error):
        await make_source(files).fetch(into)
    assert list(into.iterdir()) == []
    assert _leaked(before) == set()


async def test_tool_state_stays_behind(make_source, into):
    files = dict(SKILL) | {"node_modules/x/index.js": b"x", "scripts/__pycache__/run.pyc": b"x"}
    fetched = await make_source(files).fetch(into)
    assert {file.relative_to(fetched.folder).as_posix() for file in fetched.folder.rglob("*") if file.is_file()} == set(
        SKILL
    )


async def test_a_cancelled_fetch_has_stopped_and_leaves_nothing(make_source, into):
    source = make_source(dict(SKILL) | {f"assets/{n}.bin": os.urandom(20_000) for n in range(100)})
    for _ in range(20):
        task = asyncio.create_task(source.fetch(into))
        while not any(into.iterdir()) and not task.done():  # noqa: ASYNC110 - a thread or a tool makes it true
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            break
        # It had all of it before we were given a turn to say that it is not wanted.
        shutil.rmtree(into)
        into.mkdir()
    assert task.cancelled()
    assert list(into.iterdir()) == []


async def test_a_source_that_is_gone_is_an_error_of_ours(make_source, into, tmp_path):
    source = make_source(SKILL)
    if isinstance(source, MemorySource):
        return
    (tmp_path / "origin").rename(tmp_path / "moved")
    for archive in tmp_path.glob("demo.*"):
        archive.unlink()
    with pytest.raises(SkillyardError):
        await source.fetch(into)
    assert list(into.iterdir()) == []
