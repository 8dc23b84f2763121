"""Packages that exist only as source are locked, built once, and the same through any mirror."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from skillyard.sandbox.builds.hostconfig import BuildPlan, build_config, build_host_config
from skillyard.sandbox.builds.recipe import BuildLimits, recipes
from skillyard.sandbox.environment import Progress
from skillyard.sandbox.environments import WheelEnvironments, create_store
from skillyard.sandbox.errors import BuildError, BuildFailure, ResolveError, ResolverUnavailableError
from skillyard.sandbox.folders import remove_folder
from skillyard.sandbox.hostconfig import ContainerPlan, container_config, host_config
from skillyard.settings import Settings
from skillyard.skills.errors import RequirementError
from skillyard.skills.lock import LockedArtefact, LockedPackage, SourceBuild
from skillyard.skills.permissions import Granted
from skillyard.skills.pylock import read_pylock, render_tree, write_pylock


@pytest.fixture
async def store(allowing: Settings) -> AsyncIterator[WheelEnvironments]:
    opened = create_store(allowing)
    yield opened
    await opened.close()


async def test_real_packages_without_wheels_are_built_with_setuptools(tmp_path: Path, lock_of) -> None:
    """docopt has had no wheel since 2014; hydra-core needs an antlr runtime that has none."""
    settings = Settings(home=tmp_path, source_builds="allow")
    lock = await lock_of(settings, "docopt==0.6.2", "hydra-core==1.3.2")
    assert [build.package for build in lock.builds] == ["antlr4-python3-runtime", "docopt"]
    assert all("setuptools" in {one.name for one in build.requirements} for build in lock.builds)
    assert {p.artefacts[0].sha256 for p in lock.packages if p.name == "docopt"} == {
        "49b3a825280bd66b3aa83585ef59c4a8c82f2c8a522dbe754a8bc8d08c85c491"
    }
    assert "setuptools" not in {package.name for package in lock.packages}
    store = create_store(settings)
    try:
        environment = await store.materialise(lock)
    finally:
        await store.close()
    assert {"docopt", "antlr4", "hydra", "omegaconf"} <= set(environment.modules)
    assert "setuptools" not in environment.modules


async def test_what_a_built_package_needs_is_part_of_the_lock(allowing: Settings, offer, lock_of, wheelhouse) -> None:
    wheelhouse.add("helper", "1.0", {"helper.py": b""})
    wheelhouse.add("helper", "2.0", {"helper.py": b""})
    code = "def build_wheel(folder, settings=None, metadata=None):\n    return pack(folder, requires=['helper<2'])\n"
    offer("alpha", "1.0", code)
    lock = await lock_of(allowing, "alpha")
    assert [(p.name, p.version, p.required_by) for p in lock.packages] == [
        ("alpha", "1.0", ()),
        ("helper", "1.0", ("alpha",)),
    ]
    assert render_tree(lock) == "alpha 1.0 (built from source)\n└── helper 1.0\n"
    assert read_pylock(write_pylock(lock)) == lock
    assert "127.0.0.1" not in write_pylock(lock)


async def test_what_a_build_asks_for_when_it_runs_is_locked_and_there(
    allowing: Settings, offer, lock_of, wheelhouse, store: WheelEnvironments
) -> None:
    """``setup_requires`` reaches an installer only through the backend's own hook (PEP 517)."""
    wheelhouse.add("plugin", "1.0", {"plugin.py": b"name = 'from a build requirement'\n"})
    code = (
        "def get_requires_for_build_wheel(settings=None):\n    return ['plugin>=1']\n"
        "def build_wheel(folder, settings=None, metadata=None):\n"
        "    import plugin\n"
        "    return pack(folder, files={'alpha.py': f'said = {plugin.name!r}'.encode()})\n"
    )
    offer("alpha", "1.0", code)
    lock = await lock_of(allowing, "alpha")
    assert [(one.name, one.version) for one in lock.builds[0].requirements] == [("plugin", "1.0")]
    assert render_tree(lock) == "alpha 1.0 (built from source with plugin 1.0)\n"
    environment = await store.materialise(lock)
    assert (environment.path / "alpha.py").read_text() == "said = 'from a build requirement'"
    assert environment.modules == ("alpha",)


async def test_progress_names_what_is_built_and_a_second_lock_builds_nothing(
    allowing: Settings, offer, lock_of
) -> None:
    offer("alpha", "1.0")
    steps: list[Progress] = []
    first = await lock_of(allowing, "alpha", on_progress=steps.append)
    assert "building alpha 1.0" in {step.step for step in steps}
    steps.clear()
    assert await lock_of(allowing, "alpha", on_progress=steps.append) == first
    assert steps == []


