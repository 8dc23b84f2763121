"""What benchmarks leave: nothing. What a killed one left goes with the next, and what a living one has stays."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.build import Builds
from benchmarks.docker_cli import DockerFailedError, docker
from benchmarks.leftovers import LABEL, labels, nothing_left
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.images import BaseImages
from skillyard.settings import Settings


@pytest.fixture
async def image() -> str:
    engine = Engine()
    try:
        return (await BaseImages(engine=engine, settings=Settings()).python_image()).reference
    finally:
        await engine.close()


@pytest.fixture
def dead() -> str:
    """The id of a process that is gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return str(process.pid)


@pytest.fixture
def living() -> Iterator[str]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield str(process.pid)
        process.kill()


async def container_of(owner: str, image: str) -> str:
    return (await docker("create", f"--label={LABEL}={owner}", image)).decode().strip()


async def there(container: str) -> bool:
    return container in (await docker("ps", "--all", "--quiet", "--no-trunc")).decode().split()


async def test_what_dead_ones_left_goes_and_what_living_ones_have_stays(image: str, dead: str, living: str) -> None:
    theirs, left = await container_of(living, image), await container_of(dead, image)
    try:
        async with nothing_left():
            assert not await there(left)
            assert await there(theirs)
            ours = await container_of(labels()[LABEL], image)
            with pytest.raises(ZeroDivisionError):
                async with nothing_left():
                    raise ZeroDivisionError
            assert not await there(ours)
        assert await there(theirs)
    finally:
        await docker("rm", theirs)


async def test_images_go_too_also_those_of_a_build_that_failed(image: str) -> None:
    async with nothing_left():
        builds = Builds()  # and nobody who removes its images one by one
        await builds.image(f"FROM {image}\n")
        with pytest.raises(DockerFailedError, match="no-such-program"):
            await builds.image(f'FROM {image}\nRUN ["/no-such-program"]\n')
    chosen = f"--filter=label={LABEL}={labels()[LABEL]}"
    assert await docker("image", "ls", "--all", "--quiet", chosen) == b""
    assert await docker("ps", "--all", "--quiet", chosen) == b""


async def test_folders_of_dead_ones_go_and_read_only_ones_do_not_keep_them(dead: str, living: str) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{LABEL}-{living}-") as theirs:
        left = Path(tempfile.mkdtemp(prefix=f"{LABEL}-{dead}-"))
        (left / "frozen").mkdir()
        (left / "frozen" / "file").touch()
        (left / "frozen").chmod(0o555)
        async with nothing_left():
            assert not left.exists()
            assert Path(theirs).exists()
