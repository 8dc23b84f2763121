"""Engines, homes and servers of long tests: each of its own, and gone when it ends, whatever happened to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.images import BaseImages
from skillyard.settings import Settings
from tests.long.private_engine import PrivateEngine
from tests.long.scene import Scene


@pytest.fixture(scope="session")
def base_image() -> str:
    """The base image's name, on the machine's own engine."""

    async def find() -> str:
        engine = Engine()
        try:
            return (await BaseImages(engine=engine, settings=Settings()).python_image()).reference
        finally:
            await engine.close()

    return asyncio.run(find())


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What servers found out about base images, kept between homes."""
    return tmp_path_factory.mktemp("images")


def open_engine(folder: Path, base_image: str, *, live_restore: bool = False) -> PrivateEngine:
    """A started engine that has the base image."""
    assert os.geteuid() == 0, "a Docker Engine of one's own takes root"
    engine = PrivateEngine(folder, live_restore=live_restore)
    try:
        engine.start()
        engine.take_image(base_image)
    except BaseException:
        engine.close()
        raise
    return engine


@pytest.fixture(scope="module")
def private_engine(tmp_path_factory: pytest.TempPathFactory, base_image: str) -> Iterator[PrivateEngine]:
    """A Docker Engine to be hurt. Whoever kills it starts it again."""
    engine = open_engine(tmp_path_factory.mktemp("engine"), base_image)
    try:
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="module")
def lasting_engine(tmp_path_factory: pytest.TempPathFactory, base_image: str) -> Iterator[PrivateEngine]:
    """One whose containers outlive it (dockerd's ``live-restore``)."""
    engine = open_engine(tmp_path_factory.mktemp("lasting-engine"), base_image, live_restore=True)
    try:
        yield engine
    finally:
        engine.close()


@pytest.fixture
def scene(tmp_path: Path, images: Path) -> Iterator[Callable[..., Scene]]:
    """Opens scenes; their servers end with the test."""
    opened: list[Scene] = []

    def open_scene(engine: PrivateEngine, *, home: Path | None = None, **settings: str) -> Scene:
        opened.append(Scene(engine, home or tmp_path / f"home-{len(opened)}", images, **settings))
        return opened[-1]

    yield open_scene
    for one in opened:
        one.close()
        one.engine.remove_containers()
