"""What every test stands on: no setting of the developer's machine, no home of theirs, no time limit on properties."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from skillyard.database import Database, database_path, migrate, open_database, utcnow
from skillyard.governance import people, tokens
from skillyard.governance.decision import Agent, Maturity
from skillyard.governance.identity import Person
from skillyard.settings import Settings

AGAIN_SECONDS = 60
"""How long a test that was timed out may take to clean up, at most, before the time-out is said again."""

# A slow machine must not fail a property; what is slow is found by `make bench`.
hypothesis.settings.register_profile("skillyard", deadline=None, print_blob=True)
hypothesis.settings.load_profile("skillyard")


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(settings: Any) -> Generator[None, object, object]:
    """pytest-timeout says it once, by an exception. An event loop hands one that hits its own code to a log and goes
    on, and clean-up may hang as well: so it is said again."""
    done = yield
    if settings.timeout > 0 and settings.method == "signal":
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, min(settings.timeout, AGAIN_SECONDS))
    return done


@pytest.fixture(scope="session", autouse=True)
def _only_our_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Settings made in a test start from the defaults and a home of their own, whatever the shell or ``.env`` says."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SKILLYARD_")]:
            patch.delenv(name)
        patch.setenv("SKILLYARD_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setitem(Settings.model_config, "env_file", None)
        yield


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Where a test keeps its database; nothing is there yet. The folder's name holds what URLs usually trip over."""
    return f"sqlite+aiosqlite:///{tmp_path / 'state of mind' / 'skillyard.db'}"


@pytest.fixture(scope="session")
def _migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A freshly migrated database, made once and copied for every test that wants one."""
    path = tmp_path_factory.mktemp("migrated") / "skillyard.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture
async def database(database_url: str, _migrated_file: Path) -> AsyncIterator[Database]:
    """A migrated database in a real file, empty but for what the migrations put there."""
    path = database_path(database_url)
    path.parent.mkdir(mode=0o700)
    shutil.copy(_migrated_file, path)
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def admin(database: Database) -> Person:
    """The admin of the default workspace, as the first start makes both."""
    async with database.transaction() as session:
        await tokens.first_start(session, utcnow())
        workspace = await people.workspace_by_name(session, tokens.DEFAULT_WORKSPACE)
        return await people.person_by_name(session, workspace.id, tokens.FIRST_PERSON)


@pytest.fixture
async def agent(database: Database, admin: Person) -> Agent:
    """An INTERN of the default workspace, owned by the admin."""
    async with database.transaction() as session:
        return await people.add_agent(
            session,
            admin.workspace,
            "report-bot",
            owner=admin.id,
            maturity=Maturity.INTERN,
            by=admin.actor,
            at=utcnow(),
        )
