"""The base image: tested before it gets its name, found again at once, and a failure names every way that was tried."""

from __future__ import annotations

import asyncio
import io
import tarfile
from pathlib import Path

import pytest
from skillyard.sandbox.debian import DebianRecipe, build_archive
from skillyard.sandbox.engine import Engine, EngineError
from skillyard.sandbox.errors import EngineUnavailableError, ImageError
from skillyard.sandbox.folders import Staging
from skillyard.sandbox.images import REPOSITORY, SKILL_UID, BaseImage, BaseImages, base_target
from skillyard.settings import Settings

# What Debian keeps in packages of their own, what belongs to other systems, and what prints when imported.
ELSEWHERE = {
    *("_gdbm", "_tkinter", "tkinter", "turtle", "turtledemo", "idlelib", "distutils", "ensurepip", "lib2to3"),
    *("_msi", "msilib", "msvcrt", "nt", "winreg", "_winapi", "winsound", "_overlapped", "_scproxy", "ntpath"),
    *("antigravity", "this"),
}

EVERYTHING = f"""
import ctypes.util, importlib, importlib.util, os, pwd, sys
broken = []
for name in sorted(sys.stdlib_module_names):
    try:
        if name not in {ELSEWHERE!r}:
            importlib.import_module(name)
    except Exception as error:
        if not (isinstance(error, ImportError) and "win32" in str(error)):
            broken.append((name, repr(error)))
assert not broken, broken
assert pwd.getpwuid(os.getuid()).pw_name == "skill"
import json
compiled = importlib.util.cache_from_source(json.__file__)
print(ctypes.util.find_library("stdc++"), json.__cached__ == compiled, os.path.exists(compiled))
"""


async def test_a_second_look_finds_the_image_without_making_anything(
    engine: Engine, image: BaseImage, tmp_path: Path
) -> None:
    steps: list[object] = []
    images = BaseImages(engine=engine, settings=Settings(home=tmp_path))
    assert await images.python_image(steps.append) == image
    assert await images.python_image(steps.append) == image
    assert steps == []


async def test_every_way_that_failed_is_named(engine: Engine, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, python_base_image="localhost:9/nobody/python:3.11", debian_suite="no-such-suite")
    with pytest.raises(ImageError, match=r"pull: .*debian: mmdebstrap failed"):
        await BaseImages(engine=engine, settings=settings).python_image()
    assert list((tmp_path / "images" / "staging").iterdir()) == []


async def test_a_machine_without_mmdebstrap_is_told_what_to_install(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = Settings(home=tmp_path, base_image_source="debian", debian_suite="no-such-suite")
    with pytest.raises(ImageError, match="apt-get install mmdebstrap"):
        await BaseImages(engine=engine, settings=settings).python_image()


async def test_an_engine_that_is_down_is_not_called_a_bad_image(tmp_path: Path) -> None:
    images = BaseImages(engine=Engine(address=f"unix://{tmp_path}/nobody.sock"), settings=Settings(home=tmp_path))
    with pytest.raises(EngineUnavailableError):
        await images.python_image()


async def test_an_image_that_fails_its_test_gets_no_name(engine: Engine, tmp_path: Path, instance: str) -> None:
    """An image without Python, under the name that a recipe would give it."""
    archive = tmp_path / "empty.tar"
    with tarfile.open(archive, "w") as tar:
        entry = tarfile.TarInfo("./hello")
        entry.size = 2
        tar.addfile(entry, io.BytesIO(b"hi"))
    await engine.import_image(archive, repository=REPOSITORY, tag=f"{instance}-empty")
    images = BaseImages(engine=engine, settings=Settings(home=tmp_path))
    try:
        async with Staging(tmp_path / "staging").place() as place:
            with pytest.raises((ImageError, EngineError)):
                await images._adopt(f"{REPOSITORY}:{instance}-empty", f"{instance}-adopted", place)
        assert await engine.image(f"{REPOSITORY}:{instance}-adopted") is None
    finally:
        await engine.remove_image(f"{REPOSITORY}:{instance}-empty")


async def test_skills_can_import_the_whole_standard_library(engine: Engine, image: BaseImage) -> None:
    """Without shared libraries, users or bytecode in the image, skills fail or every start is slow."""
    finished = await engine.run_once(
        image=image.reference,
        command=[image.python, "-W", "ignore", "-c", EVERYTHING],
        labels={},
        user=f"{SKILL_UID}:{SKILL_UID}",
        environment={"HOME": "/tmp"},
    )
    assert finished.exit_code == 0, finished.stderr.decode()
    assert finished.stdout.decode().split() == ["libstdc++.so.6", "True", "True"]


async def test_an_image_built_from_packages_holds_what_their_scripts_would_have_made(
    engine: Engine, tmp_path: Path
) -> None:
    recipe = DebianRecipe(suite="bookworm", skill_uid=SKILL_UID)
    async with Staging(tmp_path / "staging").place() as place:
        environment = Settings(home=tmp_path).tool_environment
        archive = await build_archive(recipe, place, engine=engine, environment=environment)
        with tarfile.open(archive) as tar:
            members = {name.removeprefix("./"): tar.getmember(name) for name in tar.getnames()}
            passwd = tar.extractfile(members["etc/passwd"])
            assert passwd is not None
            assert f"skill:x:{SKILL_UID}:" in passwd.read().decode()
        assert {"etc/group", "etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt", "etc/ld.so.cache"} <= set(
            members
        )
        assert members["usr/lib/python3.11/__pycache__/os.cpython-311.pyc"].size > 10_000
        assert {member.mtime for name, member in members.items() if "__pycache__" in name} == {1_700_000_000}
    assert not place.path.exists()


def test_another_recipe_is_another_image() -> None:
    digests = {DebianRecipe(suite, uid).digest for suite in ("bookworm", "trixie") for uid in (1, 2)}
    assert len(digests) == 4


def test_packages_are_resolved_for_the_interpreter_that_runs_them(image: BaseImage) -> None:
    assert image.version.startswith(f"{base_target().python}.")


async def test_two_that_want_an_image_at_once_share_one_look(engine: Engine, image: BaseImage, tmp_path: Path) -> None:
    images = BaseImages(engine=engine, settings=Settings(home=tmp_path))
    assert await asyncio.gather(*(images.python_image() for _ in range(3))) == [image] * 3