async def test_another_mirror_gives_the_same_lock(
    allowing: Settings, offer, lock_of, wheelhouse, tmp_path: Path
) -> None:
    offer("alpha", "1.0")
    other = type(wheelhouse)()
    try:
        other.wheels = wheelhouse.wheels
        mirror = allowing.model_copy(update={"home": tmp_path / "other", "index_url": SecretStr(other.url)})
        assert (await lock_of(allowing, "alpha")).digest == (await lock_of(mirror, "alpha")).digest
    finally:
        other.close()


async def test_other_build_requirements_make_another_lock_and_another_environment(
    allowing: Settings, offer, lock_of, wheelhouse
) -> None:
    code = "def get_requires_for_build_wheel(settings=None):\n    return ['plugin']\n"
    wheelhouse.add("plugin", "1.0", {"plugin.py": b""})
    offer("alpha", "1.0", code)
    old = await lock_of(allowing, "alpha")
    wheelhouse.add("plugin", "2.0", {"plugin.py": b""})
    new = await lock_of(allowing.model_copy(update={"home": allowing.home / "other"}), "alpha")
    assert [one.version for one in new.builds[0].requirements] == ["2.0"]
    assert (old.packages, old.digest == new.digest) == (new.packages, False)
    assert recipes(old)[0].key != recipes(new)[0].key


async def test_a_wheel_is_preferred_and_nothing_is_built(
    allowing: Settings, offer, lock_of, wheelhouse, store: WheelEnvironments
) -> None:
    wheelhouse.add("alpha", "1.0", {"alpha.py": b""})
    offer("alpha", "1.0", "raise SystemExit('must not run')\n")
    lock = await lock_of(allowing, "alpha")
    assert (lock.builds, store.builds.stored()) == ((), ())


async def test_a_lost_wheel_is_built_again_from_its_source(
    allowing: Settings, offer, lock_of, store: WheelEnvironments
) -> None:
    """Damage to what was built, to what was unpacked and to the environment is undone from the archive's hash on."""
    offer("alpha", "1.0")
    lock = await lock_of(allowing, "alpha")
    environment = await store.materialise(lock)
    (key,) = store.builds.stored()
    (wheel,) = store.builds.folder(key).glob("*.whl")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    wheel.chmod(0o644)
    wheel.write_bytes(b"damaged")
    remove_folder(store._wheels.root / "cpython-311" / sha256)
    file = environment.path / "alpha.py"
    file.chmod(0o644)
    file.write_text("damaged, and of another size")
    steps: list[Progress] = []
    again = await store.materialise(lock, steps.append)
    assert "building alpha 1.0" in {step.step for step in steps}
    assert (again.key, file.read_text()) == (environment.key, "where = __file__\n")


async def test_a_changed_archive_is_refused(allowing: Settings, offer, lock_of, store: WheelEnvironments) -> None:
    offer("alpha", "1.0")
    lock = await lock_of(allowing, "alpha")
    (key,) = store.builds.stored()
    await store.builds.drop(key)
    offer("alpha", "1.0", "# changed after it was locked\n")
    with pytest.raises(
        (BuildError, ResolverUnavailableError), match=r"not what the lock names|does not match the hash"
    ):
        await store.materialise(lock)


async def test_a_download_that_differs_from_its_hash_is_refused(allowing: Settings, offer, lock_of, wheelhouse) -> None:
    offer("alpha", "1.0")
    wheelhouse.instead["alpha-1.0.tar.gz"] = [b"something else"]
    with pytest.raises(BuildError, match="does not match the hash in the lock") as caught:
        await lock_of(allowing, "alpha")
    assert caught.value.failure is BuildFailure.ARCHIVE


async def test_a_lock_with_source_is_not_built_once_the_setting_forbids_it(
    allowing: Settings, settings: Settings, offer, lock_of, tmp_path: Path
) -> None:
    offer("alpha", "1.0")
    lock = await lock_of(allowing, "alpha")
    elsewhere = create_store(settings.model_copy(update={"home": tmp_path / "elsewhere"}))
    try:
        with pytest.raises(BuildError, match="SKILLYARD_SOURCE_BUILDS=allow") as caught:
            await elsewhere.materialise(lock)
    finally:
        await elsewhere.close()
    assert caught.value.failure is BuildFailure.REFUSED


