"""What every ``EnvironmentStore`` has to keep, over each implementation that is registered, with real packages."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.environment import EnvironmentStore, Progress
from skillyard.sandbox.environments import create_store
from skillyard.sandbox.errors import WheelError
from skillyard.sandbox.images import base_target
from skillyard.sandbox.resolvers.uv import create_resolver
from skillyard.settings import Settings
from skillyard.skills.lock import Lock, Target
from skillyard.skills.skill import DeclaredPackage, Ecosystem, Origin

FACTORIES = {"wheels": create_store}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environments-home")


@pytest.fixture(params=sorted(FACTORIES))
def store(request: pytest.FixtureRequest, home: Path) -> EnvironmentStore:
    return FACTORIES[request.param](Settings(home=home))


@pytest.fixture(scope="session")
def lock(home: Path) -> Lock:
    declared = tuple(
        DeclaredPackage(Ecosystem.PYPI, text.partition("==")[0], text, Origin("SKILL.md", 1, None))
        for text in ("python-dateutil==2.9.0.post0", "markupsafe==2.1.5")
    )
    return asyncio.run(create_resolver(Settings(home=home)).resolve(declared, base_target()))


async def test_the_packages_of_a_lock_can_be_imported_by_name(store: EnvironmentStore, lock: Lock) -> None:
    environment = await store.materialise(lock)
    assert {"dateutil", "markupsafe", "six"} <= set(environment.modules)
    assert (environment.path / "dateutil" / "__init__.py").is_file()
    assert environment.modules == tuple(sorted(environment.modules))


async def test_the_same_lock_gives_the_same_environment_without_work(store: EnvironmentStore, lock: Lock) -> None:
    first = await store.materialise(lock)
    steps: list[Progress] = []
    assert await store.materialise(lock, steps.append) == first
    assert steps == []


async def test_concurrent_callers_get_one_environment(store: EnvironmentStore, lock: Lock) -> None:
    assert len(set(await asyncio.gather(*(store.materialise(lock) for _ in range(4))))) == 1


async def test_an_empty_lock_is_an_environment_without_modules(store: EnvironmentStore) -> None:
    environment = await store.materialise(Lock(Ecosystem.PYPI, base_target(), ()))
    assert environment.modules == ()


async def test_a_lock_for_a_machine_that_is_not_here_is_refused(store: EnvironmentStore, lock: Lock) -> None:
    with pytest.raises(WheelError):
        await store.materialise(Lock(Ecosystem.PYPI, Target("3.11", "riscv-macos"), lock.packages))


async def test_a_lock_of_another_ecosystem_is_refused(store: EnvironmentStore) -> None:
    with pytest.raises(WheelError):
        await store.materialise(Lock(Ecosystem.NPM, base_target(), ()))


async def test_nothing_is_left_behind(store: EnvironmentStore, lock: Lock, home: Path) -> None:
    """No container, no folder in the making, no lock, no open file below the home."""
    await store.materialise(lock)
    engine = Engine()
    assert await engine.containers({"skillyard.chore.root": str(home / "environments" / "staging")}) == ()
    await engine.close()
    assert _left_in(home) == []


def _left_in(home: Path) -> list[Path]:
    locks = [path for path in home.rglob("*.lock") if "cache" not in path.parts]
    opened = [link.readlink() for link in Path(f"/proc/{os.getpid()}/fd").iterdir() if link.is_symlink()]
    return [*locks, *home.glob("**/staging/*"), *(path for path in opened if path.is_relative_to(home))]
