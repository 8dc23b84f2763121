"""A real runtime over a home of its own, real engine and index; packages and images are kept between tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from skillyard.governance import people, tokens
from skillyard.governance.decision import Agent, Maturity
from skillyard.governance.identity import PersonPrincipal, Role, TokenId
from skillyard.runtime.instance import home_id
from skillyard.runtime.invocations import InvocationSummary, invocations
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.runtime.values import Installation, Invocation, InvokeRequest, SkillRef
from skillyard.sandbox.engine import Engine
from skillyard.settings import Settings
from skillyard.skills.sources.folder import FolderSource
from skillyard.times import utcnow
from tests.first_start import furnish
from tests.runtime.engines import SlowEngine

REF = SkillRef("acme", "adder")
SLEEP = "import time\n\n\ndef run(x: float) -> float:\n    time.sleep(x)\n    return x\n"
ADD_ONE = "def run(x: int) -> int:\n    return x + 1\n"
UNTIL_LET_GO = """
import pathlib
import time


def run(x: float) -> float:
    while x < 0 and not pathlib.Path(__file__).with_name("go").exists():
        time.sleep(0.02)
    time.sleep(max(x, 0))
    return x
"""
"""With ``-1`` a call that lasts until its bundle is let go, however long that takes; else as long as is said."""


def let_go(bundle: Path) -> None:
    """End the calls that wait for it, and keep none waiting from here on: they have the bundle's folder mounted."""
    (bundle / "scripts").chmod(0o755)
    (bundle / "scripts" / "go").touch()


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cancels a call on a slow machine is told how it ended as well, and not that it goes on."""
    monkeypatch.setattr("skillyard.runtime.cancel.WAIT_SECONDS", 60.0)
    monkeypatch.setattr("skillyard.runtime.supervisor._WAIT_SECONDS", 60.0)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Moves the clock of this process on, once: what runs out in an hour has, without anybody waiting for it."""

    def move(by: timedelta) -> None:
        class Later(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return datetime.now(tz) + by

        monkeypatch.setattr("skillyard.times.datetime", Later)

    return move


@pytest.fixture(scope="session")
def package_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is the same for every home: fetched packages, environments, facts about base images."""
    return tmp_path_factory.mktemp("package-cache")


@pytest.fixture
def settings(tmp_path: Path, package_cache: Path) -> Settings:
    """A home that shares the package cache. The embedded advisories are old: these tests accept their age. A call that
    is to last until it is ended does so on a slow machine too."""
    home = tmp_path / "home"
    home.mkdir()
    for shared in ("environments", "cache", "images"):
        (package_cache / shared).mkdir(exist_ok=True)
        (home / shared).symlink_to(package_cache / shared)
    furnish(home)
    return Settings(home=home, advisories_max_age_days=100_000, drain_timeout=60, skill_timeout=600)


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

    def bundle(self, installed: Installation) -> Path:
        """Where the files of an installed version are."""
        return self.runtime.bundles.path(installed.version.skill.bundle.digest)

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
    give_up = time.monotonic() + 60
    while left := await engine.containers(mine):
        assert time.monotonic() < give_up, f"containers stay: {left}"
        await asyncio.sleep(0.05)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody signals."""
    give_up = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < give_up, "it never became true"
        await asyncio.sleep(0.01)


@pytest.fixture
async def slow(settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[Yard, SlowEngine]]:
    """An engine on which no container starts before it is let."""
    engine = await SlowEngine.open(tmp_path / "engine.sock", held=b"/start ")
    try:
        through = settings.model_copy(update={"docker_host": f"unix://{engine.path}"})
        opened = await open_yard(through, tmp_path / "skills")
        try:
            yield opened, engine
        finally:
            engine.answers.set()
            await opened.runtime.close()
    finally:
        await engine.close()


async def recorded(runtime: Runtime, agent: Agent) -> tuple[InvocationSummary, ...]:
    async with runtime.database.reading() as session:
        return await invocations(session, agent.workspace, limit=1000)
