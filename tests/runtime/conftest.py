"""A real runtime over a home of its own, real engine and index; packages and images are kept between tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from skillyard.governance import people, tokens
from skillyard.governance.decision import Agent, Maturity
from skillyard.governance.identity import PersonPrincipal, Role, TokenId
from skillyard.runtime.instance import home_id
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.runtime.values import Installation, Invocation, InvokeRequest, SkillRef
from skillyard.sandbox.engine import Engine
from skillyard.settings import Settings
from skillyard.skills.sources.folder import FolderSource
from skillyard.times import utcnow

ADD_ONE = "def run(x: int) -> int:\n    return x + 1\n"


@pytest.fixture(scope="session")
def package_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is the same for every home: fetched packages, environments, facts about base images."""
    return tmp_path_factory.mktemp("package-cache")


@pytest.fixture
def settings(tmp_path: Path, package_cache: Path) -> Settings:
    """A home that shares the package cache. The embedded advisories are old: these tests accept their age."""
    home = tmp_path / "home"
    home.mkdir()
    for shared in ("environments", "cache", "images"):
        (package_cache / shared).mkdir(exist_ok=True)
        (home / shared).symlink_to(package_cache / shared)
    return Settings(home=home, advisories_max_age_days=100_000, drain_timeout=20)


@dataclass
class Yard:
    """A started runtime with an admin, a second person, and helpers that go through the real use cases."""

    runtime: Runtime
    admin: PersonPrincipal
    second: PersonPrincipal
    folder: Path

    async def agent(self, name: str, maturity: Maturity = Maturity.AUTONOMOUS) -> Agent:
        async with self.runtime.database.transaction() as session:
            return await people.add_agent(
                session,
                self.admin.workspace,
                name,
                owner=self.admin.person.id,
                maturity=maturity,
                by=self.admin.actor,
                at=utcnow(),
            )

    def skill(self, code: str = ADD_ONE, *, name: str = "adder", version: str = "1.0.0", python: str = "") -> Path:
        """A skill's folder with one function ``scripts/main.py:run``; ``python`` are its declared packages."""
        folder = self.folder / f"{name}-{version}" / name
        (folder / "scripts").mkdir(parents=True)
        declared = f'  skillyard.python: "{python}"\n' if python else ""
        (folder / "SKILL.md").write_text(
            f"---\nname: {name}\ndescription: Made by a test.\nmetadata:\n"
            f'  version: "{version}"\n  skillyard.entry: "scripts/main.py:run"\n{declared}---\n# {name}\n'
        )
        (folder / "scripts" / "main.py").write_text(code)
        return folder

    async def install(self, folder: Path) -> Installation:
        return await self.runtime.install(
            FolderSource(folder), workspace=self.admin.workspace, publisher="acme", actor=self.admin
        )

    async def upgrade(self, folder: Path) -> Any:
        return await self.runtime.upgrade(
            FolderSource(folder), workspace=self.admin.workspace, publisher="acme", actor=self.admin
        )

    async def invoke(self, agent: Agent, skill: str = "acme/adder", **fields: Any) -> Invocation:
        given = fields.pop("given", {"x": 1})
        request = InvokeRequest(
            workspace=self.admin.workspace,
            agent=agent.id,
            skill=SkillRef.parse(skill),
            input_json=orjson.dumps(given),
            **fields,
        )
        return await self.runtime.invoke(request)


async def open_yard(settings: Settings, folder: Path) -> Yard:
    """A runtime at its first start, with a second person to approve."""
    runtime = await create_runtime(settings)
    assert runtime.first_token is not None
    async with runtime.database.transaction() as session:
        admin = await tokens.authenticate(session, runtime.first_token, utcnow())
        assert isinstance(admin, PersonPrincipal)
        second = await people.add_person(session, admin.workspace, "second", Role.ADMIN, by=admin.actor, at=utcnow())
    return Yard(runtime, admin, PersonPrincipal(TokenId(0), second), folder)


@pytest.fixture
async def yard(settings: Settings, tmp_path: Path) -> AsyncIterator[Yard]:
    """Closed at the end, and then nothing of it runs any more."""
    opened = await open_yard(settings, tmp_path / "skills")
    try:
        yield opened
    finally:
        await opened.runtime.close()
    engine = opened.runtime.engine
    await no_containers(engine, settings)
    await engine.close()


async def no_containers(engine: Engine, settings: Settings) -> None:
    """Wait until the engine has removed every container of this home; it does so a moment after the last one ended."""
    mine = {"skillyard.instance": home_id(settings.home)}
    give_up = time.monotonic() + 20
    while left := await engine.containers(mine):
        assert time.monotonic() < give_up, f"containers stay: {left}"
        await asyncio.sleep(0.05)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody signals."""
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up, "it never became true"
        await asyncio.sleep(0.01)
