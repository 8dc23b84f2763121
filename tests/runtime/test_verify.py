"""Damage on disk is found file by file, taken away, and made anew from a download, never from a cache."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from skillyard.runtime.inventory import Stock
from skillyard.runtime.values import SkillRef
from skillyard.runtime.verify import Verified
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.environments import environment_key
from skillyard.settings import Settings
from tests.runtime.conftest import Yard, no_containers, open_yard

NOWHERE = "http://127.0.0.1:9/simple"
CODE = "import iniconfig\n\n\ndef run(x: int) -> str:\n    return iniconfig.IniConfig.__name__\n"


@pytest.fixture
async def house(tmp_path: Path, package_cache: Path) -> AsyncIterator[Yard]:
    """A home that shares nothing but what is known of base images: its packages are about to be damaged."""
    home = tmp_path / "home"
    home.mkdir()
    (package_cache / "images").mkdir(exist_ok=True)
    (home / "images").symlink_to(package_cache / "images")
    settings = Settings(home=home, advisories_max_age_days=100_000, sweep_period=0.2)
    opened = await open_yard(settings, tmp_path / "skills")
    try:
        yield opened
    finally:
        await opened.runtime.close()
    await no_containers(opened.runtime.engine, settings)
    await opened.runtime.engine.close()


async def installed(house: Yard) -> tuple[Path, Path]:
    """A skill that was called once, and where its environment and bundle are."""
    version = (await house.install(house.skill(CODE, python="iniconfig==2.1.0"))).version
    bot = await house.agent("bot")
    held = await house.invoke(bot)
    assert held.approval is not None
    await house.runtime.approver.approve(held.approval, person=house.second)
    assert (await house.invoke(bot)).outcome.result_json == b'"IniConfig"'
    environment = house.runtime.settings.home / "environments" / "python" / environment_key(version.locks[0])
    return environment, house.runtime.bundles.path(version.skill.bundle.digest)


async def verify(settings: Settings, *, repair: bool, docker_host: str | None = None) -> Verified:
    """As the command does: from outside, beside the running server."""
    engine = Engine(address=docker_host)
    try:
        async with Stock(settings, engine=engine) as stock:
            return await stock.verifier().verify(repair=repair)
    finally:
        await engine.close()


async def stopped(house: Yard, found: Verified) -> None:
    """Wait until the server has noticed, and stopped what ran on the damage: a call may still be lent that before."""
    used = {one.container for one in found.affected}
    assert used
    async with asyncio.timeout(60):
        while used & {one.id for one in await house.runtime.engine.containers({})}:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


def flip(file: Path) -> str:
    """Change one bit and leave no trace but that; the hash that the file had."""
    before, content = file.stat(), bytearray(file.read_bytes())
    digest = hashlib.sha256(content).hexdigest()
    content[len(content) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)
    file.chmod(0o444)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    return digest


async def test_a_flipped_bit_is_found_and_mended_and_the_skill_goes_on(house: Yard) -> None:
    settings = house.runtime.settings
    environment, _ = await installed(house)
    file = environment / "files" / "iniconfig" / "__init__.py"
    sound = await verify(settings, repair=True)
    assert (sound.sound, sound.damage, sound.dropped) == (True, (), ())
    assert sound.counts["wheels"] == sound.counts["environments"] == 1

    digest = flip(file)
    told = await verify(settings, repair=False)
    assert not told.sound
    assert [(one.kind, one.files) for one in told.damage] == [
        ("wheels", ("iniconfig/__init__.py",)),
        ("environments", ("iniconfig/__init__.py",)),
    ]
    assert [one.skill for one in told.affected] == ["acme/adder@1.0.0"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() != digest, "a report changes nothing"

    inode = file.stat().st_ino
    mended = await verify(settings, repair=True)
    assert (mended.sound, mended.rebuilt, mended.unrepaired) == (True, (environment.name,), ())
    assert hashlib.sha256(file.read_bytes()).hexdigest() == digest
    assert file.stat().st_ino != inode
    assert (await verify(settings, repair=False)).damage == ()
    await stopped(house, mended)
    again = await house.invoke(await house.agent("second"))
    assert again.outcome.result_json == b'"IniConfig"'


@pytest.mark.parametrize("harm", ["missing", "extra", "list", "record", "stray link"])
async def test_whatever_is_wrong_with_a_wheel_is_found_and_mended(house: Yard, harm: str) -> None:
    settings = house.runtime.settings
    environment, _ = await installed(house)
    (wheel,) = (settings.home / "environments" / "wheels" / "cpython-311").iterdir()
    package = wheel / "files" / "iniconfig"
    package.chmod(0o755)
    match harm:
        case "missing":
            (package / "py.typed").unlink()
        case "extra":
            (package / "evil.py").write_text("x = 1\n")
        case "list":
            (wheel / "wheel.json").chmod(0o644)
            (wheel / "wheel.json").write_text("{")
        case "record":
            # Who rewrites file and list alike still has RECORD against them.
            content = (package / "exceptions.py").read_bytes()
            digest = flip(package / "exceptions.py")
            changed = hashlib.sha256((package / "exceptions.py").read_bytes()).hexdigest()
            listed = (wheel / "wheel.json").read_text().replace(digest, changed)
            (wheel / "wheel.json").chmod(0o644)
            (wheel / "wheel.json").write_text(listed)
            assert (package / "exceptions.py").read_bytes() != content
        case _:
            (package / "evil.py").symlink_to("/etc/passwd")
    told = await verify(settings, repair=False)
    assert not told.sound
    assert "wheels" in {one.kind for one in told.damage}
    mended = await verify(settings, repair=True)
    assert (mended.sound, mended.rebuilt) == (True, (environment.name,))
    assert (await verify(settings, repair=False)).damage == ()


async def test_an_environment_that_is_not_what_its_wheels_are_is_linked_anew(house: Yard) -> None:
    environment, _ = await installed(house)
    (environment / "files").chmod(0o755)
    (environment / "files" / "evil.py").write_text("x = 1\n")
    mended = await verify(house.runtime.settings, repair=True)
    assert [(one.kind, one.files) for one in mended.damage] == [("environments", ("evil.py",))]
    assert (mended.sound, mended.dropped, mended.rebuilt) == (True, (environment.name,), (environment.name,))
    assert not (environment / "files" / "evil.py").exists()


async def test_a_damaged_bundle_is_named_by_file_and_serves_nobody_until_it_is_installed_again(house: Yard) -> None:
    settings = house.runtime.settings
    _, bundle = await installed(house)
    flip(bundle / "scripts" / "main.py")
    found = await verify(settings, repair=True)
    assert [(one.kind, one.files) for one in found.damage] == [("bundles", ("scripts/main.py",))]
    assert not found.sound
    assert "install that version again" in found.unrepaired[0]
    assert not bundle.exists()
    await stopped(house, found)
    await house.install(house.folder / "adder-1.0.0" / "adder")
    assert (await verify(settings, repair=False)).damage == ()
    assert (await house.invoke(await house.agent("second"))).outcome.result_json == b'"IniConfig"'


async def test_what_no_version_wants_is_dropped_and_not_fetched(house: Yard) -> None:
    environment, _ = await installed(house)
    await house.runtime.uninstall(SkillRef("acme", "adder"), workspace=house.admin.workspace, actor=house.admin)
    flip(environment / "files" / "iniconfig" / "__init__.py")
    found = await verify(house.runtime.settings, repair=True)
    assert (found.sound, found.rebuilt, len(found.dropped)) == (True, (), 2)
    assert not environment.exists()


async def test_an_index_that_is_away_is_said_and_the_damage_is_gone_all_the_same(house: Yard) -> None:
    environment, _ = await installed(house)
    flip(environment / "files" / "iniconfig" / "__init__.py")
    offline = house.runtime.settings.model_copy(update={"index_url": SecretStr(NOWHERE), "index_timeout": 20.0})
    found = await verify(offline, repair=True)
    assert not found.sound
    assert "not made again yet" in found.unrepaired[0]
    assert not environment.exists()
    await stopped(house, found)
    assert (await verify(house.runtime.settings, repair=False)).damage == ()
    assert (await house.invoke(await house.agent("second"))).outcome.result_json == b'"IniConfig"'


async def test_without_an_engine_nothing_is_changed(house: Yard) -> None:
    environment, _ = await installed(house)
    flip(environment / "files" / "iniconfig" / "__init__.py")
    found = await verify(house.runtime.settings, repair=True, docker_host="unix:///nonexistent/docker.sock")
    assert (len(found.damage), found.dropped) == (2, ())
    assert found.left_alone is not None
    assert environment.is_dir()