async def test_who_asks_for_a_package_without_a_wheel_is_said(tmp_path: Path, lock_of) -> None:
    with pytest.raises(ResolveError, match=r"antlr4-python3-runtime has a source archive, and hydra-core asks for it"):
        await lock_of(Settings(home=tmp_path), "hydra-core==1.3.2")


async def test_a_package_in_c_says_which_compiler_it_misses(tmp_path: Path, lock_of) -> None:
    with pytest.raises(
        BuildError, match=r"python-levenshtein 0\.12\.0 could not be built: it needs \S*(gcc|cc)"
    ) as caught:
        await lock_of(Settings(home=tmp_path, source_builds="allow"), "python-levenshtein==0.12.0")
    assert caught.value.failure is BuildFailure.COMPILER_MISSING


async def test_a_package_with_neither_wheel_nor_source_is_not_promised(tmp_path: Path, lock_of) -> None:
    for setting in ("refuse", "allow"):
        with pytest.raises(ResolveError) as caught:
            await lock_of(Settings(home=tmp_path, source_builds=setting), "tensorflow==1.15.0")
        assert "SKILLYARD_SOURCE_BUILDS" not in str(caught.value)


async def test_a_build_requirement_without_a_wheel_is_refused(allowing: Settings, offer, lock_of) -> None:
    offer("tool", "1.0")
    offer("alpha", "1.0", "def get_requires_for_build_wheel(settings=None):\n    return ['tool']\n")
    with pytest.raises(ResolveError, match=r"building alpha 1\.0 needs tool, and what builds need has to have wheels"):
        await lock_of(allowing, "alpha")


async def test_a_build_requirement_at_an_address_is_refused(allowing: Settings, offer, lock_of) -> None:
    code = "def get_requires_for_build_wheel(settings=None):\n    return ['x @ http://127.0.0.1:9/x.whl']\n"
    offer("alpha", "1.0", code)
    with pytest.raises(RequirementError, match=r"alpha-1\.0\.tar\.gz"):
        await lock_of(allowing, "alpha")


def test_a_builds_container_is_as_strict_as_a_skills(tmp_path: Path) -> None:
    """Every field is the same but for what is mounted and how many files the scratch folders hold."""
    limits = BuildLimits()
    granted = Granted(
        memory_bytes=limits.memory_bytes,
        timeout_seconds=limits.timeout,
        processes=limits.processes,
        cpu_shares=512,
        cpu_quota=None,
        scratch_bytes=limits.scratch_bytes,
        stream_bytes=1,
        result_bytes=1,
        artefact_bytes=1,
        open_files=1024,
        file_bytes=limits.scratch_bytes,
    )
    skill = ContainerPlan(
        image="image",
        python="python3",
        uid=10001,
        granted=granted,
        guest=tmp_path,
        bundle=tmp_path,
        environment=tmp_path,
        labels={},
        channel=None,
        runtime="runsc",
    )
    build = BuildPlan("image", "python3", 10001, "{}", tmp_path, tmp_path, {}, "runsc", limits)
    ours, theirs = dict(build_host_config(build)), dict(host_config(skill))
    assert ours.keys() == theirs.keys()
    # A skill's relay has descriptors of its own beside the grant; a build has no relay.
    assert {key for key in ours if ours[key] != theirs[key]} == {"Mounts", "Tmpfs", "Ulimits"}
    assert all(mount["ReadOnly"] for mount in ours["Mounts"])
    plain = {place: options.replace("nr_inodes=65536", "nr_inodes=16384") for place, options in ours["Tmpfs"].items()}
    assert plain == theirs["Tmpfs"]
    config, other = build_config(build), container_config(skill)
    assert {key for key in config if config[key] != other[key]} == {"Entrypoint", "Env", "Hostname"}
    assert config.keys() == other.keys()


def test_the_recipes_key_depends_on_archive_requirements_and_target(make_lock) -> None:
    package = LockedPackage("alpha", "1.0", (LockedArtefact("alpha-1.0.tar.gz", "0" * 64, 1),), (), direct=True)
    tool = LockedPackage("tool", "1.0", (LockedArtefact("tool-1.0-py3-none-any.whl", "1" * 64, 1),), (), direct=True)
    lock = dataclasses.replace(make_lock(package), builds=(SourceBuild("alpha", (tool,)),))
    other = dataclasses.replace(lock, packages=(dataclasses.replace(package, artefacts=(tool.artefacts)),))
    without = dataclasses.replace(lock, builds=(SourceBuild("alpha", ()),))
    newer = dataclasses.replace(lock, target=dataclasses.replace(lock.target, python="3.12"))
    assert len({recipes(one)[0].key for one in (lock, other, without, newer)}) == 4
